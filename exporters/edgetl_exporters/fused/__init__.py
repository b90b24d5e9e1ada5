"""Fused export: a backbone and a trained head as one ordinary classifier file, for programs without edgetl.

The head comes as plain arrays (:class:`Classes`): the exporters know neither the store nor the heads. Every format appends the same
arithmetic to the variant's own graph, which does not change, and the file is proved on its own runtime before it is written.
"""

from edgetl_exporters.fused.check import Answers, Check
from edgetl_exporters.fused.classes import Classes
from edgetl_exporters.fused.export import FORMATS, TARGETS, Fused, fuse
from edgetl_exporters.fused.proof import Agreement

__all__ = ["FORMATS", "TARGETS", "Agreement", "Answers", "Check", "Classes", "Fused", "fuse"]
