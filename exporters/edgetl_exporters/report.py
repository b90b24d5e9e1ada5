"""The text of an export's result. The rest of the package returns codes and numbers; only this module words them.

For the command line: :func:`summary` is the default output of `edgetl export`, at most six lines; :func:`details` is what `-v` adds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgetl.tables import render
from edgetl_exporters.variants.adequacy import Adequacy
from edgetl_exporters.variants.diagnosis import STEPS, UNEVEN, Int8Diagnosis, Int8Risk
from edgetl_exporters.variants.repair import RepairStep, Search

if TYPE_CHECKING:
    from edgetl_exporters.export import ExportResult

_WORST = 5
"""How many of the layers with the costliest noise are listed."""


def summary(result: ExportResult) -> list[str]:
    """The result, warnings and what to do next, in at most six lines of about 80 characters."""
    size = sum(variant.size for variant in result.variants) / 1e6
    lines = [
        f"Exported {result.backbone} to {result.path} ({size:.1f} MB, {result.seconds:.0f} s).",
        f"Variants: {', '.join(variant.name for variant in result.variants)}.",
    ]
    proved = [(variant.parity, variant.name) for variant in result.variants if variant.parity is not None]
    if proved:
        parity, name = min(proved, key=lambda pair: pair[0].cosine_mean)
        lines.append(f"Lowest mean cosine to float: {parity.cosine_mean:.4f} ({name}, n={parity.count}, bound {parity.bound}).")
    if warnings := _warnings(result):
        lines.append(f"warning: {'; '.join(warnings)}. Details: -v.")
    if result.proofs:
        kinds = Counter(row.kind for row in result.proofs)
        lines.append(f"Targets: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}.")
    return [*lines, f"Next: edgetl add PHOTOS -l CLASS -m {result.path} -s STORE"]


def _warnings(result: ExportResult) -> list[str]:
    warnings = []
    repaired = [variant.name for variant in result.variants if variant.search is not None and len(variant.search.steps) > 1]
    risk = None if result.diagnosis is None else next((risk for risk in result.diagnosis.risks if risk.serious), None)
    if risk is not None:
        warnings.append(f"int8 is hard for this network ({risk.code} in {risk.layer})")
    if repaired:
        warnings.append(f"repaired for int8: {', '.join(repaired)}")
    if result.adequacy is not None and not result.adequacy.enough:
        warnings.append(f"{result.adequacy.photos} calibration photos are too few")
    if result.skipped:
        warnings.append(f"unusable photos: {len(result.skipped)}")
    return warnings


def details(result: ExportResult) -> list[str]:
    """What makes int8 hard, whether the calibration photos suffice, which recipes were tried, time and memory."""
    lines = [] if result.diagnosis is None else diagnosis(result.diagnosis)
    lines += [] if result.adequacy is None else [adequacy(result.adequacy)]
    lines += [f"{variant.name}: {search(variant.search)}" for variant in result.variants if variant.search is not None]
    lines += [f"{photo} not used: {reason}" for photo, reason in result.skipped]
    return [*lines, f"{result.seconds:.0f} s, peak memory {result.peak_memory / 2**20:.0f} MiB"]


def diagnosis(result: Int8Diagnosis) -> list[str]:
    """One line per risk, and one if none is serious."""
    lines = [_risk(risk) for risk in result.risks]
    return (
        [*lines, f"int8 suits the network: no serious risk in {result.layers} layers (n={result.count} photos)."]
        if result.healthy
        else lines
    )


def adequacy(judged: Adequacy) -> str:
    """Whether the calibration photos suffice, with the numbers."""
    second = judged.photos - judged.photos // 2
    numbers = (
        f"the last {second} widened the ranges by {100 * judged.moved:.1f} %; {100 * judged.saturated:.4f} % of the values of "
        f"{judged.others} other photos lie outside (worst layer {judged.worst}: {100 * judged.worst_saturated:.3f} %)"
    )
    if judged.enough:
        return f"{judged.photos} calibration photos are enough: {numbers}."
    return f"{judged.photos} calibration photos are too few: {numbers}. Add more, and more varied ones."


def search(tried: Search) -> str:
    """Which recipe was used, and the table of all if there were several."""
    first = tried.steps[0]
    if len(tried.steps) == 1 and tried.met:
        return f"base recipe, mean cosine {first.cosine_mean:.4f} (n={first.count}, bound {tried.bound})"
    floats = f"; layers in float: {', '.join(tried.floats)}" if tried.floats else ""
    return f"used the last of {len(tried.steps)} recipes (n={first.count}){floats}\n{search_table(tried)}"


def search_table(tried: Search) -> str:
    """One row per recipe, and the layers with the costliest noise."""
    rows = [
        (
            repair(step),
            f"{step.cosine_mean:.4f}",
            f"{step.cosine_low:.4f}",
            f"{step.gained:+.4f}",
            step.count,
            f"{step.size / 2**20:.1f}",
            f"{step.latency:.1f}",
            f"{step.seconds:.1f}",
        )
        for step in tried.steps
    ]
    table = render(("recipe", "cosine", "lower 95 %", "gained", "n", "MiB", "ms", "s"), rows)
    worst = ", ".join(f"{layer.name} {layer.snr:.1f} dB (-{layer.lost:.4f})" for layer in tried.layers[:_WORST])
    return f"{table}\nLayers whose rounding costs most, with the cosine that each alone loses: {worst}" if worst else table


def repair(step: RepairStep) -> str:
    """A repair in words."""
    if step.repair == "float-layers":
        return f"worst {step.floats} of {step.layers} layers in float"
    return {
        "base": "base recipe",
        "mse-ranges": "ranges of least squared error",
        "equalised": "equalised channels",
        "equalised-mse-ranges": "equalised channels, ranges of least squared error",
    }[step.repair]


def _risk(risk: Int8Risk) -> str:
    values, layer = risk.values, risk.layer
    if risk.code == "uneven-channels":
        return (
            f"Uneven channels: in {'depthwise layer' if values['depthwise'] else 'layer'} {layer} the largest channel is {risk.value:.0f} "
            f"times the median one, so half of the channels share {STEPS / risk.value:.0f} of {STEPS} integer steps ({values['count']} of "
            f"{values['of']} layers are {UNEVEN:.0f} times uneven or more). Cut ranges may help, else these layers in float."
        )
    if risk.code == "silent-channels":
        return (
            f"Silent channels: {risk.value:.0f} have weights near zero ({values['count']} of them in {layer}); they get a small scale, "
            "because their own would overflow the integer bias."
        )
    if risk.code == "smooth-activations":
        return (
            f"Smooth activations: {values['count']} layers end in {values['activation']}, whose values below zero lie above "
            f"{values['lowest']:.2f}; in {layer} they get {risk.value:.0f} of {STEPS} integer steps. Cut ranges may help."
        )
    return f"Gates: {risk.value:.0f} squeeze-and-excitation gates multiply the rounding error of one value into a whole map."
