"""edgetl: a camera learns new things where it stands.

A frozen backbone is exported and quantised once into a bundle; on the device every labelled photo becomes a cached embedding, and a
light head is trained from those in milliseconds::

    from edgetl import Classifier
    shop = Classifier.open("lite0.edgetl", "shop.db")
    shop.add("mug.jpg", "mug")
    shop.train()
    shop.predict("frame.jpg").label
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgetl import errors

if TYPE_CHECKING:
    from edgetl.bundle.bundle import Bundle
    from edgetl.classifier import Classifier
    from edgetl.session.reports import Added, AddReport, AssessReport, EvalReport, ForgetReport, TrainReport
    from edgetl.stats import Proportion
    from edgetl.types import HeadInfo, ImageSpec, Prediction

__all__ = [
    "AddReport",
    "Added",
    "AssessReport",
    "Bundle",
    "Classifier",
    "EvalReport",
    "ForgetReport",
    "HeadInfo",
    "ImageSpec",
    "Prediction",
    "Proportion",
    "TrainReport",
    "errors",
]

_MODULES = {
    "bundle.bundle": ("Bundle",),
    "classifier": ("Classifier",),
    "session.reports": ("AddReport", "Added", "AssessReport", "EvalReport", "ForgetReport", "TrainReport"),
    "stats": ("Proportion",),
    "types": ("Prediction", "HeadInfo", "ImageSpec"),
}
"""Where the public names are defined; each module is loaded when one of its names is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            globals()[name] = value = getattr(importlib.import_module(f"edgetl.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
