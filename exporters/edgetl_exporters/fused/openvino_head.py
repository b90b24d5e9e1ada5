"""OpenVINO: the head as operations behind the embedding."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgetl_exporters.fused.classes import OUTPUT, Classes
from edgetl_exporters.quiet import quiet

EXPECTS = (
    "Where the processor has bfloat16, OpenVINO computes in it unless INFERENCE_PRECISION_HINT is f32, and then a few answers differ: as "
    "edgetl computes, it is f32."
)
"""Flowers, EfficientNet-Lite0, a CPU with bfloat16: 195 of 200 answers are the same without the hint (int8: 191), all with it. It is the
backbone's rounding, not the head's, and a file cannot ask for f32."""
_TINY = 1e-30
"""A row of zeros stays zero: its length is taken to be this."""


def append(files: Mapping[str, bytes], head: Classes) -> dict[str, bytes]:
    """The model with the output `probabilities` float32 [n, c] in the place of its embedding; its input stays as it is.

    Args:
        files: the graph, then its weights.
        head: the head.
    """
    # OpenVINO sends usage statistics when it is imported, unless their module cannot be.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks a module that must not load
    import openvino
    from openvino import opset13 as ops

    (graph, _), (weights, _) = names = tuple(files.items())
    with quiet():
        model = openvino.Core().read_model(*(content for _, content in names))
        (result,) = model.get_results()
        embedding = result.input(0).get_source_output()
        if embedding.get_element_type() != openvino.Type.f32:
            embedding = ops.convert(embedding, "f32").output(0)
        rows = _unit(_powers(embedding, head))
        weight, bias = head.layer()
        made = ops.softmax(ops.add(ops.matmul(rows, weight, False, True), bias[None]), 1)
        made.set_friendly_name(OUTPUT)
        result.input(0).replace_source_output(made.output(0))
        result.output(0).get_tensor().set_names({OUTPUT})
        model.validate_nodes_and_infer_types()
        # The Model API's own list of labels is split at spaces.
        model.set_rt_info(json.dumps(head.labels, ensure_ascii=False), ["edgetl", "labels"])
        with tempfile.TemporaryDirectory() as folder:
            # Weights that are float16 stay so; the head's would lose what its probabilities are proved to.
            openvino.save_model(model, Path(folder) / graph, compress_to_fp16=False)
            return {graph: (Path(folder) / graph).read_bytes(), weights: (Path(folder) / graph).with_suffix(".bin").read_bytes()}


def _powers(embedding: Any, head: Classes) -> Any:
    from openvino import opset13 as ops

    if not head.rooted:
        return embedding
    if head.rooted == head.dim:
        return _roots(embedding)
    lengths = np.array([head.dim - head.rooted, head.rooted])
    first, last = ops.variadic_split(embedding, 1, lengths).outputs()
    return ops.concat([first, ops.multiply(_unit(_roots(last)), _length(last))], 1)


def _roots(values: Any) -> Any:
    from openvino import opset13 as ops

    return ops.multiply(ops.sign(values), ops.sqrt(ops.abs(values)))


def _length(values: Any) -> Any:
    from openvino import opset13 as ops

    return ops.reduce_l2(values, np.array([1]), True)


def _unit(values: Any) -> Any:
    from openvino import opset13 as ops

    return ops.divide(values, ops.maximum(_length(values), np.float32(_TINY)))
