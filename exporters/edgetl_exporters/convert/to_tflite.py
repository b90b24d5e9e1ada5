"""TFLite: litert-torch, and ai-edge-quantizer's full-integer quantisation."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgetl.types import Array, ImageSpec, Pixels
from edgetl_exporters.quantise import ranges
from edgetl_exporters.quantise.ranges import PhotoKey
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.quiet import quiet

_WHITE = 255.0
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def export(graph: torch.nn.Module, image: ImageSpec) -> bytes:
    """The model with float32 input [1, h, w, 3] in [0, 255] and float32 output [1, d].

    The batch is 1: a device embeds one photo at a time, and XNNPACK plans its memory for one shape.
    """
    with quiet(), tempfile.TemporaryDirectory() as folder:
        import litert_torch

        converted = litert_torch.convert(graph, (torch.zeros(1, image.height, image.width, 3),))
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        return path.read_bytes()


def quantise(model: bytes, photos: Pixels, recipe: Recipe) -> bytes:
    """Full integer: int8 activations per tensor, int8 weights per channel, int8 in and out.

    The input's range is set to [0, 255], so its scale is 1 and its zero point -128: a uint8 pixel becomes the input by one XOR.

    Ranges span all photos; the quantizer's default, a moving average, cuts off the values of few photos: docs/evidence/torch-export.md.

    Args:
        model: the float model with input [1, h, w, 3] in [0, 255].
        photos: uint8 [n, h, w, 3] that calibrate.
        recipe: its ranges and float layers are used.
    """
    tensor_ranges = _ranges(model, PhotoKey(photos), recipe.ranges)
    with quiet():
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer import recipe as recipes
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        kept = [node for i in recipe.floats for node in layers(model)[i]]
        rules = [
            *recipes.static_wi8_ai8(),
            *({"regex": f"^{re.escape(node)};$", "operation": "*", "algorithm_key": AlgorithmName.NO_QUANTIZE} for node in kept),
        ]
        quantiser = quantizer.Quantizer(bytearray(model), rules)
        stated = {name: {"min": low, "max": high} for name, (low, high) in tensor_ranges.items()}
        return bytes(quantiser.quantize(stated, enable_progress_report=False).quantized_model)


@functools.lru_cache(2)
def layers(model: bytes) -> tuple[tuple[str, ...], ...]:
    """Per layer, in the order they run, the names of the tensors that it and the operators up to the next layer compute."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

    model_t = flatbuffer.read_model(model)
    (graph,) = model_t.subgraphs
    result: list[list[str]] = []
    for operator in graph.operators:
        name = str(flatbuffer.TFL_OP_CODE_TO_NAME.get(model_t.operatorCodes[operator.opcodeIndex].builtinCode, ""))
        if (
            name.rpartition(".")[2] in _WEIGHTED
            and operator.inputs[1] >= 0
            and model_t.buffers[graph.tensors[operator.inputs[1]].buffer].data is not None
        ):
            result.append([])
        if result:
            result[-1] += [flatbuffer.get_tensor_name(graph.tensors[number]) for number in operator.outputs]
    return tuple(map(tuple, result))


@functools.lru_cache(8)
def _ranges(model: bytes, photos: PhotoKey, kind: str) -> Mapping[str, tuple[Array, Array]]:
    """Tensor -> its smallest and largest value, of the kind that :data:`edgetl_exporters.quantise.ranges.RANGES` names."""
    if kind == "minmax":
        return _extremes(model, photos.pixels)
    whole = dict(_ranges(model, photos, "minmax"))
    interpreter = _open(model)
    (image,) = interpreter.get_input_details()
    places = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details() if detail["name"] in whole}
    moving = [name for name in places if name != image["name"] and whole[name][0].size == 1]
    counts: dict[str, Array] = {}
    for photo in photos.pixels[: ranges.HISTOGRAM]:
        interpreter.set_tensor(image["index"], photo[None].astype(np.float32))
        interpreter.invoke()
        for name in moving:
            low, high = whole[name]
            counts[name] = counts.get(name, 0) + ranges.histogram(interpreter.get_tensor(places[name]), low.item(), high.item())
    for name, counted in counts.items():
        low, high = whole[name]
        first, last = ranges.cut(counted, low.item(), high.item())
        whole[name] = (np.full_like(low, first), np.full_like(high, last))
    return whole


def _extremes(model: bytes, photos: Pixels) -> Mapping[str, tuple[Array, Array]]:
    """Tensor -> its smallest and largest value over all photos.

    The quantizer's calibrator runs the first photo and determines which tensors have a range. On the others each tensor is read once,
    without a copy; the calibrator reads a tensor for every operator that uses it, and takes twice as long.
    """
    interpreter = _open(model)
    (pixels,) = interpreter.get_input_details()
    ranges = _first(model, interpreter, photos[0])
    computed = {number for operator in interpreter._get_ops_details() for number in operator["outputs"]}
    places = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details() if detail["index"] in computed}
    moving = {number: name for number, name in places.items() if name in ranges and ranges[name][0].size == 1}
    for photo in photos[1:]:
        interpreter.set_tensor(pixels["index"], photo[None].astype(np.float32))
        interpreter.invoke()
        for number, name in moving.items():
            low, high = ranges[name]
            values = interpreter.tensor(number)()
            np.minimum(low, values.min(), out=low)
            np.maximum(high, values.max(), out=high)
            del values  # the interpreter cannot continue while a view of its memory exists
    low, high = ranges[pixels["name"]]
    ranges[pixels["name"]] = (np.zeros_like(low), np.full_like(high, _WHITE))
    return ranges


def _first(model: bytes, interpreter: Any, photo: Pixels) -> dict[str, tuple[Array, Array]]:
    """The ranges of every tensor that the quantizer asks for, constants included, on one photo."""
    with quiet():
        from ai_edge_quantizer import calibrator, recipe_manager
        from ai_edge_quantizer import recipe as recipes
        from ai_edge_quantizer.utils import qsv_utils

        ((signature, names),) = interpreter.get_signature_list().items()
        rules = recipe_manager.RecipeManager()
        rules.load_quantization_recipe(recipes.static_wi8_ai8())
        measured = calibrator.Calibrator(model, num_threads=2, qsv_update_func=qsv_utils.min_max_update)
        # A list: the quantizer walks over it twice.
        measured.calibrate({signature: [{names["inputs"][0]: photo[None].astype(np.float32)}]}, rules)
        return {name: (np.array(values["min"]), np.array(values["max"])) for name, values in measured.get_model_qsvs().items()}


def _open(model: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_content=model, experimental_preserve_all_tensors=True, num_threads=2)
        interpreter.allocate_tensors()
    return interpreter
