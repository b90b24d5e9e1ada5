"""The table target x variant of a bundle: every variant is proved on every target (:mod:`edgetl.bundle.proofs` shows it)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgetl.bundle import writer
from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof, ProofKind
from edgetl.errors import EdgetlError, ExportError, RuntimeUnavailable
from edgetl.inputs.photo.folders import Progress
from edgetl.types import Array, Embeddings, Pixels
from edgetl_exporters import targets as all_targets
from edgetl_exporters.targets import ProofTarget
from edgetl_exporters.targets.job import ProofJob


def prove(
    bundle: Bundle,
    tensors: Pixels,
    expected: Embeddings | None,
    *,
    targets: Sequence[str] | None = None,
    classifier: tuple[Array, Array] | None = None,
    truth: Sequence[int] | None = None,
    few: int = 20,
    progress: Progress | None = None,
) -> tuple[Proof, ...]:
    """Proves every variant on every target, and stores the rows in the bundle.

    A target that is not on this machine gives a row of kind `absent` with the reason, and one on which the variant does not work a row of
    kind `failed`; neither stops the others.

    Args:
        bundle: as written.
        tensors: uint8 [n, h, w, 3].
        expected: float32 [n, d], the float network's embeddings of them; None without a float network: no row has a cosine.
        targets: their names, see :func:`edgetl_exporters.targets.known`; None is all of them.
        classifier: the network's own last layer, float32 [c, d] and [c].
        truth: the photos' classes as that layer counts them.
        few: how many of the photos an emulator embeds, evenly spread; about one second each.
        progress: called with (rows done, rows in all).

    Raises:
        ExportError: `unknown-target`, `photos-missing`, `unknown-class`, or `plugin-unusable`.
        BundleError: the rows cannot be stored.
    """
    chosen = all_targets.chosen(targets)
    if not len(tensors):
        raise ExportError("a variant is proved with photos; give a folder with --calibrate FOLDER", code="photos-missing")
    if classifier is not None and truth is not None and not all(0 <= index < len(classifier[1]) for index in truth):
        raise ExportError(
            f"labelled photos have the classes {min(truth)} to {max(truth)}; the network has 0 to {len(classifier[1]) - 1}",
            code="unknown-class", lowest=min(truth), highest=max(truth), classes=len(classifier[1]),
        )  # fmt: skip
    job = ProofJob(bundle, tensors, expected, classifier, None if truth is None else np.asarray(truth), few)
    cells = [(target, cell) for target in chosen for cell in target.cells(bundle)]
    rows = []
    for done, (target, cell) in enumerate(cells, 1):
        rows.append(_row(target, job, *cell))
        if progress:
            progress(done, len(cells))
    writer.add_proofs(bundle.path, rows)
    return tuple(rows)


def _row(target: ProofTarget, job: ProofJob, name: str, variant: str) -> Proof:
    kind: ProofKind = "failed"
    try:
        return target.prove(job, name, variant)
    except RuntimeUnavailable as error:
        kind, reason = "absent", str(error)
    except EdgetlError as error:
        reason = str(error)
    except Exception as error:  # one target's library must not take the others' rows away
        reason = f"{type(error).__name__}: {error}"
    return Proof(name, variant, "", kind, 0, None, None, None, {}, reason)
