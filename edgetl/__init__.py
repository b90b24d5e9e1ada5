"""edgetl: teach a camera new classes, on the device.

A frozen backbone is exported and quantised once into a bundle; on the device every labelled photo becomes a cached embedding, and a
light head is trained from those in milliseconds::

    from edgetl import Classifier
    classifier = Classifier.open("lite0.edgetl", "parts.db")
    classifier.add("mug.jpg", "mug")
    classifier.add("bowl.jpg", "bowl")
    classifier.train()
    classifier.predict("frame.jpg").label
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgetl import errors

if TYPE_CHECKING:
    from edgetl.bundle.bundle import Bundle
    from edgetl.choose.choose import choose as choose_bundle
    from edgetl.classifier import Classifier
    from edgetl.session.deployment import deploy_classifier, deploy_trainer, import_trainer
    from edgetl.session.reports import Added, AddReport, AssessReport, EvalReport, ForgetReport, TrainReport
    from edgetl.session.stored import StoredClassifier
    from edgetl.stats import Proportion
    from edgetl.store.merge import merge as merge_stores
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
    "StoredClassifier",
    "TrainReport",
    "choose_bundle",
    "deploy_classifier",
    "deploy_trainer",
    "errors",
    "import_trainer",
    "merge_stores",
]

_MODULES = {
    "bundle.bundle": ("Bundle",),
    "choose.choose": ("choose as choose_bundle",),
    "classifier": ("Classifier",),
    "session.deployment": ("deploy_classifier", "deploy_trainer", "import_trainer"),
    "session.reports": ("AddReport", "Added", "AssessReport", "EvalReport", "ForgetReport", "TrainReport"),
    "session.stored": ("StoredClassifier",),
    "stats": ("Proportion",),
    "store.merge": ("merge as merge_stores",),
    "types": ("Prediction", "HeadInfo", "ImageSpec"),
}
"""Where the public names are defined; each module is loaded when one of its names is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        for entry in names:
            own, _, public = entry.partition(" as ")
            if name == (public or own):
                globals()[name] = value = getattr(importlib.import_module(f"edgetl.{module}"), own)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
