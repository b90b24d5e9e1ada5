"""The texts of `deploy classifier` and `deploy trainer`: the files, their proof, and what a program must do with photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgetl.cli.output.common import failures, listed, number, size
from edgetl.session.deployment import DeployedTrainer
from edgetl.tables import render


def classifier(fused: Any, *, verbose: bool) -> list[str]:
    """The files, classes and proof; with `verbose` their digests, what the file expects, and what it cannot do."""
    proof, check = fused.agreement, fused.check
    folder = Path(fused.path) if fused.target else Path(fused.path).parent
    digest = {file.path: f"  sha256 {file.sha256}" if verbose else "" for file in fused.files}
    lines = [f"{folder / file.path}: {size(file.size)}{digest[file.path]}" for file in fused.files]
    lines.append(
        f"{fused.variant} and a head of {size(fused.added)}; {number(len(fused.labels), 'class', 'classes')}: {listed(fused.labels)}."
    )
    lines.append(f"Proved on {proof.library}: same class on {proof.top1.hits} of {proof.top1.n} pictures.")
    if check is not None:
        lines.append(f"Checked against edgetl with {check.variant}: same class on {check.top1.hits} of {check.top1.n} photos.")
        lines += failures(check.failed, verbose=verbose)
    if not verbose:
        return [*lines, f"next: -v lists what the file expects and what it cannot do ({len(fused.left_out)})."]
    lines.append(f"Probabilities differ by at most {proof.max_abs:.1e} (bound {proof.bound:.0e}).")
    if check is not None:
        lines.append(f"In the check they differ by at most {check.max_abs:.2g}; {100 * check.bound:.0f} % of the classes must be the same.")
        if check.known:
            lines.append(f"warning: {check.known} photos were not checked: used for training, or given twice")
    return [*lines, *fused.expects, *fused.left_out]


def trainer(deployed: DeployedTrainer, path: str, *, verbose: bool) -> list[str]:
    """The file and how an app uses it; with `verbose` every argument of its signatures."""
    file = deployed.trainer
    image = file.image
    start = f"{deployed.state} ({listed(deployed.labels)})" if deployed.state else "zeros"
    lines = [
        f"{path}: {size(file.size)} with {file.backbone} {file.variant}, up to {file.slots} classes.",
        f"Photo: short side {image.resize} pixels ({image.filter}), then the centre {image.width}x{image.height}.",
        f"State: {size(file.state_size)}, kept by the app; at first {start}.",
    ]
    if not verbose:
        return [*lines, "next: -v lists the arguments of embed, train and predict."]
    rows = [(row.signature, row.way, row.name, row.dtype, "x".join(map(str, row.shape)), row.meaning) for row in file.arguments]
    table = render(("signature", "", "name", "dtype", "shape", "meaning"), rows)
    return [table, "", *lines, f"Builtin operators only: {', '.join(file.operators)}."]
