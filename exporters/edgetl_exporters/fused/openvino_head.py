"""OpenVINO: the head as operations behind the embedding."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgetl_exporters.convert import to_openvino
from edgetl_exporters.fused.classes import OUTPUT, Classes
from edgetl_exporters.quiet import quiet

EXPECTS = (
    "On a processor with bfloat16, set INFERENCE_PRECISION_HINT to f32, as edgetl does; otherwise OpenVINO computes in bfloat16, and a few "
    "answers differ."
)
"""How many answers differ: docs/evidence/fused-classifiers.md."""
_TINY = 1e-30
"""Least length of a row, so that a row of zeros stays zero."""


def append(files: Mapping[str, bytes], head: Classes) -> dict[str, bytes]:
    """The model with the output `probabilities` float32 [n, c] instead of its embedding; the input does not change.

    Args:
        files: the graph, then its weights.
        head: the head.
    """
    openvino = to_openvino.library()
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
        probabilities = ops.softmax(ops.add(ops.matmul(rows, weight, False, True), bias[None]), 1)
        probabilities.set_friendly_name(OUTPUT)
        result.input(0).replace_source_output(probabilities.output(0))
        result.output(0).get_tensor().set_names({OUTPUT})
        model.validate_nodes_and_infer_types()
        # The Model API's own list of labels is split at spaces.
        model.set_rt_info(json.dumps(head.labels, ensure_ascii=False), ["edgetl", "labels"])
        with tempfile.TemporaryDirectory() as folder:
            # float16 weights stay float16; in float16 the head's own would be too coarse for the proof of its probabilities.
            openvino.save_model(model, Path(folder) / graph, compress_to_fp16=False)
            return {graph: (Path(folder) / graph).read_bytes(), weights: (Path(folder) / graph).with_suffix(".bin").read_bytes()}


def _powers(embedding: Any, head: Classes) -> Any:
    from openvino import opset13 as ops

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
