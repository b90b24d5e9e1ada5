"""The text of `bundle inspect` and `export`: what a bundle contains, how it was made, and its proofs."""

from __future__ import annotations

from collections.abc import Sequence

from edgetl.bundle import bundle as bundles
from edgetl.bundle.proofs import Proof, table
from edgetl.cli.output.common import number
from edgetl.embedding.choice import known_choice
from edgetl.tables import render

_HEADERS = ("variant", "recipe", "MB", "cosine", "worst", "same nearest", "n")
_MORE = ("max abs", "bound", "proved on", "fingerprint")


def bundle(opened: bundles.Bundle, *, verbose: bool) -> list[str]:
    """Backbone, input and background, one row per variant, and one per proof; `verbose` adds columns."""
    spec, weights = opened.input, opened.backbone.get("weights", {})
    levels = f" ({' + '.join(map(str, opened.levels))})" if opened.levels else ""
    lines = [f"backbone   {opened.backbone['name']}, {opened.dim} values{levels}, {weights.get('source', 'unknown weights')}"]
    lines += [f"{note:<10} {opened.backbone[note]}" for note in ("cut", "input") if note in opened.backbone]
    background = max(len(opened.background(variant)) for variant in opened.variants.values())
    lines.append(f"background {background} photos, to reject unknown objects" if background else "background none")
    lines.append(f"photo      {spec.width}x{spec.height} from short side {spec.resize}, {spec.filter}, JPEG draft {spec.draft}")
    calibration = [f"{key} {_short(value)}" for key, value in (opened.calibration or {}).items() if not isinstance(value, (dict, list))]
    lines += [f"calibrated {', '.join(calibration)}"] if calibration else []
    choice = known_choice(opened)
    lines += [f"runtime    {choice}"] if choice else []
    lines.append(render(_HEADERS + (_MORE if verbose else ()), [_row(opened, variant, verbose) for variant in opened.variants.values()]))
    return [*lines, "", table(opened.proofs)] if opened.proofs else lines


def added(path: str, proofs: Sequence[Proof]) -> list[str]:
    """Proofs that were added to a bundle."""
    targets = ", ".join(dict.fromkeys(proof.target for proof in proofs))
    return [f"{path}: {number(len(proofs), 'proof')} added, on {targets}.", f"next: edgetl bundle inspect -m {path}"]


def _short(value: object) -> object:
    """The first digits of a hash; anything else as it is."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def _row(opened: bundles.Bundle, variant: bundles.Variant, verbose: bool) -> tuple[object, ...]:
    parity, recipe = variant.parity, variant.recipe.get("name", "")
    cells: list[object] = [variant.name, recipe, f"{variant.size / 1e6:.1f}"]
    more: list[object] = ["-", "-", "not proved"]
    if parity is None:
        cells += ["-", "-", "-", 0]
    else:
        cells += [f"{parity.cosine_mean:.5f}", f"{parity.cosine_min:.5f}", f"{100 * parity.neighbour_agreement:.1f} %", parity.count]
        more = [f"{parity.max_abs:.3f}", parity.bound, parity.machine]
    return (*cells, *more, opened.fingerprint(variant).digest[:12]) if verbose else tuple(cells)
