"""An .onnx file from anywhere: read without trust, cut before its last layer, with pixels as its new input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetl.types import Array, Pixels
from edgetl_exporters import metadata
from edgetl_exporters.convert.to_onnx import INPUT, OUTPUT
from edgetl_exporters.errors import file_error
from edgetl_exporters.files.tflite import broken, nan_weights, no_tensor

OPSET = 13
"""Per-channel quantisation needs it; older files are converted."""

_SHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast", "Clip")
_BEHIND = (*_SHAPING, "Softmax", "LogSoftmax", "Sigmoid", "QuantizeLinear", "DequantizeLinear")
"""Operators that may follow a classifier, because they neither add nor mix values."""

_PROBABILITIES = ("Softmax", "LogSoftmax")
_INTEGER = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger", "QLinearMatMul")
_HEAD, _FLATTEN = "normalisation/", "flatten"
"""Names of the nodes that are added before and behind the network."""

_PIXELS = {TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8, TensorProto.FLOAT: np.float32}


class OnnxNetwork:
    """One file; cut and with pixels as its input, it becomes a backbone (see :class:`edgetl_exporters.sources.file_source.FileSource`).

    Attributes:
        name: of the file, for messages.
        precision: `int8` if it computes with integers, else `fp32`.
        input_name: its input.
        output_name: its output.
        channels_first: whether the input is NCHW.
        stated: its metadata.
        size: the input's width and height; 0 if free.
    """

    def __init__(self, content: bytes, name: str) -> None:
        """Reads a file.

        Raises:
            ExportError: `file-damaged`, `weights-elsewhere`, `weights-nan`, `several-inputs`, `input-type` or `input-shape`.
        """
        self.name = name
        self._model = _read(content, name)
        self._graph = self._model.graph
        self._check()
        self.precision = "int8" if any(node.op_type in _INTEGER for node in self._graph.node) else "fp32"
        self._input, self.output_name = self._only_input(), self._graph.output[0].name
        self.input_name = self._input.name
        self.stated = metadata.of_onnx(self._model)
        self.dtype = self._pixel_type()
        shape = self._input.type.tensor_type.shape.dim
        sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in shape]
        if len(sizes) != 4 or 3 not in (sizes[1], sizes[3]):
            raise file_error(
                name,
                f"its input {self.input_name!r} has the shape {sizes}, expected [n, 3, h, w] or [n, h, w, 3] (0 is free)",
                code="input-shape", shape=sizes,
            )  # fmt: skip
        self.channels_first = sizes[1] == 3
        height, width = sizes[2:] if self.channels_first else sizes[1:3]
        self.size = (width, height)

    @property
    def outputs(self) -> list[str]:
        """The names of all outputs."""
        return [output.name for output in self._graph.output]

    def normalisation(self) -> tuple[float, float] | None:
        """Mean and std in pixel values that the input's type implies, if any."""
        return {np.uint8: (0.0, 1.0), np.int8: (128.0, 1.0)}.get(self.dtype)

    def dim(self) -> int:
        """The output's last size; 0 if not known."""
        sizes = self._graph.output[0].type.tensor_type.shape.dim
        return int(sizes[-1].dim_value) if len(sizes) else 0

    def probabilities(self) -> bool:
        """Whether the output is a softmax."""
        node = self._maker(self.output_name)
        return node is not None and node.op_type in _PROBABILITIES

    def last_layer(self) -> str:
        """The input of the last Gemm, MatMul or 1x1 Conv, from which a classifier computes its scores.

        Raises:
            ExportError: the file does not end in such a layer.
        """
        layer = self._last()
        if layer is None:
            node = self._maker(self.output_name)
            operator = "an input" if node is None else node.op_type
            raise file_error(
                self.name,
                f"no classifier to cut: {self.output_name!r} comes from {operator}, expected Gemm, MatMul or a 1x1 Conv with "
                "constant weights; name the embedding with --cut TENSOR", code="classifier-not-found", operator=operator,
            )  # fmt: skip
        return str(layer.input[0])

    def classifier(self) -> tuple[Array, Array] | None:
        """Weights float32 [c, d] and bias [c] of the last layer, dequantised, if there is one."""
        node = self._last()
        weights = None if node is None else self._weights(node.input[1])
        if node is None or weights is None:
            return None
        matrix = weights.reshape(weights.shape[:2]) if node.op_type == "Conv" else weights.T
        if node.op_type == "Gemm" and _attribute(node, "transB", 0):
            matrix = weights
        bias = self._weights(node.input[2]) if len(node.input) > 2 else self._added(node.output[0])
        return np.ascontiguousarray(matrix), np.zeros(len(matrix), np.float32) if bias is None else bias.reshape(-1)

    def cut(self, tensor: str) -> None:
        """Makes a tensor the output and drops everything that it does not need.

        Raises:
            ExportError: `tensor-unknown`, with the nearest names.
        """
        names = [name for node in self._graph.node for name in node.output if name]
        if tensor not in names:
            raise no_tensor(self.name, tensor, names)
        needed, kept = {tensor}, []
        for node in reversed(self._graph.node):  # sorted, as the format asks
            if needed.intersection(node.output):
                needed.update(_read_by(node))
                kept.append(node)
        _replace(self._graph.node, kept[::-1])
        _replace(self._graph.initializer, [entry for entry in self._graph.initializer if entry.name in needed])
        _replace(self._graph.input, [entry for entry in self._graph.input if entry.name in needed | {self.input_name}])
        _replace(self._graph.output, [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None)])
        self.output_name = tensor

    def pool(self) -> None:
        """Replaces the output [n, c, h, w] by its mean over places."""
        pooled = f"{self.output_name}/pooled"
        self._graph.node.append(helper.make_node("GlobalAveragePool", [self.output_name], [pooled], name=pooled))
        _replace(self._graph.output, [helper.make_tensor_value_info(pooled, TensorProto.FLOAT, None)])
        self.output_name = pooled

    def prepared(self, size: tuple[int, int], mean: Sequence[float], std: Sequence[float], bgr: bool) -> bytes:
        """The backbone: uint8 RGB [n, h, w, 3] in, the output flattened to [n, d] out, n free.

        Args:
            size: width, height.
            mean: of the red, green and blue pixel values.
            std: of the same.
            bgr: whether the network takes blue first.

        Raises:
            ExportError: `opset-too-old`, or `normalisation-unusable` for an input of uint8 pixels.
        """
        if self.dtype is np.uint8 and (any(mean) or any(value != 1 for value in std)):
            raise file_error(
                self.name,
                f"its input {self.input_name!r} takes uint8 pixels as they are; omit --mean and --std", code="normalisation-unusable",
            )  # fmt: skip
        model = onnx.ModelProto.FromString(self._model.SerializeToString())
        graph = model.graph
        renamed = _make_room(graph)
        own_input, own_output = (renamed.get(name, name) for name in (self.input_name, self.output_name))
        del graph.value_info[:]
        _free_batch(graph)
        head = list(self._head(graph, own_input, size[0], mean, std, bgr))
        _replace(graph.node, [*head, *graph.node, helper.make_node("Flatten", [own_output], [OUTPUT], axis=1, name=_FLATTEN)])
        _replace(graph.input, [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", size[1], size[0], 3])])
        _replace(graph.output, [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", None])])
        model.ir_version = max(model.ir_version, 7)
        del model.metadata_props[:]  # they describe the previous input
        return bytes(self._modern(model).SerializeToString())

    def shapes(self, prepared: bytes, tensors: Pixels) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of the output before it is flattened, and after, as ONNX Runtime computes them.

        Args:
            prepared: the result of :meth:`prepared`.
            tensors: uint8 [n, h, w, 3].

        Raises:
            ExportError: ONNX Runtime cannot load or run it.
        """
        import onnxruntime

        model = onnx.ModelProto.FromString(prepared)
        own = model.graph.node[-1].input[0]
        model.graph.output.append(helper.make_tensor_value_info(own, TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            flat, output = session.run([OUTPUT, own], {INPUT: tensors})
        except Exception as error:  # onnxruntime has an exception for each kind of failure, without a common one
            raise file_error(
                self.name, f"onnxruntime cannot run it on {len(tensors)} photos: {_first(error)}", code="not-runnable"
            ) from error
        return output.shape, flat.shape

    def _head(self, graph: Any, own_input: str, width: int, mean: Sequence[float], std: Sequence[float], bgr: bool) -> Iterator[Any]:
        """The nodes from uint8 NHWC RGB to the file's own input."""

        def constant(name: str, values: Array) -> str:
            graph.initializer.append(numpy_helper.from_array(values, name))
            return name

        last = INPUT
        steps: list[tuple[str, list[str], dict[str, Any]]] = []
        if self.dtype is not np.uint8:
            steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
            # Whole rows rather than three values: the inner loop runs over a row (see edgetl_exporters.backbones.graph.Graph).
            steps.append(("Sub", [constant(f"{_HEAD}mean", _row(mean, width))], {}))
            steps.append(("Mul", [constant(f"{_HEAD}scale", _row([1 / value for value in std], width))], {}))
        if self.dtype is np.int8:
            steps.append(("Round", [], {}))
            steps.append(("Clip", [constant(f"{_HEAD}low", np.float32(-128)), constant(f"{_HEAD}high", np.float32(127))], {}))
            steps.append(("Cast", [], {"to": TensorProto.INT8}))
        if bgr:
            steps.append(("Gather", [constant(f"{_HEAD}bgr", np.array([2, 1, 0]))], {"axis": 3}))
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}) if self.channels_first else ("Identity", [], {}))
        for number, (kind, more, options) in enumerate(steps):
            output = own_input if number == len(steps) - 1 else f"{_HEAD}{number}"
            yield helper.make_node(kind, [last, *more], [output], name=f"{_HEAD}{kind}/{number}", **options)
            last = output

    def _modern(self, model: Any) -> Any:
        now = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        if now >= OPSET:
            return model
        try:
            return onnx.version_converter.convert_version(model, OPSET)
        except Exception as error:  # its C++ raises RuntimeError, and others
            raise file_error(
                self.name,
                f"its opset {now} cannot be converted to {OPSET} ({_first(error)}); export it again",
                code="opset-too-old", opset=now, minimum=OPSET,
            ) from error  # fmt: skip

    def _check(self) -> None:
        for tensor in _tensors(self._graph):
            if tensor.data_location == TensorProto.EXTERNAL:
                raise file_error(
                    self.name,
                    f"its weights are in other files ({tensor.name!r}); put them into one file with: python -c "
                    f"\"import onnx; onnx.save(onnx.load('{self.name}'), 'whole.onnx', save_as_external_data=False)\"",
                    code="weights-elsewhere", tensor=tensor.name,
                )  # fmt: skip
        try:
            onnx.checker.check_model(self._model)
        except Exception as error:  # its C++ raises ValidationError, RuntimeError, and others
            raise file_error(self.name, f"not valid ONNX ({_first(error)}); export it again", code="file-damaged") from error
        for tensor in _tensors(self._graph):
            real = tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
            if real and broken(numpy_helper.to_array(tensor)):
                raise nan_weights(self.name, tensor.name)

    def _only_input(self) -> Any:
        constants = {entry.name for entry in self._graph.initializer}
        inputs = [entry for entry in self._graph.input if entry.name not in constants]  # before IR 4 initializers were inputs too
        if len(inputs) != 1:
            names = ", ".join(repr(entry.name) for entry in inputs) or "none"
            raise file_error(
                self.name,
                f"has {len(inputs)} inputs ({names}), expected one, the photo",
                code="several-inputs", inputs=[entry.name for entry in inputs],
            )  # fmt: skip
        return inputs[0]

    def _pixel_type(self) -> Any:
        kind = self._input.type.tensor_type.elem_type
        if kind not in _PIXELS:
            dtype = TensorProto.DataType.Name(kind).lower()
            raise file_error(
                self.name,
                f"its input {self.input_name!r} is {dtype}, expected float (float32), uint8 or int8", code="input-type", dtype=dtype,
            )  # fmt: skip
        return _PIXELS[kind]

    def _maker(self, tensor: str) -> Any | None:
        return next((node for node in self._graph.node if tensor in node.output), None)

    def _last(self) -> Any | None:
        """The classifier's node, found from the output backwards over operators that only reshape, scale or add a bias."""
        node = self._maker(self.output_name)
        while node is not None:
            if node.op_type in ("Gemm", "MatMul", "Conv"):
                return node if self._is_linear(node) else None
            if node.op_type == "Add":
                computed = [name for name in node.input if self._constant(name) is None]
                ahead = self._maker(computed[0]) if len(computed) == 1 else None
                node = ahead if ahead is not None and ahead.op_type in ("MatMul", *_BEHIND) else None
            else:
                node = self._maker(node.input[0]) if node.op_type in _BEHIND else None
        return None

    def _is_linear(self, node: Any) -> bool:
        weights = self._weights(node.input[1])
        if weights is None:
            return False
        one_pixel = weights.ndim == 4 and weights.shape[2:] == (1, 1) and _attribute(node, "group", 1) == 1
        return one_pixel if node.op_type == "Conv" else weights.ndim == 2

    def _weights(self, name: str) -> Array | None:
        """The value of a constant, dequantised if a DequantizeLinear makes it."""
        value, node = self._constant(name), self._maker(name)
        if value is not None or node is None or node.op_type != "DequantizeLinear":
            return value
        stored, scale, zero = (self._constant(part) for part in (*node.input, "")[:3])
        if stored is None or scale is None:
            return None
        along = [1] * stored.ndim
        if scale.size > 1:
            along[_attribute(node, "axis", 1)] = -1
        centred = stored.astype(np.float32) - (0 if zero is None else zero.astype(np.float32).reshape(along))
        return np.asarray(centred * scale.reshape(along), np.float32)

    def _constant(self, name: str) -> Array | None:
        for entry in self._graph.initializer:
            if entry.name == name:
                return np.asarray(numpy_helper.to_array(entry))
        node = self._maker(name)
        if node is None or node.op_type != "Constant" or node.attribute[0].name != "value":
            return None
        return np.asarray(numpy_helper.to_array(node.attribute[0].t))

    def _added(self, name: str) -> Array | None:
        """The bias that is added to a tensor."""
        node = next((node for node in self._graph.node if node.op_type == "Add" and name in node.input), None)
        return None if node is None else next((value for other in node.input if (value := self._constant(other)) is not None), None)


def _read(content: bytes, name: str) -> Any:
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError, of whichever of its three implementations
        raise file_error(
            name, f"not an .onnx file, or a truncated one ({len(content)} bytes: {_first(error)}); copy it again", code="file-damaged"
        ) from error
    if not model.graph.node or not model.graph.output or not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        raise file_error(name, "not an .onnx file, or an empty one: it contains no ONNX operators", code="file-damaged")
    return model


def _row(values: Sequence[float], width: int) -> Array:
    return np.tile(np.asarray(values, np.float32), (1, 1, width, 1))


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _replace(entries: Any, by: Sequence[Any]) -> None:
    kept = list(by)
    del entries[:]
    entries.extend(kept)


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)


