"""The trained head: one matrix, one vector, and the names of its classes."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from edgetl.errors import HeadError, LabelError
from edgetl.heads.confidence.conformal import Conformal
from edgetl.heads.confidence.rejection import POINTS, SCORES, OperatingPoint, Rejected, Rejection, is_reject_class
from edgetl.heads.linalg.normalisation import signed_roots
from edgetl.types import HEAD_KINDS, Array, Embeddings, check_label

FORMAT = "edgetl-head-1"
_REJECTION, _LIMITS = ("weight", "bias", "offset", "form"), ("threshold", "reach")


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier of normalised embeddings; everything that was subtracted in training is folded into the bias.

    Attributes:
        kind: the algorithm that made it.
        labels: class names, in the order of the rows.
        weight: float32 [c, d].
        bias: float32 [c].
        temperature: the logits are divided by this before the softmax; fitted on held-out logits.
        rooted: of how many of the last values of an embedding it reads roots, at least 1: the last level's, or all
            (:func:`edgetl.heads.linalg.normalisation.signed_roots`).
        counts: training photos per class; empty if unknown.
        fingerprint: digest of the embeddings' fingerprint; empty if unknown.
        rejection: how it rejects unknown objects; None with too few training photos.
        conformal: how it makes conformal prediction sets; None if unknown.
    """

    kind: str
    labels: tuple[str, ...]
    weight: Embeddings
    bias: Embeddings
    temperature: float
    rooted: int
    counts: tuple[int, ...] = ()
    fingerprint: str = ""
    rejection: Rejection | None = None
    conformal: Conformal | None = None

    def logits(self, embeddings: Array) -> Embeddings:
        """Scores float32 [n, c] of embeddings float32 [n, d], or [c] of one embedding [d]; the highest is the prediction.

        Raises:
            HeadError: embeddings of another length, or with a NaN or an infinity inside.
        """
        return self.linear(self.normalise(embeddings))

    def probabilities(self, embeddings: Array) -> Embeddings:
        """Softmax of `logits / temperature`, float32, same shape and errors as :meth:`logits`."""
        return self._odds(self.logits(embeddings))

    def decide(self, embedding: Embeddings, unknown: OperatingPoint | None = None) -> tuple[Embeddings, Rejected | None]:
        """Probabilities float32 [c] of one embedding [d], and why it gets no label; None if it gets the most probable one.

        Args:
            embedding: float32 [d].
            unknown: the operating point; None is the one that was trained for.

        Raises:
            HeadError: as :meth:`logits`, or an unknown operating point.
        """
        x = self.normalise(embedding)
        probabilities = self._odds(self.linear(x))
        best = self.labels[int(probabilities.argmax())]
        if is_reject_class(best):
            return probabilities, Rejected("reject-class")
        return probabilities, None if self.rejection is None else self.rejection.reject(x, unknown)

    def normalise(self, embeddings: Array) -> Embeddings:
        """Makes embeddings what the weights read, float32, with the shape and the errors of :meth:`logits`; a zero row stays zero."""
        x = np.asarray(embeddings, np.float32)
        if x.ndim not in (1, 2) or x.shape[-1] != self.weight.shape[1]:
            message = f"this head reads embeddings of {self.weight.shape[1]} values, not an array of shape {list(x.shape)}"
            raise HeadError(message, code="embedding-shape", shape=list(x.shape), expected=self.weight.shape[1])
        x = signed_roots(x, self.rooted)
        if x.ndim == 2:
            norms = np.sqrt(np.einsum("nd,nd->n", x, x))
            _check_norm(float(norms.sum()))
            rows: Embeddings = x / np.where(norms > 0, norms, np.float32(1))[:, None]
            return rows
        norm = math.sqrt(x.dot(x))
        _check_norm(norm)
        row: Embeddings = x * np.float32(1 / norm if norm > 0 else 1)
        return row

    def linear(self, x: Embeddings) -> Embeddings:
        """Scores float32 [n, c] or [c] of embeddings that are normalised already, as :meth:`normalise` gives them."""
        scores: Embeddings = x @ self.weight.T + self.bias
        return scores

    def _odds(self, logits: Embeddings) -> Embeddings:
        scaled: Embeddings = logits * np.float32(1 / self.temperature)
        scaled -= scaled.max(-1, keepdims=True)
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum(-1, keepdims=True)
        return scaled

    def candidates(self, embedding: Embeddings, confidence: float = 0.9) -> tuple[str, ...]:
        """The conformal prediction set of one embedding [d], most probable class first: it contains the correct class with this confidence.

        It holds for photos of trained classes; :mod:`edgetl.heads.confidence.conformal` has the exact guarantee.

        Raises:
            HeadError: as :meth:`logits`, or a class with too few photos for this confidence (the message says how many more).
        """
        if self.conformal is None:
            raise HeadError("this head has no conformal prediction sets; train again to make a head that has", code="no-prediction-sets")
        probabilities = self.probabilities(embedding)
        inside = self.conformal.holds(probabilities, self.labels, confidence)
        return tuple(self.labels[i] for i in np.argsort(-probabilities, kind="stable") if inside[i])

    def to_bytes(self) -> bytes:
        """The head as a safetensors file; the inverse of :meth:`from_bytes`."""
        stated = {
            "format": FORMAT,
            "rooted": json.dumps(self.rooted),
            "kind": self.kind,
            "labels": json.dumps(self.labels, ensure_ascii=False),
            "counts": json.dumps(self.counts),
            "fingerprint": self.fingerprint,
        }
        arrays = {"weight": self.weight, "bias": self.bias, "temperature": np.array([self.temperature], np.float64)}
        if self.rejection is not None:
            stated["rejection"] = self.rejection.score
            arrays |= {f"rejection.{name}": getattr(self.rejection, name) for name in _REJECTION}
            arrays |= {f"rejection.{name}": np.array([getattr(self.rejection, name)], np.float64) for name in _LIMITS}
            arrays["rejection.limits"] = np.array(self.rejection.limits, np.float64)
        if self.conformal is not None:
            stated["conformal"] = json.dumps(self.conformal.sizes)
            arrays["conformal.scores"] = self.conformal.scores
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        stated["crc"] = str(_crc(stated, {name: array.tobytes() for name, array in whole.items()}))
        return bytes(save(whole, stated))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "head") -> Head:
        """Reads a head and checks all of it before anything is used.

        Args:
            data: what :meth:`to_bytes` wrote.
            name: for messages, e.g. the file's name.

        Raises:
            HeadError: not a head, damaged, or one whose arrays or names do not fit together.
        """
        try:
            return _read(data)
        except HeadError as error:
            raise HeadError(f"{name}: {error}", code=error.code, name=name, **error.values) from None
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"{name} is not an edgetl head ({type(error).__name__}: {error}); train again to make a new one"
            raise HeadError(message, code="not-a-head", name=name) from None


