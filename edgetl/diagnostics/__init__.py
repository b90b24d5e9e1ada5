"""The doctor: what is wrong with a photo when it is added, and with all photos of a store."""

from edgetl.diagnostics.class_check import check_classes
from edgetl.diagnostics.diagnosis import ClassHealth, Diagnosis, diagnose
from edgetl.diagnostics.finding import Finding, Kind
from edgetl.diagnostics.label_errors import Suspect
from edgetl.diagnostics.photo_check import admit, check
from edgetl.diagnostics.photo_history import Past

__all__ = ["ClassHealth", "Diagnosis", "Finding", "Kind", "Past", "Suspect", "admit", "check", "check_classes", "diagnose"]