def _graphs(node: Any) -> list[Any]:
    """The graphs inside a node, of If, Loop and Scan."""
    return [graph for entry in node.attribute for graph in (*([entry.g] if entry.HasField("g") else []), *entry.graphs)]


def _tensors(graph: Any) -> Iterator[Any]:
    """Every constant, including those of inner graphs."""
    yield from graph.initializer
    for node in graph.node:
        for entry in node.attribute:
            yield from (*([entry.t] if entry.HasField("t") else []), *entry.tensors)
        for inside in _graphs(node):
            yield from _tensors(inside)


def _read_by(node: Any) -> set[str]:
    """The tensors that a node reads, including the graphs inside it."""
    return set(node.input).union(*(_read_by(inner) for graph in _graphs(node) for inner in graph.node))


def _rename(graph: Any, old: str, new: str) -> None:
    for entry in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        if entry.name == old:
            entry.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
        for inside in _graphs(node):
            _rename(inside, old, new)


def _make_room(graph: Any) -> dict[str, str]:
    """Renames tensors that have the names of the new nodes, e.g. in a file that was prepared before; returns old name -> new name."""
    names = {entry.name for entry in (*graph.input, *graph.initializer)} | {name for node in graph.node for name in node.output}
    renamed = {}
    for old in sorted(name for name in names if name in (INPUT, OUTPUT) or name.startswith(_HEAD)):
        new = old
        while new in names:
            new += "/own"
        _rename(graph, old, new)
        names.add(new)
        renamed[old] = new
    for node in graph.node:
        if node.name == _FLATTEN or node.name.startswith(_HEAD):
            node.name = ""
    return renamed


def _free_batch(graph: Any) -> None:
    """A Reshape to [1, ...] keeps its input's first size instead: many exporters write the batch of their example as a constant."""
    reshapes = [node for node in graph.node if node.op_type == "Reshape"]
    for node in reshapes:  # a 0 then means the input's size, as it did before that attribute
        _replace(node.attribute, [entry for entry in node.attribute if entry.name != "allowzero"])
    shapes = {node.input[1] for node in reshapes}
    others = {name for node in graph.node for name in node.input[: 1 if node.op_type == "Reshape" else None]}
    held = [entry for entry in graph.initializer if entry.name in shapes - others]
    held += [node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.output[0] in shapes - others]
    for tensor in held:
        sizes = numpy_helper.to_array(tensor).copy()
        if sizes.ndim == 1 and len(sizes) > 1 and sizes[0] == 1:
            sizes[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))