def _check_norm(norm: float) -> None:
    if not math.isfinite(norm):
        message = "the embedding has a NaN or an infinity (or overflows float32); check the runtime with `edgetl bundle inspect`"
        raise HeadError(message, code="embedding-not-finite")


def _crc(stated: Mapping[str, str], arrays: Mapping[str, bytes]) -> int:
    """CRC32 of the metadata, and of every array under its name."""
    crc = crc32(json.dumps(stated, sort_keys=True).encode())
    for name in sorted(arrays):
        crc = crc32(arrays[name], crc32(name.encode(), crc))
    return crc


def _read(data: bytes) -> Head:
    entries = dict(deserialize(data))  # type: ignore[no-untyped-call]
    arrays = {name: _array(entry) for name, entry in entries.items()}
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    stated = header["__metadata__"]
    if stated["format"] != FORMAT:
        message = f"format {stated['format']!r} is unknown; this edgetl reads {FORMAT!r}"
        raise HeadError(message, code="head-format-unknown", format=stated["format"], expected=FORMAT)
    crc = stated.pop("crc")
    if crc != str(_crc(stated, {name: bytes(entry["data"]) for name, entry in entries.items()})):
        raise HeadError("its bytes have changed since it was written; copy or export it again", code="head-damaged")
    labels, counts = tuple(json.loads(stated["labels"])), tuple(json.loads(stated["counts"]))
    rejection, conformal = None, None
    if "conformal" in stated:
        conformal = Conformal(arrays["conformal.scores"], tuple(json.loads(stated["conformal"])))
    if "rejection" in stated:
        weight, bias, offset, form = (arrays[f"rejection.{name}"] for name in _REJECTION)
        threshold, reach = (_number(arrays[f"rejection.{name}"], f"rejection.{name}") for name in _LIMITS)
        limits = tuple(arrays["rejection.limits"].tolist())
        rejection = Rejection(stated["rejection"], weight, bias, offset, form, threshold, reach, limits)
    head = Head(
        stated["kind"],
        labels,
        arrays["weight"],
        arrays["bias"],
        _number(arrays["temperature"], "temperature"),
        json.loads(stated["rooted"]),
        counts,
        stated["fingerprint"],
        rejection,
        conformal,
    )
    _check(head)
    if rejection is not None:
        _check_rejection(rejection, head.weight.shape)
    if conformal is not None:
        _check_conformal(conformal, len(labels))
    return head


