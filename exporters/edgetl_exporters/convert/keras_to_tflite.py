"""TensorFlow functions as TFLite (TensorFlow's own converter and full-integer quantisation) and as ONNX (tf2onnx)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgetl.errors import ExportError
from edgetl.types import ImageSpec, Pixels
from edgetl_exporters.backbones import keras_import
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.quiet import quiet

_OPSET = 18
"""The highest of tf2onnx."""


def compiled(forward: Callable[[Any], Any], image: ImageSpec) -> Callable[[Any], Any]:
    """A TensorFlow function as a graph for any batch; in eager mode it would keep every layer's output until its end."""
    tensorflow, _ = keras_import.load()
    pixels = tensorflow.TensorSpec((None, image.height, image.width, 3), tensorflow.float32)
    graph: Callable[[Any], Any] = tensorflow.function(forward, input_signature=(pixels,))
    return graph


def tflite(forward: Callable[[Any], Any], image: ImageSpec, photos: Pixels | None = None) -> bytes:
    """The model with input [1, h, w, 3] in [0, 255] and output [1, d], float32 without photos, with photos int8.

    Full integer (https://ai.google.dev/edge/litert/models/post_training_quantization): activations per tensor, weights per channel, ranges
    that span all photos, int8 in and out. With float32 out the last values would be the same int8 ones behind one more operation.

    Args:
        forward: a TensorFlow function, float32 [n, h, w, 3] -> [n, d].
        image: for the input's size.
        photos: uint8 [n, h, w, 3] that calibrate.

    Raises:
        ExportError: `not-convertible`: an operation that TFLite, or its integer arithmetic, does not have.
    """
    tensorflow, _ = keras_import.load()
    with _converting("TFLite"):
        converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([_frozen(forward, image)])
        if photos is not None:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _fed(photos)
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        return bytes(converter.convert())


def onnx(forward: Callable[[Any], Any], image: ImageSpec) -> bytes:
    """The model with uint8 input [batch, h, w, 3] and float32 output [batch, d], batch free.

    Raises:
        ExportError: `library-missing`: tf2onnx, or `not-convertible`: an operation that it does not know.
    """
    tensorflow, _ = keras_import.load()
    try:
        import tf2onnx
        from onnx import checker
    except ImportError as error:
        raise ExportError(
            f"Keras networks are converted to ONNX by tf2onnx, which does not load here ({error}); pip install 'edgetl[keras]'",
            code="library-missing", library="tf2onnx",
        ) from error  # fmt: skip
    pixels = tensorflow.TensorSpec((None, image.height, image.width, 3), tensorflow.uint8, name=to_onnx.INPUT)
    with _converting("ONNX"):
        function = tensorflow.function(lambda pixels: {to_onnx.OUTPUT: forward(tensorflow.cast(pixels, tensorflow.float32))})
        model, _ = tf2onnx.convert.from_function(function, input_signature=(pixels,), opset=_OPSET)
        _fill_captured(model, function.get_concrete_function(pixels).graph.captures)
        checker.check_model(model)  # tf2onnx leaves unknown operations unchanged
    return bytes(model.SerializeToString())


def _fill_captured(model: Any, captures: Any) -> None:
    """Turns the constants that a TensorFlow function captured into initialisers of the ONNX model: tf2onnx makes them inputs."""
    from onnx import numpy_helper

    values = {inner.name: outer for outer, inner in captures}
    for entry in [entry for entry in model.graph.input if entry.name in values]:
        model.graph.initializer.append(numpy_helper.from_array(values[entry.name].numpy(), entry.name))
        model.graph.input.remove(entry)


@contextlib.contextmanager
def _converting(format_: str) -> Iterator[None]:
    """Turns a converter's failure into one sentence instead of its pages.

    Raises:
        ExportError: `not-convertible`, with the missing operations if the converter names them.
    """
    failed = None
    with quiet():
        try:
            yield
        except Exception as error:  # the converters have no common exception for a network that is not theirs
            failed = error
    if failed is not None:
        missing = sorted(set(re.findall(r"\btf\.([A-Z]\w+)", str(failed))))
        reason = f"it has no {', '.join(missing)}" if missing else (str(failed).strip() or type(failed).__name__).splitlines()[0][:200]
        raise ExportError(
            f"the network cannot be converted to {format_}: {reason}; try another format of --format",
            code="not-convertible", format=format_, missing=missing,
        ) from failed  # fmt: skip


def _frozen(forward: Callable[[Any], Any], image: ImageSpec) -> Any:
    """The function with its variables as constants: otherwise Keras 3's stay variables in the TFLite file."""
    tensorflow, _ = keras_import.load()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    pixels = tensorflow.TensorSpec((1, image.height, image.width, 3), tensorflow.float32)
    return convert_variables_to_constants_v2(tensorflow.function(forward).get_concrete_function(pixels))


def _fed(photos: Pixels) -> Iterator[list[Any]]:
    """The photos one by one; the first gets a black and a white pixel, so that the input's scale is 1 and its zero point -128."""
    for number, photo in enumerate(photos):
        image = photo[None].astype(np.float32)
        if number == 0:
            image[0, 0, 0], image[0, -1, -1] = 0.0, 255.0
        yield [image]
