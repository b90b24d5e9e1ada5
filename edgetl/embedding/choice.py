"""Which variant of a bundle an embedder opens, and why."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from edgetl.bundle.bundle import PRECISIONS, Bundle, Variant
from edgetl.errors import BundleError, FingerprintMismatch, RuntimeUnavailable
from edgetl.runtimes import FAMILIES, default_threads, fastest, providers
from edgetl.types import Fingerprint

VariantReason = Literal["requested", "store", "first-working", "only-working", "fastest-measured", "fastest-known"]

_REASONS: Mapping[VariantReason, str] = {
    "requested": "as requested",
    "store": "the store was made with it",
    "first-working": "the first that works here",
    "only-working": "the only one that works here",
}


@dataclasses.dataclass(frozen=True)
class VariantChoice:
    """A variant and why it was chosen.

    Attributes:
        variant: its name.
        code: `requested` by an argument or the environment; made the `store`; the `first-working` or `only-working` of several;
            `fastest-measured` now, or `fastest-known` from an earlier measurement on this machine.
        milliseconds: per measured variant, the median of its answers.
        not_saved: why the measurement could not be saved; empty if it was.
    """

    variant: str
    code: VariantReason
    milliseconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    not_saved: str = ""

    def __str__(self) -> str:
        """The variant and the reason."""
        return f"{self.variant}: {self.reason}"

    @property
    def reason(self) -> str:
        """For people: `fastest here, 7.9 ms (tflite-int8 12.5; measured before)`."""
        if not self.milliseconds:
            return _REASONS[self.code]
        slower = sorted((taken, name) for name, taken in self.milliseconds.items() if name != self.variant)
        others = ", ".join(f"{name} {taken:.1f}" for taken, name in slower)
        when = "measured before" if self.code == "fastest-known" else "measured now"
        saved = f", not saved: {self.not_saved}" if self.not_saved else ""
        return f"fastest here, {self.milliseconds[self.variant]:.1f} ms ({others}; {when}{saved})"


@dataclasses.dataclass(frozen=True)
class SkippedVariant:
    """A variant that was tried and does not work here, with the error that shows it."""

    variant: str
    error: RuntimeUnavailable | BundleError

    def __str__(self) -> str:
        return f"{self.variant} skipped: {self.error}"


def requested_runtime() -> str | None:
    """The runtime that the environment requests: EDGETL_RUNTIME, or the one that has the provider EDGETL_PROVIDER."""
    provider = os.environ.get(providers.VARIABLE)
    return os.environ.get("EDGETL_RUNTIME") or (providers.family_of(provider) if provider else None)


def candidates(bundle: Bundle, runtime: str | None, variant: str | None, store: Fingerprint | None) -> list[Variant]:
    """The variants that may be opened, best first: int8 before float, then in the order of the runtimes.

    Raises:
        BundleMissing: there is no such variant (`variant-missing`).
        RuntimeUnavailable: the variant is of another runtime (`variant-of-another-runtime`), or no variant is of this one
            (`runtime-without-variant`).
        FingerprintMismatch: none of them made the store.
    """
    chosen = _requested(bundle, runtime, variant)
    if store is None:
        return chosen
    matching = [v for v in chosen if bundle.equivalent(bundle.fingerprint(v), store)]
    if not matching:
        differences = store.differences(bundle.fingerprint(chosen[0]))
        raise FingerprintMismatch(
            f"{bundle.path}: {chosen[0].name} did not compute the store's embeddings (different: "
            f"{', '.join(difference.partition(':')[0] for difference in differences)}). "
            "Use the bundle, the runtime and the variant that the store was made with, or begin a new store.",
            path=str(bundle.path),
            variant=chosen[0].name,
            differences=differences,
        )
    return sorted(matching, key=lambda v: bundle.fingerprint(v) != store)


def _requested(bundle: Bundle, runtime: str | None, variant: str | None) -> list[Variant]:
    if variant is not None:
        chosen = bundle.variant(variant)
        if runtime is not None and chosen.family != runtime:
            message = f"{variant} is computed by {chosen.family}, not by {runtime}. Give one of the two."
            raise RuntimeUnavailable(message, code="variant-of-another-runtime", variant=variant, family=chosen.family, runtime=runtime)
        return [chosen]
    order = {family: i for i, family in enumerate(FAMILIES)}
    ranked = sorted(
        bundle.variants.values(), key=lambda v: (PRECISIONS.index(v.precision) != 0, order[v.family], PRECISIONS.index(v.precision))
    )
    matching = [v for v in ranked if runtime is None or v.family == runtime]
    if not matching:
        families = sorted({v.family for v in ranked})
        raise RuntimeUnavailable(
            f"{bundle.path}: no variant for the runtime {runtime!r}. It has variants for {', '.join(families)}.",
            code="runtime-without-variant",
            path=str(bundle.path),
            runtime=runtime,
            families=families,
        )
    return matching


def by_precision(variants: Sequence[Variant]) -> list[list[Variant]]:
    """The int8 variants, then the others; a group is measured only if none before it works."""
    groups = [[v for v in variants if (v.precision == "int8") == int8] for int8 in (True, False)]
    return [group for group in groups if group]


def measurement_key(bundle: Bundle, variants: Iterable[Variant], threads: int | None) -> dict[str, Any]:
    """Everything that a measurement of these variants depends on (see :func:`edgetl.runtimes.fastest.key`)."""
    fingerprints = {variant.name: bundle.fingerprint(variant).digest for variant in variants}
    return fastest.key(fingerprints, default_threads() if threads is None else threads)


def known_choice(bundle: Bundle) -> VariantChoice | None:
    """The variant that an earlier measurement on this machine chose; None without one."""
    for group in by_precision(candidates(bundle, None, None, None)):
        if times := fastest.load(measurement_key(bundle, group, None)):
            return VariantChoice(fastest.first(times), "fastest-known", times)
    return None
