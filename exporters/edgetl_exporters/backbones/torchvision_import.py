"""torchvision's models, even if its compiled operators do not fit this torch."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

import torch

from edgetl.errors import ExportError

_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
_declared: list[Any] = []  # torch drops a declaration together with its Library object


def models() -> Any:
    """Imports `torchvision.models`.

    PyPI's torchvision beside a CPU-only torch cannot load its compiled operators, and its import fails because it describes
    two of them (nms, qnms) without checking that they exist. Classification networks call none of them, so each missing one is declared
    without an implementation, and the import repeated.

    Raises:
        ExportError: it is not installed.
    """
    while True:
        try:
            return importlib.import_module("torchvision.models")
        except ImportError as error:
            raise ExportError(
                f"torchvision does not load here ({error}); pip install 'edgetl[export]'", code="library-missing", library="torchvision"
            ) from error
        except RuntimeError as error:
            missing = _MISSING.search(str(error))
            if missing is None:
                raise
            _declare(missing.group(1))


def _declare(operator: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
