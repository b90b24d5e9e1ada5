"""One .tflite file with which a phone learns: signatures `embed`, `train` and `predict`, for any LiteRT interpreter, without Python."""

from edgetl_exporters.trainer import state
from edgetl_exporters.trainer.description import Argument, Trainer, read_trainer
from edgetl_exporters.trainer.export import SLOTS, choose, export_trainer

__all__ = ["SLOTS", "Argument", "Trainer", "choose", "export_trainer", "read_trainer", "state"]
