"""The doctor: what is wrong with a photo when it is added, and with all photos of a store."""

from edgetl.doctor.check import admit, check
from edgetl.doctor.classes import check_classes
from edgetl.doctor.diagnosis import ClassHealth, Diagnosis, diagnose
from edgetl.doctor.finding import Finding, Kind
from edgetl.doctor.past import Past
from edgetl.doctor.suspects import Suspect

__all__ = ["ClassHealth", "Diagnosis", "Finding", "Kind", "Past", "Suspect", "admit", "check", "check_classes", "diagnose"]
