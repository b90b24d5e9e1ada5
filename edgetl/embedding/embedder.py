"""Bundle + runtime + preprocessing: photos -> embeddings with their fingerprint, proved on the golden photos at open."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, Union

import numpy as np

from edgetl import machine
from edgetl.ahead import ahead
from edgetl.bundle.bundle import PRECISIONS, Bundle, SelfTest, Variant
from edgetl.errors import FingerprintMismatch, LabelError, PhotoError, RuntimeUnavailable, SelfTestFailed
from edgetl.inputs.photo.preprocess import tensor, views
from edgetl.inputs.photo.source import Source
from edgetl.runtimes import FAMILIES, Runtime, default_threads, fastest, open_runtime, providers
from edgetl.types import Capture, Embeddings, Fingerprint, ImageSpec, Pixels

log = logging.getLogger("edgetl")
Item = TypeVar("Item")
Refusal = Union[PhotoError, LabelError]
Prepared = tuple[Pixels, Union[Capture, None]]
Opened = tuple[Union[Source, None], Union[Prepared, Refusal, None]]

_GOLDEN_COSINE = {"fp32": 0.999, "fp16": 0.999, "int8": 0.98}
# JPEG decoders may differ by a level or two per pixel; any resize or colour fault moves the mean by more.
_GOLDEN_LEVELS = 1.5
_AHEAD = 4
"""Photos prepared beyond two per core: the decoders go on while a batch is examined and committed."""
# Nearer than this on the unit sphere is the same embedding (a cosine of 0.99995); which fault's is nearer still says nothing.
_SAME = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """One photo, embedded.

    Attributes:
        views: float32 [v, d]; row 0 is the photo itself, the others are augmented copies of it.
        capture: what was measured of it; None where that was not asked for.
    """

    views: Embeddings
    capture: Capture | None


class Embedder:
    """One opened variant that embeds photos; safe to call from several threads.

    Attributes:
        bundle: where it came from.
        variant: the model file in use.
        runtime: the library that computes.
        fingerprint: everything that changes the numbers.
        choice: why this variant and runtime, in a sentence.
        passes: photos that went through the backbone since :meth:`open`, count; the self-test's are not counted.
    """

    def __init__(self, bundle: Bundle, variant: Variant, runtime: Runtime, choice: str) -> None:
        """Use :meth:`open`."""
        self.bundle, self.variant, self.runtime, self.choice = bundle, variant, runtime, choice
        self.fingerprint = bundle.fingerprint(variant)
        self.passes = 0
        self._lock = threading.Lock()
        self._closed = False

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
        """Opens the variant that was asked for, else the one that the store was made with, else the one that answers fastest here.

        A choice by argument or by the variable EDGETL_RUNTIME is hard: if it does not work, that is the error; EDGETL_PROVIDER, the name
        of a provider, chooses the runtime that has it (see :data:`edgetl.runtimes.providers.PROVIDERS`). Otherwise every variant that
        had to be passed over is named with its reason. A store keeps the variant that it was made with. For a new store the int8 variants
        that work here are measured against each other, the others where no int8 variant works; the result is kept, so that the same
        bundle on the same machine gets the same variant from then on (see :mod:`edgetl.runtimes.fastest`).

        Args:
            bundle: the bundle.
            runtime: a family: `litert`, `onnxruntime`, `openvino` or `fake`.
            variant: a variant's name, e.g. `tflite-int8`.
            threads: how many threads the runtime may use; None is every core, at most 4.
            store: the fingerprint of the store it will feed.

        Raises:
            RuntimeUnavailable: nothing that was allowed could be opened.
            SelfTestFailed: it opened and computes something else than on the exporter's machine.
            FingerprintMismatch: no variant of this bundle belongs to the store.
        """
        asked = runtime or (None if variant else _environment())
        candidates = _candidates(bundle, asked, variant, store)
        hard = bool(asked or variant)
        falls: list[str] = []
        for group in [candidates] if hard or store else _by_precision(candidates):
            if hard or store or len(group) == 1:
                why = "asked for" if hard else "the store was made with it" if store else "the first that works here"
                embedder = cls._open_first(bundle, group, threads, why, falls, hard=hard)
            else:
                embedder = cls._open_fastest(bundle, group, threads, falls)
            if embedder is not None:
                for fall in falls:
                    log.warning("%s", fall)
                log.info("%s", embedder.choice)
                return embedder
        raise RuntimeUnavailable(f"{bundle.path}: no variant can run here\n  " + "\n  ".join(falls))

    @classmethod
    def _open_one(cls, bundle: Bundle, variant: Variant, threads: int | None, why: str) -> Embedder:
        opened = open_runtime(variant.family, bundle.model(variant), threads)
        embedder = cls(bundle, variant, opened, _sentence(variant, opened, why))
        try:
            embedder.prove(bundle.self_test(variant))
        except BaseException:
            embedder.close()
            raise
        return embedder

    @classmethod
    def _open_first(
        cls, bundle: Bundle, candidates: Iterable[Variant], threads: int | None, why: str, falls: list[str], *, hard: bool = False
    ) -> Embedder | None:
        """The first candidate that works here; None where none does."""
        for candidate in candidates:
            try:
                return cls._open_one(bundle, candidate, threads, why)
            except RuntimeUnavailable as error:
                if hard:
                    raise
                falls.append(f"{candidate.name} passed over: {error}")
        return None

    @classmethod
    def _open_fastest(cls, bundle: Bundle, candidates: Sequence[Variant], threads: int | None, falls: list[str]) -> Embedder | None:
        """The candidate that answers fastest here, as measured before or now; None where none works."""
        key = _key(bundle, candidates, threads)
        if times := fastest.load(key):
            name = fastest.first(times)
            before = cls._open_first(bundle, [bundle.variant(name)], threads, fastest.words(times, name, "measured before"), [])
            if before is not None:
                return before
        with contextlib.ExitStack() as undo:
            opened = {}
            for candidate in cls._open_all(bundle, candidates, threads, falls):
                opened[candidate.variant.name] = candidate
                undo.callback(candidate.close)
            if not opened:
                return None
            best = next(iter(opened.values()))
            if len(opened) > 1:
                photo = bundle.self_test(best.variant).tensors[:1]
                times = fastest.compare({name: functools.partial(one.runtime.embed, photo) for name, one in opened.items()})
                best = opened[fastest.first(times)]
                failure = fastest.save(key, times)
                kept = f"measured now, not kept ({failure})" if failure else "measured now, kept"
                best.choice = _sentence(best.variant, best.runtime, fastest.words(times, best.variant.name, kept))
            undo.pop_all()
        for other in opened.values():
            if other is not best:
                other.close()
        return best

    @classmethod
    def _open_all(cls, bundle: Bundle, candidates: Iterable[Variant], threads: int | None, falls: list[str]) -> Iterator[Embedder]:
        """Every candidate that works here and embeds the self-test image as at export.

        Raises:
            SelfTestFailed: no candidate does, and at least one embeds it differently.
        """
        count, wrong = 0, None
        for candidate in candidates:
            try:
                yield cls._open_one(bundle, candidate, threads, "the only one that works here")
                count += 1
            except RuntimeUnavailable as error:
                falls.append(f"{candidate.name} passed over: {error}")
            except SelfTestFailed as error:
                falls.append(f"{candidate.name} passed over: {error}")
                wrong = wrong or error
        if wrong and not count:
            raise wrong

    def embed(self, source: Source) -> Embeddings:
        """Embeds one photo to float32 [d].

        Raises:
            PhotoError: the photo cannot be used.
        """
        return self.infer(tensor(source, self.bundle.input), source.name)

    def teach(self, source: Source, views: int = 1) -> Embedded:
        """Embeds one photo that is to be taught, with augmented copies, and measures it.

        Args:
            source: the photo.
            views: how many embeddings, the photo's own included; each costs a backbone pass (see
            :func:`edgetl.inputs.photo.preprocess.views`).

        Raises:
            PhotoError: the photo cannot be used.
        """
        pixels, capture = self._prepare(source, views, measured=True)
        return Embedded(self._run(pixels, source.name), capture)

    def infer(self, pixels: Pixels, name: str = "array") -> Embeddings:
        """Embeds one prepared tensor uint8 [h, w, 3] to float32 [d].

        Raises:
            PhotoError: its embedding is not finite; `name` says which photo it was.
            RuntimeUnavailable: the embedder is closed.
        """
        made: Embeddings = self._run(pixels[None], name)[0]
        return made

    def embed_many(
        self, items: Iterable[Item], source: Callable[[Item], Source], *, skip: Callable[[Source], bool] = lambda _: False
    ) -> Iterator[tuple[Item, Source | None, Embeddings | Refusal | None]]:
        """Embeds many photos in order; reading and decoding run beside the inference, a bounded number ahead.

        Args:
            items: anything.
            source: turns an item into its photo; called in a worker thread.
            skip: whether a photo needs no embedding; called in a worker thread.

        Yields:
            The item; its photo, None where it could not be read; and its embedding float32 [d], the error that stopped it, or None
            where it was skipped.
        """
        for item, photo, made in self._stream(items, source, skip, 1, measured=False):
            yield item, photo, made.views[0] if isinstance(made, Embedded) else made

    def teach_many(
        self, items: Iterable[Item], source: Callable[[Item], Source], *, skip: Callable[[Source], bool] = lambda _: False, views: int = 1
    ) -> Iterator[tuple[Item, Source | None, Embedded | Refusal | None]]:
        """Embeds many photos that are to be taught; as :meth:`embed_many`, with augmented copies, and each is measured.

        Args:
            items: anything.
            source: turns an item into its photo; called in a worker thread.
            skip: whether a photo needs no embedding; called in a worker thread.
            views: how many embeddings of each, the photo's own included.
        """
        return self._stream(items, source, skip, views, measured=True)

    def _stream(
        self, items: Iterable[Item], source: Callable[[Item], Source], skip: Callable[[Source], bool], views: int, *, measured: bool
    ) -> Iterator[tuple[Item, Source | None, Embedded | Refusal | None]]:
        def prepare(item: Item) -> Opened:
            photo = None
            try:
                photo = source(item)
                return photo, None if skip(photo) else self._prepare(photo, views, measured=measured)
            except (PhotoError, LabelError) as error:
                return photo, error

        def finish(photo: Source | None, prepared: Prepared | Refusal | None) -> Embedded | Refusal | None:
            if not isinstance(prepared, tuple):
                return prepared
            try:
                return Embedded(self._run(prepared[0], photo.name if photo else "photo"), prepared[1])
            except PhotoError as error:
                return error

        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(machine.cores(), thread_name_prefix="edgetl-decode") as pool:
            for item, future in ahead(pool, prepare, items, 2 * machine.cores() + _AHEAD):
                photo, prepared = future.result()
                yield item, photo, finish(photo, prepared)

    def _prepare(self, photo: Source, number: int, *, measured: bool) -> Prepared:
        from edgetl.inputs.photo.capture import measure

        spec = self.bundle.input
        pixels = tensor(photo, spec)[None] if number == 1 else views(photo, spec, number)
        return pixels, measure(pixels[0], photo) if measured else None

    def _run(self, tensors: Pixels, name: str) -> Embeddings:
        with self._lock:
            if self._closed:
                raise RuntimeUnavailable(f"{self.bundle.path}: {self.variant.name} was closed; open it again")
            made: Embeddings = self.runtime.embed(tensors)
            self.passes += len(tensors)
        if not np.isfinite(made).all():
            raise PhotoError(
                f"{name}: its embedding by {self.variant.name} on {self.runtime.library} holds NaN or infinity; it is not used"
            )
        return made

    def close(self) -> None:
        """Releases the model, once whoever is using it is done; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self.runtime.close()

    def prove(self, golden: SelfTest) -> None:
        """Refuses a machine on which the golden photos become something else than they were at export; :meth:`open` asks for it.

        Raises:
            SelfTestFailed: what they become, and what is likely to be at fault.
        """
        where = f"{self.bundle.path}: {self.variant.name} on {self.runtime.library}"
        for photo, expected in zip(golden.inputs, golden.tensors):
            self._prove_pixels(where, Source("golden photo", photo), expected)
        try:
            made = self.runtime.embed(golden.tensors)
        except Exception as error:  # each library has its own exception types
            raise SelfTestFailed(f"{where}: cannot embed the golden photo ({error}); export the bundle again") from error
        if made.shape != golden.embeddings.shape:
            shapes = f"{list(made.shape)}, expected {list(golden.embeddings.shape)}"
            raise SelfTestFailed(f"{where}: the embedding has shape {shapes}; this is another model")
        if not made.any(axis=1).all():
            raise SelfTestFailed(
                f"{where}: the runtime or its delegate returns all zeros for the golden photo; it is broken here: choose another runtime"
            )
        if not np.isfinite(made).all():
            raise SelfTestFailed(f"{where}: the embedding of the golden photo is not finite: the runtime or its delegate is broken here")
        self._prove_embeddings(where, made, golden)

    def _prove_pixels(self, where: str, photo: Source, expected: Pixels) -> None:
        spec = self.bundle.input
        pixels = tensor(photo, spec)
        levels = _levels(pixels, expected)
        if levels <= _GOLDEN_LEVELS:
            return
        from edgetl.inputs.photo import faults

        distances = {name: _levels(pixels, wrong) for name, wrong in faults.of_photo(photo, spec).items()}
        said = faults.named(distances, levels, spec) or "the golden photo decodes to other pixels than at export"
        raise SelfTestFailed(
            f"{where}: {said} (mean difference {levels:.1f} of 255 levels, at most {_GOLDEN_LEVELS} expected): Pillow here decodes or "
            "resizes differently; pip install --upgrade pillow"
        )

    def _prove_embeddings(self, where: str, made: Embeddings, golden: SelfTest) -> None:
        cosines = _cosines(made, golden.embeddings)
        cosine, bound = float(cosines.min()), _GOLDEN_COSINE[self.variant.precision]
        distances = {name: _distance(_cosines(made, wrong)) for name, wrong in golden.faults.items()}
        # Asked within the bound too: to a network that hardly looks at colour, BGR is not far from RGB.
        right = _distance(cosines)
        said = _fault(distances, right, self.bundle.input)
        numbers = f"cosine {cosine:.4f}, at least {bound} expected"
        if said:
            raise SelfTestFailed(
                f"{where}: {said}: the golden photo embeds as with that fault, not as at export ({numbers}). The fault lies between the "
                "tensor and the model: choose another variant or runtime, or export the bundle again"
            )
        if cosine < bound:
            parity = self.variant.parity
            raise SelfTestFailed(
                f"{where}: the golden photo embeds to something else than at export ({numbers}). "
                f"Exported on {parity.machine if parity else 'another machine'} with recipe {self.variant.recipe.get('name')}; this is "
                f"{machine.instruction_set()}: choose another variant, or export with a recipe for this instruction set"
            )


