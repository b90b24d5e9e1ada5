"""Whether the calibration photos were enough: what others reach beyond their ranges, and how much the last of them still moved those."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.types import Pixels
from edgetl_exporters.quantise import ranges

COUNTS = (25, 50, 100, 200)
"""Numbers of photos at which ranges are compared with those of all."""

PHOTOS = 20
"""How many other photos are run to see what lies outside."""

SATURATED = 1e-3
"""The share of a layer's values outside its range from which more photos are asked for.

Measured on the layer where it is worst, with 128 photos of ImageNet: EfficientNet-Lite0, 1 and 2 at most 0.001 %; with random weights,
whose int8 fails, EfficientNet-B0 1.7 % and MobileNetV3-small 0.05 %.
"""

MOVED = 0.05
"""How much of a range the second half of the photos may bring, mean over layers.

Measured with 128 to 202 photos of ImageNet: EfficientNet-Lite0, 1 and 2 and MobileNetV2 1.2 to 2.2 %; with random weights, whose int8
fails, EfficientNet-B0 45 % and MobileNetV3-small 19 %.
"""


@dataclasses.dataclass(frozen=True)
class Adequacy:
    """Whether there were enough photos.

    Attributes:
        photos: that calibrate.
        others: photos that calibrate nothing, on which saturation was measured.
        saturated: the share of all layers' values on the others that lies outside the calibrated ranges.
        worst: the layer where most of them do.
        worst_saturated: its share.
        curve: (number of photos, width of their ranges relative to that of all photos, mean over layers).
        moved: what the second half of the photos added to the ranges, as a share of them, mean over layers.
    """

    photos: int
    others: int
    saturated: float
    worst: str
    worst_saturated: float
    curve: tuple[tuple[int, float], ...]
    moved: float

    @property
    def enough(self) -> bool:
        """Whether more photos would change little."""
        return self.moved <= MOVED and self.worst_saturated <= SATURATED

    def __str__(self) -> str:
        half = self.photos // 2
        numbers = (
            f"the last {self.photos - half} brought {100 * self.moved:.1f} % of the ranges' width, and "
            f"{100 * self.saturated:.4f} % of the values on {self.others} other photos lie outside (worst layer: {self.worst}, "
            f"{100 * self.worst_saturated:.3f} %)"
        )
        if self.enough:
            return f"{self.photos} calibration photos are enough: {numbers}"
        return f"{self.photos} calibration photos are few for this network: {numbers}; give more, and more different ones"


def judge(model: bytes, calibrating: Pixels, others: Pixels) -> Adequacy:
    """Compares the ranges of fewer photos with those of all, and looks at photos that calibrated nothing.

    Args:
        model: the float ONNX model, uint8 [n, h, w, 3] in.
        calibrating: uint8 [n, h, w, 3].
        others: uint8 [m, h, w, 3]; the first :data:`PHOTOS` are run.
    """
    float_ = ranges.read(model)
    extremes = float_.extremes(calibrating)
    outputs = [extremes.tensors.index(layer.output) for layer in float_.layers]
    widths = {
        count: extremes.high[:count].max(0)[outputs] - extremes.low[:count].min(0)[outputs]
        for count in {*COUNTS, len(calibrating) // 2, len(calibrating)}
    }
    whole = np.maximum(widths[len(calibrating)], np.finfo(np.float32).tiny)
    share = {count: float((width / whole).mean()) for count, width in widths.items()}
    outside = float_.outside(others[:PHOTOS], extremes.ranges()).mean(0)
    worst = int(outside.argmax())
    return Adequacy(
        photos=len(calibrating),
        others=min(PHOTOS, len(others)),
        saturated=float(outside.mean()),
        worst=float_.layers[worst].name,
        worst_saturated=float(outside[worst]),
        curve=tuple((count, share[count]) for count in sorted(share) if count <= len(calibrating)),
        moved=1 - share[len(calibrating) // 2],
    )
