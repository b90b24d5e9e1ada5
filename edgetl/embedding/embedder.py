"""Bundle + runtime + preprocessing: photos -> embeddings with their fingerprint."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, Union

import numpy as np

from edgetl import machine
from edgetl.ahead import ahead
from edgetl.bundle.bundle import Bundle, SelfTest, Variant
from edgetl.embedding import self_test
from edgetl.embedding.choice import (
    SkippedVariant,
    VariantChoice,
    VariantReason,
    by_precision,
    candidates,
    measurement_key,
    requested_runtime,
)
from edgetl.errors import LabelError, PhotoError, RuntimeUnavailable, SelfTestFailed
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource
from edgetl.runtimes import Runtime, fastest, open_runtime
from edgetl.types import Capture, Embeddings, Fingerprint, Pixels

log = logging.getLogger("edgetl")
Item = TypeVar("Item")
RejectedPhoto = Union[PhotoError, LabelError]
Prepared = tuple[Pixels, Union[Capture, None]]
Opened = tuple[Union[PhotoSource, None], Union[Prepared, RejectedPhoto, None]]

_AHEAD = 4
"""Photos prepared beyond two per core: the decoders go on while a batch is examined and committed."""


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedPhoto:
    """One photo, embedded.

    Attributes:
        embedding: float32 [d].
        capture: what was measured of it; None if that was not requested.
    """

    embedding: Embeddings
    capture: Capture | None


class Embedder:
    """One opened variant that embeds photos; safe to call from several threads.

    Attributes:
        bundle: where it came from.
        variant: the model file in use.
        runtime: the library that computes.
        fingerprint: everything that changes the numbers.
        choice: why this variant.
        passes: photos that went through the backbone since :meth:`open`, count; the self-test's are not counted.
    """

    def __init__(self, bundle: Bundle, variant: Variant, runtime: Runtime, choice: VariantChoice | None = None) -> None:
        """Use :meth:`open`."""
        self.bundle, self.variant, self.runtime = bundle, variant, runtime
        self.choice = choice or VariantChoice(variant.name, "requested")
        self.fingerprint = bundle.fingerprint(variant)
        self.passes = 0
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False

    def __reduce__(self) -> Any:
        """Not possible: a model is open in one process.

        Raises:
            RuntimeUnavailable: always (`open-in-each-process`).
        """
        raise self._elsewhere()

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        runtime: str | None = None,
        variant: str | None = None,
        threads: int | None = None,
        store: Fingerprint | None = None,
    ) -> Embedder:
        """Opens the requested variant, else the one that the store was made with, else the one that answers fastest here.

        A choice by argument or by the variable EDGETL_RUNTIME is hard: if it does not work, that is the error; EDGETL_PROVIDER, the name
        of a provider, chooses the runtime that has it (see :data:`edgetl.runtimes.providers.PROVIDERS`). Otherwise every variant that was
        skipped is logged with the reason. A store keeps the variant that it was made with. For a new store the int8 variants that work
        here are measured against each other, or the others if no int8 variant works; the result is saved, so that the same bundle on the
        same machine gets the same variant from then on (see :mod:`edgetl.runtimes.fastest`).

        Args:
            bundle: the bundle.
            runtime: a family: `litert`, `onnxruntime`, `openvino` or `fake`.
            variant: a variant's name, e.g. `tflite-int8`.
            threads: how many threads the runtime may use; None is every core, at most 4.
            store: the fingerprint of the store it will feed.

        Raises:
            RuntimeUnavailable: no candidate could be opened (`no-variant-works`), or as :func:`edgetl.embedding.choice.candidates`.
            SelfTestFailed: it opened and computes something else than on the exporter's machine.
            FingerprintMismatch: no variant of this bundle belongs to the store.
        """
        requested = runtime or (None if variant else requested_runtime())
        ranked = candidates(bundle, requested, variant, store)
        hard = bool(requested or variant)
        skipped: list[SkippedVariant] = []
        for group in [ranked] if hard or store else by_precision(ranked):
            if hard or store or len(group) == 1:
                code: VariantReason = "requested" if hard else "store" if store else "first-working"
                embedder = cls._open_first(bundle, group, threads, code, skipped, hard=hard)
            else:
                embedder = cls._open_fastest(bundle, group, threads, skipped)
            if embedder is not None:
                for each in skipped:
                    log.warning("%s", each)
                opened = embedder.runtime
                log.info("%s on %s, %d threads: %s", embedder.variant.name, opened.library, opened.threads, embedder.choice.reason)
                return embedder
        raise RuntimeUnavailable(
            f"{bundle.path}: no variant can run here\n  " + "\n  ".join(map(str, skipped)),
            code="no-variant-works",
            path=str(bundle.path),
            skipped={each.variant: each.error.code for each in skipped},
        )

    @classmethod
    def _open_one(cls, bundle: Bundle, variant: Variant, threads: int | None, choice: VariantChoice) -> Embedder:
        embedder = cls(bundle, variant, open_runtime(variant.family, bundle.model(variant), threads), choice)
        try:
            embedder.run_self_test(bundle.self_test(variant))
        except BaseException:
            embedder.close()
            raise
        return embedder

    @classmethod
    def _open_first(
        cls,
        bundle: Bundle,
        group: Iterable[Variant],
        threads: int | None,
        code: VariantReason,
        skipped: list[SkippedVariant],
        *,
        hard: bool,
    ) -> Embedder | None:
        """The first candidate that works here; None if none does."""
        for candidate in group:
            try:
                return cls._open_one(bundle, candidate, threads, VariantChoice(candidate.name, code))
            except RuntimeUnavailable as error:
                if hard:
                    raise
                skipped.append(SkippedVariant(candidate.name, error))
        return None

    @classmethod
    def _open_fastest(cls, bundle: Bundle, group: Sequence[Variant], threads: int | None, skipped: list[SkippedVariant]) -> Embedder | None:
        """The candidate that answers fastest here, as measured before or now; None if none works."""
        key = measurement_key(bundle, group, threads)
        if times := fastest.load(key):
            known = VariantChoice(fastest.first(times), "fastest-known", times)
            with contextlib.suppress(RuntimeUnavailable):
                return cls._open_one(bundle, bundle.variant(known.variant), threads, known)
        with contextlib.ExitStack() as undo:
            opened = {}
            for candidate in cls._open_all(bundle, group, threads, skipped):
                opened[candidate.variant.name] = candidate
                undo.callback(candidate.close)
            if not opened:
                return None
            best = next(iter(opened.values()))
            if len(opened) > 1:
                photo = bundle.self_test(best.variant).tensors[:1]
                times = fastest.compare({name: functools.partial(each.runtime.embed, photo) for name, each in opened.items()})
                best = opened[fastest.first(times)]
                best.choice = VariantChoice(best.variant.name, "fastest-measured", times, fastest.save(key, times))
            undo.pop_all()
        for other in opened.values():
            if other is not best:
                other.close()
        return best

    @classmethod
    def _open_all(cls, bundle: Bundle, group: Iterable[Variant], threads: int | None, skipped: list[SkippedVariant]) -> Iterator[Embedder]:
        """Every candidate that works here and passes the self-test.

        Raises:
            SelfTestFailed: no candidate does, and at least one failed the self-test.
        """
        count, failure = 0, None
        for candidate in group:
            try:
                yield cls._open_one(bundle, candidate, threads, VariantChoice(candidate.name, "only-working"))
                count += 1
            except RuntimeUnavailable as error:
                skipped.append(SkippedVariant(candidate.name, error))
            except SelfTestFailed as error:
                skipped.append(SkippedVariant(candidate.name, error))
                failure = failure or error
        if failure and not count:
            raise failure

    def run_self_test(self, expected: SelfTest) -> None:
        """Checks that this machine computes what the exporter did; :meth:`open` does this.

        Raises:
            SelfTestFailed: it does not (see :func:`edgetl.embedding.self_test.run`).
        """
        self_test.run(self.bundle, self.variant, self.runtime, expected)

    def embed(self, source: PhotoSource) -> Embeddings:
        """Embeds one photo to float32 [d].

        Raises:
            PhotoError: the photo cannot be used.
        """
        return self.infer(tensor(source, self.bundle.input), source.name)

    def embed_sample(self, source: PhotoSource) -> EmbeddedPhoto:
        """Embeds one photo for the store, and measures it.

        Args:
            source: the photo.

        Raises:
            PhotoError: the photo cannot be used.
        """
        pixels, capture = self._prepare(source, measured=True)
        return EmbeddedPhoto(self.infer(pixels, source.name), capture)

    def infer(self, pixels: Pixels, name: str = "array") -> Embeddings:
        """Embeds one prepared tensor uint8 [h, w, 3] to float32 [d].

        Raises:
            PhotoError: its embedding is not finite (`embedding-not-finite`); `name` is the photo's in the message.
            RuntimeUnavailable: the embedder is closed (`embedder-closed`).
        """
        if os.getpid() != self._process:  # before the lock, which another thread may have held when the process forked
            raise self._elsewhere()
        with self._lock:
            if self._closed:
                message = f"{self.bundle.path}: {self.variant.name} was closed. Open it again."
                raise RuntimeUnavailable(message, code="embedder-closed", path=str(self.bundle.path), variant=self.variant.name)
            embedding: Embeddings = self.runtime.embed(pixels[None])[0]
            self.passes += 1
        if not np.isfinite(embedding).all():
            variant, library = self.variant.name, self.runtime.library
            message = f"{name}: its embedding by {variant} on {library} holds NaN or infinity; it is not used"
            raise PhotoError(message, code="embedding-not-finite", photo=name, variant=variant, library=library)
        return embedding

    def _elsewhere(self) -> RuntimeUnavailable:
        message = f"{self.bundle.path}: {self.variant.name} is open in another process. Open it in each process, after a fork."
        return RuntimeUnavailable(message, code="open-in-each-process", path=str(self.bundle.path), variant=self.variant.name)

    def embed_many(
        self, items: Iterable[Item], source: Callable[[Item], PhotoSource], *, skip: Callable[[PhotoSource], bool] = lambda _: False
    ) -> Iterator[tuple[Item, PhotoSource | None, Embeddings | RejectedPhoto | None]]:
        """Embeds many photos in order; reading and decoding run beside the inference, a bounded number ahead.

        Args:
            items: anything.
            source: turns an item into its photo; called in a worker thread.
            skip: whether a photo needs no embedding; called in a worker thread.

        Yields:
            The item; its photo, None if it could not be read; and its embedding float32 [d], the error that stopped it, or None if it was
            skipped.
        """
        for item, photo, result in self._stream(items, source, skip, measured=False):
            yield item, photo, result.embedding if isinstance(result, EmbeddedPhoto) else result

    def embed_samples(
        self,
        items: Iterable[Item],
        source: Callable[[Item], PhotoSource],
        *,
        skip: Callable[[PhotoSource], bool] = lambda _: False,
    ) -> Iterator[tuple[Item, PhotoSource | None, EmbeddedPhoto | RejectedPhoto | None]]:
        """Embeds many photos for the store: as :meth:`embed_many`, and each is measured.

        Args:
            items: anything.
            source: turns an item into its photo; called in a worker thread.
            skip: whether a photo needs no embedding; called in a worker thread.
        """
        return self._stream(items, source, skip, measured=True)

    def _stream(
        self,
        items: Iterable[Item],
        source: Callable[[Item], PhotoSource],
        skip: Callable[[PhotoSource], bool],
        *,
        measured: bool,
    ) -> Iterator[tuple[Item, PhotoSource | None, EmbeddedPhoto | RejectedPhoto | None]]:
        def prepare(item: Item) -> Opened:
            photo = None
            try:
                photo = source(item)
                return photo, None if skip(photo) else self._prepare(photo, measured=measured)
            except (PhotoError, LabelError) as error:
                return photo, error

        def finish(photo: PhotoSource | None, prepared: Prepared | RejectedPhoto | None) -> EmbeddedPhoto | RejectedPhoto | None:
            if not isinstance(prepared, tuple):
                return prepared
            try:
                return EmbeddedPhoto(self.infer(prepared[0], photo.name if photo else "photo"), prepared[1])
            except PhotoError as error:
                return error

        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(machine.cores(), thread_name_prefix="edgetl-decode") as pool:
            for item, future in ahead(pool, prepare, items, 2 * machine.cores() + _AHEAD):
                photo, prepared = future.result()
                yield item, photo, finish(photo, prepared)

    def _prepare(self, photo: PhotoSource, *, measured: bool) -> Prepared:
        from edgetl.inputs.photo.capture import measure

        pixels = tensor(photo, self.bundle.input)
        return pixels, measure(pixels, photo) if measured else None

    def close(self) -> None:
        """Releases the model, once nobody is using it; a second call does nothing, nor does one in a forked process."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self.runtime.close()
