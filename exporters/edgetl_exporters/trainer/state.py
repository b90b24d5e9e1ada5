"""A trainer's state outside of the phone: computed from a store's photos, stored as safetensors, and read as a linear classifier."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from edgetl.errors import ExportError
from edgetl.types import Array, Embeddings
from edgetl_exporters.errors import file_error

NAMES = ("counts", "sums", "squares", "within")


def of_photos(x: Embeddings, classes: Array, slots: int, alpha: float) -> dict[str, Array]:
    """The state after any number of steps of :func:`edgetl_exporters.trainer.rule.add_train`, from all photos at once.

    Args:
        x: power-normalised embeddings, float32 [n, d].
        classes: class of each row, int [n], below `slots`.
        slots: the most classes.
        alpha: the regularisation.
    """
    rows: Array = x.astype(np.float64)
    counts, sums = np.bincount(classes, minlength=slots), np.zeros((slots, x.shape[1]))
    np.add.at(sums, classes, rows)
    means = sums / np.maximum(counts, 1)[:, None]
    scatter = rows.T @ rows - (counts[:, None] * means).T @ means
    left = alpha * np.linalg.inv(scatter + alpha * np.eye(len(scatter)))
    state = {"counts": counts, "sums": sums, "squares": np.einsum("cd,cd->c", means @ left, means), "within": np.eye(len(left)) - left}
    return {name: array.astype(np.float32) for name, array in state.items()}


def linear(state: Mapping[str, Array], alpha: float) -> tuple[Embeddings, Embeddings]:
    """Weight float32 [c, d] and bias float32 [c] whose logits of a power-normalised embedding are those of `predict`, before temperature.

    The part common to all classes is subtracted, as in :meth:`edgetl.heads.training_set.Reading.linear`.
    """
    means = state["sums"].astype(np.float64) / np.maximum(state["counts"], 1)[:, None]
    weight, bias = (means - means @ state["within"]) / alpha, -state["squares"].astype(np.float64) / (2 * alpha)
    return (weight - weight.mean(0)).astype(np.float32), (bias - bias.mean()).astype(np.float32)


def write(path: str | os.PathLike[str], state: Mapping[str, Array], labels: Sequence[str]) -> None:
    """Writes a state with the names of its first slots.

    Raises:
        ExportError: it cannot be written.
    """
    content = safetensors.numpy.save(dict(state), {"labels": json.dumps(labels, ensure_ascii=False)})
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}", code="not-writable", path=os.fspath(path)) from error


def read(path: str | os.PathLike[str], slots: int, dim: int) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Reads a state that an app wrote: the arrays and class names of the used slots.

    Raises:
        ExportError: `file-unreadable`, or `state-unusable`: not a state, or with other shapes or counts than the trainer's.
    """
    try:
        content = Path(path).read_bytes()
        arrays = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        labels = tuple(map(str, json.loads(header["__metadata__"]["labels"])))
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}", code="file-unreadable", path=os.fspath(path)) from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise file_error(
            path,
            f"not a state ({type(error).__name__}: {error}); expected safetensors with {', '.join(NAMES)} and metadata 'labels'",
            code="state-unusable",
        ) from error
    count, many = len(labels), min(slots, len(arrays.get("counts", ())))
    expected = {"counts": (many,), "sums": (many, dim), "squares": (many,), "within": (dim, dim)}
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != expected or any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
        raise file_error(
            path, f"contains {shapes}; expected finite float32 {expected}", code="state-unusable", shapes=shapes, expected=expected
        )
    if not 2 <= count <= many or not (arrays["counts"][:count] > 0).all() or arrays["counts"][count:].any():
        raise file_error(
            path,
            f"{count} labels for photos per class {arrays['counts'].tolist()}; expected two or more, with photos each",
            code="state-unusable", labels=count, counts=arrays["counts"].tolist(),
        )  # fmt: skip
    return {name: arrays[name] if name == "within" else arrays[name][:count] for name in NAMES}, labels
