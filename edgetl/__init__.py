"""edgetl: a camera learns new things where it stands.

A frozen backbone is exported and quantised once into a bundle; on the device every labelled photo becomes a cached embedding, and a
light head is trained from those in milliseconds::

    from edgetl import Classifier
    shop = Classifier.open("lite0.edgetl", "shop.db")
    shop.add("mug.jpg", "mug")
    shop.train()
    shop.predict("frame.jpg").label
"""

from edgetl import errors
from edgetl.bundle import Bundle
from edgetl.classifier import Classifier
from edgetl.reports import Added, AddReport, AssessReport, ForgetReport, TrainReport
from edgetl.types import EvalReport, Guess, HeadInfo, ImageSpec, Proportion

__all__ = [
    "AddReport",
    "Added",
    "AssessReport",
    "Bundle",
    "Classifier",
    "EvalReport",
    "ForgetReport",
    "Guess",
    "HeadInfo",
    "ImageSpec",
    "Proportion",
    "TrainReport",
    "errors",
]
