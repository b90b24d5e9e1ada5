"""One .tflite file with which a phone learns: signatures `embed`, `train` and `predict`, for any LiteRT interpreter, without Python."""

from edgetl_exporters.trainer.export import SLOTS, Argument, Trainer, export_trainer

__all__ = ["SLOTS", "Argument", "Trainer", "export_trainer"]