def _array(entry: dict[str, Any]) -> Array:
    if entry["dtype"] not in ("F32", "F64"):
        raise HeadError(f"an array has type {entry['dtype']}; expected F32 or F64")
    array: Array = np.frombuffer(entry["data"], {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]).reshape(entry["shape"])
    return array


def _number(array: Array, name: str) -> float:
    if array.shape != (1,):
        raise HeadError(f"{name} has shape {list(array.shape)}; expected [1]")
    return float(array[0])


def _check(head: Head) -> None:
    classes = len(head.labels)
    if head.kind not in HEAD_KINDS:
        raise HeadError(f"kind {head.kind!r} is unknown; expected one of {', '.join(HEAD_KINDS)}")
    try:
        known = {check_label(label) for label in head.labels}
    except LabelError as error:
        raise HeadError(str(error)) from None
    if not classes or len(known) != classes:
        raise HeadError(f"{classes} class names, {len(known)} of them different; expected at least one and no name twice")
    if head.weight.ndim != 2 or len(head.weight) != classes or not head.weight.shape[1] or head.bias.shape != (classes,):
        raise HeadError(f"weight {list(head.weight.shape)} and bias {list(head.bias.shape)} do not fit {classes} classes")
    if type(head.rooted) is not int or not 1 <= head.rooted <= head.weight.shape[1]:
        raise HeadError(f"roots of {head.rooted!r} of {head.weight.shape[1]} values; expected the length of the last level, or all of them")
    if head.weight.dtype != np.float32 or head.bias.dtype != np.float32:
        raise HeadError(f"weight is {head.weight.dtype} and bias {head.bias.dtype}; expected float32")
    if not (np.isfinite(head.weight).all() and np.isfinite(head.bias).all()):
        raise HeadError("weight or bias holds a NaN or an infinity")
    if not (math.isfinite(head.temperature) and head.temperature > 0):
        raise HeadError(f"temperature is {head.temperature}; expected a number above 0")
    if head.counts and (len(head.counts) != classes or not all(type(count) is int and count >= 0 for count in head.counts)):
        raise HeadError(f"counts {head.counts!r} do not fit {classes} classes")


def _check_rejection(rejection: Rejection, shape: tuple[int, ...]) -> None:
    classes, dim = shape
    if rejection.score not in SCORES or (rejection.score == "margin" and classes < 2):
        raise HeadError(
            f"rejection by {rejection.score!r} of {classes} classes; expected one of {', '.join(SCORES)}, margin of two or more"
        )
    own = max(rejection.offset.size, classes) if rejection.score == "mahalanobis" else classes
    rows = classes if rejection.score == "distance" else own + classes
    for name, expected in zip(_REJECTION, ((rows, dim), (rows,), (own,), (own, own))):
        array = getattr(rejection, name)
        if array.shape != expected or array.dtype != np.float32 or not np.isfinite(array).all():
            raise HeadError(
                f"rejection.{name} is {array.dtype} {list(array.shape)}; expected float32 {list(expected)} without NaN or infinity"
            )
    limits = rejection.limits
    if not all(map(math.isfinite, (rejection.threshold, rejection.reach, *limits))) or len(limits) != len(POINTS):
        raise HeadError(
            f"rejection's threshold is {rejection.threshold}, its reach {rejection.reach} and its limits {limits}; expected finite "
            f"numbers, and a limit for each of {', '.join(POINTS)}"
        )


def _check_conformal(conformal: Conformal, classes: int) -> None:
    scores, sizes = conformal.scores, conformal.sizes
    if len(sizes) != classes or not all(type(size) is int and size >= 0 for size in sizes) or scores.shape != (sum(sizes),):
        raise HeadError(f"conformal.scores {list(scores.shape)} and sizes {sizes!r} do not fit {classes} classes")
    rises = np.diff(scores) >= 0
    rises[[end - 1 for end in np.cumsum(sizes)[:-1].tolist() if 0 < end < len(scores)]] = True
    if scores.dtype != np.float32 or not (np.isfinite(scores).all() and rises.all() and (scores >= 0).all() and (scores <= 1).all()):
        raise HeadError("conformal.scores are not float32 numbers in [0, 1], ascending within each class")
