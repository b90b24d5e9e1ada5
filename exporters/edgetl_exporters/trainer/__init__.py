"""One .tflite file with which a phone learns, with the signatures `embed`, `train` and `predict`, without Python.

Why its graph is written operator by operator: docs/evidence/trainer-graph.md.
"""

from edgetl_exporters.trainer import state
from edgetl_exporters.trainer.description import Argument, Trainer, read_trainer
from edgetl_exporters.trainer.export import SLOTS, choose, export_trainer

__all__ = ["SLOTS", "Argument", "Trainer", "choose", "export_trainer", "read_trainer", "state"]
