"""Frozen values that several layers share; every field with its shape, dtype and unit."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np
import numpy.typing as npt

from edgetl.errors import LabelError
from edgetl.stats import Proportion

if TYPE_CHECKING:
    from PIL import Image as PillowImage

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
Embeddings = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class NamedPhoto:
    """An encoded photo with a name for messages and for the store.

    Attributes:
        name: where it came from.
        content: JPEG, PNG, ...
    """

    name: str
    content: bytes


Photo = Union[str, "os.PathLike[str]", bytes, NamedPhoto, "PillowImage.Image", Pixels]
"""A photo as a path, encoded bytes (JPEG, PNG, ...) with or without a name, a PIL image, or uint8 pixels [h, w], [h, w, 1], [h, w, 3] or
[h, w, 4]."""

ColorOrder = Literal["rgb", "bgr"]
HeadKind = Literal["ncm", "lda", "ridge", "auto"]
HEAD_KINDS: tuple[HeadKind, ...] = ("ncm", "lda", "ridge", "auto")
ALLOWED_LOSS = 0.10
"""The accuracy that a class known before may lose by a training."""

TOP = 5
"""How many classes a prediction lists."""
MAX_LABEL = 100


_JOINERS = "\u200c\u200d"
"""Invisible, and part of words in Persian and Indian scripts and of emoji."""


def check_label(label: str) -> str:
    """Returns `label` in Unicode NFC.

    Allowed: 1 to 100 characters of any script, emoji and inner spaces included. Not allowed: empty, leading or trailing white space,
    control and invisible characters, line breaks, path separators, and the two folder names `.` and `..`, because labels are also
    folder names.

    Raises:
        LabelError: naming the label and the rule it breaks.
    """
    if not isinstance(label, str):
        raise LabelError(f"a label must be a str, not {type(label).__name__}: {label!r}", code="label-not-a-string", label=repr(label))
    label = unicodedata.normalize("NFC", label)
    shown = label if len(label) <= 40 else label[:40] + "..."

    def error(code: str, problem: str) -> LabelError:
        return LabelError(f"label {shown!r} {problem}", code=code, label=label)

    if not label or label != label.strip():
        raise error("label-blank", "is empty or begins or ends with white space; give it a visible name")
    if len(label) > MAX_LABEL:
        raise error("label-too-long", f"has {len(label)} characters; at most {MAX_LABEL} are allowed")
    if "/" in label or "\\" in label or label in (".", ".."):
        raise error("label-path", "contains a path separator or is the name of a folder itself; use '-' instead")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in label):
        raise error("label-control-character", "contains a control character or a line break; remove it")
    if any(unicodedata.category(character) == "Cf" and character not in _JOINERS for character in label) or not label.strip(_JOINERS):
        shown = shown.encode("ascii", "backslashreplace").decode()
        raise error("label-invisible-character", "contains an invisible character: two classes would look the same. Remove it")
    return label


_PLAIN = (str, int, float, bool, type(None))


def to_json(value: Any) -> Any:
    """Turns a value of this module, or a container of them, into what `json.dumps` takes."""
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {**fields, **value.extra_json()} if isinstance(value, Proportion) else fields
    if isinstance(value, Mapping):
        return {str(k): v if type(v) in _PLAIN else to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [v if type(v) in _PLAIN else to_json(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


def digest(value: Any) -> str:
    """The sha256 (hex) of a value's canonical JSON."""
    import hashlib
    import json

    return hashlib.sha256(json.dumps(to_json(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """How a photo becomes the model's input tensor; part of the fingerprint.

    Attributes:
        width: input width, pixels.
        height: input height, pixels.
        resize: the short side to which the whole photo is scaled before the centre crop, pixels (256 for a 0.875 crop of 224).
        filter: resampling filter, antialiased when it shrinks.
        draft: JPEGs are decoded at the smallest DCT scale whose short side is still at least `draft * resize` pixels; 0 decodes in full.
        kind: what is fed in. Other kinds of input will have specs of their own, told apart by this.
    """

    width: int
    height: int
    resize: int
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    draft: int = 2
    kind: Literal["photo"] = "photo"

    def __post_init__(self) -> None:
        """Rejects a spec that no photo can follow.

        Raises:
            ValueError: a size that is not positive, a crop larger than the short side it is cut from, an unknown filter, or another kind.
        """
        if not all(isinstance(value, int) for value in (self.width, self.height, self.resize, self.draft)) or self.draft < 0:
            raise ValueError(f"sizes are whole pixels and draft is 0 or more: {self}")
        if not 0 < min(self.width, self.height) <= max(self.width, self.height) <= self.resize:
            raise ValueError(f"the crop must fit into the short side, width and height between 1 and resize: {self}")
        if self.filter not in ("bicubic", "bilinear"):
            raise ValueError(f"filter {self.filter!r}, expected bicubic or bilinear")
        if self.kind != "photo":
            raise ValueError(f"kind {self.kind!r}, expected photo")


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Everything that changes the numbers of an embedding.

    Attributes:
        model: sha256 (hex) of the model file.
        input: how a photo becomes the model's input.
        family: the runtime family that computes it (`litert`, `onnxruntime`, `openvino`, `fake`).
        precision: `fp32`, `fp16` or `int8`.
        dim: the embedding's length d, values.
        levels: the lengths of the pooled stages it is made of, earliest first, the last stage last; they add up to `dim`. Empty for the
            last stage alone.
    """

    model: str
    input: ImageSpec
    family: str
    precision: str
    dim: int
    levels: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 (hex) over all fields."""
        return digest(self)

    def differences(self, other: Fingerprint) -> list[str]:
        """One line per field that differs, `name: mine != theirs`."""
        mine, theirs = to_json(self), to_json(other)
        return [f"{name}: {mine[name]} != {theirs[name]}" for name in mine if mine[name] != theirs[name]]


@dataclasses.dataclass(frozen=True)
class Capture:
    """What the camera gave, measured when a photo was added.

    Attributes:
        width: of the photo as it came, pixels.
        height: of the photo as it came, pixels.
        brightness: mean luma of the model's input, gray levels in [0, 255].
        contrast: standard deviation of that luma, gray levels.
        sharpness: see :mod:`edgetl.inputs.photo.capture`; higher is sharper.
        warmth: see :mod:`edgetl.inputs.photo.capture`; above 0 the light is redder than white, below 0 bluer, and 0 in a gray photo.
        taken: when, by the camera's own clock (EXIF), seconds since 1970; None if the file does not have it.
        thumbnail: a small JPEG; empty if none is stored.
    """

    width: int
    height: int
    brightness: float
    contrast: float
    sharpness: float
    warmth: float
    taken: float | None = None
    thumbnail: bytes = b""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One prediction.

    Attributes:
        label: the best class; None if the photo is rejected (`code` says why).
        probability: the best class's probability, in [0, 1].
        top: classes with their probabilities, best first; also if `label` is None.
        candidates: the conformal set: the classes it may be at the requested confidence; None if none was requested, or without a label.
        code: `labelled`; `unknown-object` (unlike the training photos); or `reject-class` (the best class is `none`, `background` or
            `unknown`).
    """

    label: str | None
    probability: float
    top: tuple[tuple[str, float], ...]
    candidates: tuple[str, ...] | None = None
    code: Literal["labelled", "unknown-object", "reject-class"] = "labelled"
    score: float | None = None
    limit: float | None = None


@dataclasses.dataclass(frozen=True)
class HeadInfo:
    """One row of the head history.

    Attributes:
        id: its number; they only grow.
        kind: the algorithm.
        labels: the classes it knows.
        samples: how many samples it was trained from.
        accuracy: its leave-one-out accuracy when it was trained; n is 0 if that is not known: it came from a file, or
            was adapted to another place.
        created: seconds since 1970 by the device's clock, which may be wrong; `id` orders, this only informs.
        size: its bytes in the store.
        active: whether `predict` uses it.
        not_activated_because: why it was saved but not activated, in a sentence; empty if it was activated.
    """

    id: int
    kind: str
    labels: tuple[str, ...]
    samples: int
    accuracy: Proportion
    created: float
    size: int
    active: bool
    not_activated_because: str = ""
