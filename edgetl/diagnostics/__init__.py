"""What may be wrong with photos, classes and labels; how accurate a classifier is and will be; why a photo gets its label."""

from edgetl.diagnostics.class_check import check_classes
from edgetl.diagnostics.diagnosis import ClassHealth, Diagnosis, diagnose
from edgetl.diagnostics.finding import Finding, FindingCode
from edgetl.diagnostics.label_errors import LikelyLabelError
from edgetl.diagnostics.photo_check import check
from edgetl.diagnostics.photo_history import PhotoHistory

__all__ = [
    "ClassHealth",
    "Diagnosis",
    "Finding",
    "FindingCode",
    "LikelyLabelError",
    "PhotoHistory",
    "check",
    "check_classes",
    "diagnose",
]