def _fault(distances: Mapping[str, float], right: float, spec: ImageSpec) -> str | None:
    if right <= _SAME:
        return None
    from edgetl.inputs.photo import faults

    return faults.named(distances, right, spec)


def _levels(pixels: Pixels, expected: Pixels) -> float:
    """Mean absolute difference, levels of 255."""
    return float(np.abs(pixels.astype(np.int16) - expected).mean())


def _cosines(made: Embeddings, expected: Embeddings) -> Embeddings:
    """Cosine of each row with its counterpart, float32 [k]."""
    lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(expected, axis=1)
    cosines: Embeddings = (made * expected).sum(axis=1) / np.maximum(lengths, 1e-30)
    return cosines


def _distance(cosines: Embeddings) -> float:
    """Mean distance on the unit sphere."""
    return float(np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0)).mean())


def _environment() -> str | None:
    """The runtime that the environment asks for; a provider asks for the one that has it."""
    provider = os.environ.get(providers.VARIABLE)
    return os.environ.get("EDGETL_RUNTIME") or (providers.family_of(provider) if provider else None)


def _candidates(bundle: Bundle, runtime: str | None, variant: str | None, store: Fingerprint | None) -> list[Variant]:
    if variant is not None:
        chosen = [bundle.variant(variant)]
        if runtime is not None and chosen[0].family != runtime:
            raise RuntimeUnavailable(f"{variant} is computed by {chosen[0].family}, not by {runtime}; give one of the two")
    else:
        order = {family: i for i, family in enumerate(FAMILIES)}
        chosen = sorted(
            bundle.variants.values(), key=lambda v: (PRECISIONS.index(v.precision) != 0, order[v.family], PRECISIONS.index(v.precision))
        )
        if runtime is not None:
            chosen = [v for v in chosen if v.family == runtime]
            if not chosen:
                has = ", ".join(sorted({v.family for v in bundle.variants.values()}))
                raise RuntimeUnavailable(f"{bundle.path}: holds no variant for the runtime {runtime!r}; it has some for {has}")
    if store is None:
        return chosen
    matching = [v for v in chosen if bundle.equivalent(bundle.fingerprint(v), store)]
    if not matching:
        lines = store.differences(bundle.fingerprint(chosen[0]))
        raise FingerprintMismatch(
            f"the store's embeddings were not made by {bundle.path} ({chosen[0].name}); store != bundle:\n  "
            + "\n  ".join(lines)
            + "\nopen it with the bundle and the runtime it was made with, or teach a new store"
        )
    return sorted(matching, key=lambda v: bundle.fingerprint(v) != store)


def kept_choice(bundle: Bundle) -> str:
    """What an earlier measurement on this machine says of a bundle, in one line; empty where none is kept."""
    for group in _by_precision(_candidates(bundle, None, None, None)):
        if times := fastest.load(_key(bundle, group, None)):
            name = fastest.first(times)
            return f"{name}, {fastest.words(times, name, 'measured before')}"
    return ""


def _key(bundle: Bundle, candidates: Iterable[Variant], threads: int | None) -> dict[str, Any]:
    fingerprints = {candidate.name: bundle.fingerprint(candidate).digest for candidate in candidates}
    return fastest.key(fingerprints, default_threads() if threads is None else threads)


def _by_precision(candidates: Sequence[Variant]) -> list[list[Variant]]:
    """The int8 variants, then the others; a group is measured only where none before it works."""
    groups = [[v for v in candidates if (v.precision == "int8") == int8] for int8 in (True, False)]
    return [group for group in groups if group]


def _sentence(variant: Variant, runtime: Runtime, why: str) -> str:
    return f"{variant.name} on {runtime.library}, {runtime.threads} threads: {why}"
