"""Whether there are enough calibration photos: how well their ranges cover other photos, and how much the last ones widened them."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgetl.types import Pixels
from edgetl_exporters.quantise import ranges

COUNTS = (25, 50, 100, 200)
"""Numbers of photos at which ranges are compared with those of all."""

PHOTOS = 20
"""Other photos on which the values outside the ranges are counted."""

SATURATED = 1e-3
"""Share of a layer's values outside its range from which more photos are needed: docs/evidence/int8-diagnosis.md."""

MOVED = 0.05
"""Share of the ranges that the second half of the photos may add, mean over layers: docs/evidence/int8-diagnosis.md."""


@dataclasses.dataclass(frozen=True)
class Adequacy:
    """Whether there are enough calibration photos.

    Attributes:
        photos: number of calibration photos.
        others: number of other photos, on which saturation is measured.
        saturated: share of all layers' values on the other photos that lies outside the calibrated ranges.
        worst: the layer with the largest share.
        worst_saturated: its share.
        curve: (number of photos, width of their ranges relative to that of all photos, mean over layers).
        moved: share of the ranges that the second half of the photos added, mean over layers.
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
        """Whether more photos would hardly change the ranges."""
        return self.moved <= MOVED and self.worst_saturated <= SATURATED


def judge(model: bytes, calibrating: Pixels, others: Pixels) -> Adequacy:
    """Compares the ranges of fewer photos with those of all, and with the values of photos that do not calibrate.

    Args:
        model: the float ONNX model, uint8 [n, h, w, 3] in.
        calibrating: uint8 [n, h, w, 3].
        others: uint8 [m, h, w, 3]; the first :data:`PHOTOS` are run.
    """
    network = ranges.read(model)
    extremes = network.extremes(calibrating)
    outputs = [extremes.tensors.index(layer.output) for layer in network.layers]
    widths = {
        count: extremes.high[:count].max(0)[outputs] - extremes.low[:count].min(0)[outputs]
        for count in {*COUNTS, len(calibrating) // 2, len(calibrating)}
    }
    whole = np.maximum(widths[len(calibrating)], np.finfo(np.float32).tiny)
    share = {count: float((width / whole).mean()) for count, width in widths.items()}
    outside = network.outside(others[:PHOTOS], extremes.ranges()).mean(0)
    worst = int(outside.argmax())
    return Adequacy(
        photos=len(calibrating),
        others=min(PHOTOS, len(others)),
        saturated=float(outside.mean()),
        worst=network.layers[worst].name,
        worst_saturated=float(outside[worst]),
        curve=tuple((count, share[count]) for count in sorted(share) if count <= len(calibrating)),
        moved=1 - share[len(calibrating) // 2],
    )
