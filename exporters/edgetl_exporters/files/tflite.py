"""Reads a .tflite file into objects without trusting it, edits it and writes it.

The objects are those of the published schema (tensorflow/compiler/mlir/lite/schema/schema.fbs), whose Python classes come with
ai-edge-litert. Nothing here runs a model. LiteRT can open every file that :func:`read` accepts without reading outside of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetl.errors import ExportError
from edgetl.types import Array
from edgetl_exporters.errors import file_error

IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"
DESCRIPTION = "TFLITE_METADATA"
"""The metadata entry that describes inputs and outputs; a cut removes it."""

_ALIGNMENT = 16
_PACKED = {"INT4": 4, "UINT4": 4, "INT2": 2}
_OPCODES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_TYPES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}


class _Buffer(schema.BufferT):  # type: ignore[misc]  # the schema's classes are untyped to mypy
    """A buffer whose data begin at a multiple of 16 bytes, as the schema's `force_align` requires and its Python classes do not."""

    data: Any

    def Pack(self, builder: Any) -> Any:  # noqa: N802  # the schema's name
        if self.data is not None:
            self.data = np.ascontiguousarray(self.data, dtype=np.uint8)
            builder.Prep(_ALIGNMENT, self.data.size)
        return super().Pack(builder)


def read(content: bytes, name: str) -> Any:
    """The model (`schema.ModelT`) of a .tflite file, with every index and size in it checked.

    Args:
        content: the file.
        name: its name, for messages.

    Raises:
        ExportError: `file-damaged`, `weights-elsewhere`, `weights-nan`, or `operator-unknown`.
    """
    if content[4:8] != IDENTIFIER:
        raise file_error(name, f"not a .tflite file (its bytes 4 to 8 are {content[4:8]!r}, expected {IDENTIFIER!r})", code="file-damaged")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        _fill(model)
        _draw_in(model, content)
        _check(model, name)
    except ExportError:
        raise
    except Exception as error:  # flatbuffers has no exception of its own: struct.error, IndexError, ValueError, MemoryError, ...
        raise file_error(
            name,
            f"a truncated or damaged .tflite file of {len(content)} bytes ({type(error).__name__}: {error}); copy it again",
            code="file-damaged", size=len(content),
        ) from error  # fmt: skip
    return model


def pack(model: Any) -> bytes:
    """The file of a model; the same model gives the same bytes."""
    model.buffers = [_Buffer(buffer.data, buffer.offset, buffer.size) for buffer in model.buffers]
    builder = flatbuffers.Builder(sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers) + 65536)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def new(description: str = "") -> Any:
    """A model without a graph."""
    return schema.ModelT(
        version=3, operatorCodes=[], subgraphs=[], description=description, buffers=[_Buffer()], metadata=[], signatureDefs=[]
    )


def sign(
    model: Any, inputs: Mapping[str, int], outputs: Mapping[str, int], key: str = SIGNATURE, subgraph: int = 0, *, alone: bool = False
) -> None:
    """Gives a graph a signature: a function by name, with named arguments and results.

    Args:
        model: changed.
        inputs: argument -> tensor.
        outputs: result -> tensor.
        key: the function's name.
        subgraph: the graph's number.
        alone: removes every other signature.
    """
    kept = [] if alone else [signature for signature in model.signatureDefs if _text(signature.signatureKey) != key]
    maps = [[schema.TensorMapT(name, index) for name, index in names.items()] for names in (inputs, outputs)]
    model.signatureDefs = [*kept, schema.SignatureDefT(*maps, key, subgraph)]


def prune(model: Any) -> None:
    """Drops the tensors and buffers that nothing uses."""
    for number, graph in enumerate(model.subgraphs):
        signatures = [signature for signature in model.signatureDefs if signature.subgraphIndex == number]
        _keep_tensors(graph, [named for signature in signatures for named in (*signature.inputs, *signature.outputs)])
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    used = {0, *(holder.buffer for holder in (*tensors, *model.metadata))}
    numbers = {old: new for new, old in enumerate(sorted(used))}
    model.buffers = [model.buffers[old] for old in numbers]
    for holder in (*tensors, *model.metadata):
        holder.buffer = numbers[holder.buffer]


class TfliteGraph:
    """One graph of a model, edited in place; tensors are known by their number.

    Attributes:
        model: the model (`schema.ModelT`).
        raw: the graph (`schema.SubGraphT`).
        file: the file's name, for messages.
    """

    def __init__(self, model: Any, number: int = 0, file: str = "model.tflite") -> None:
        self.model, self.raw, self.file = model, model.subgraphs[number], file

    @classmethod
    def add(cls, model: Any, name: str) -> TfliteGraph:
        """A new, empty graph at the end of the model."""
        model.subgraphs.append(schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[], name=name))
        return cls(model, len(model.subgraphs) - 1)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        values: Array | None = None,
        *,
        scale: float | Sequence[float] = (),
        zero: int | Sequence[int] = (),
        axis: int = 0,
        signature: Sequence[int] | None = None,
    ) -> int:
        """Adds a tensor and returns its number.

        Args:
            name: any; names need not be unique.
            shape: the sizes.
            dtype: any numpy type.
            values: of a constant, in that type.
            scale: value = scale * (stored - zero); one, or one per channel.
            zero: as `scale`.
            axis: of the channels.
            signature: the shape, with -1 for a free size.
        """
        tensor = schema.TensorT(shape=list(shape), type=getattr(schema.TensorType, np.dtype(dtype).name.upper()), name=name, hasRank=True)
        tensor.shapeSignature = None if signature is None else list(signature)
        if values is not None:
            tensor.buffer = self.buffer(np.ascontiguousarray(values, dtype=dtype).tobytes())
        if scales := np.atleast_1d(np.asarray(scale, np.float32)).tolist():
            zeros = np.broadcast_to(np.asarray(zero if zero != () else 0, np.int64), len(scales)).tolist()
            tensor.quantization = schema.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis)
        self.raw.tensors.append(tensor)
        return len(self.raw.tensors) - 1

    def constant(self, name: str, values: Array) -> int:
        """Adds a constant as it is and returns its number."""
        return self.tensor(name, values.shape, values.dtype, values)

    def buffer(self, content: bytes) -> int:
        """Adds a buffer to the model and returns its number."""
        self.model.buffers.append(_Buffer(np.frombuffer(content, np.uint8)))
        return len(self.model.buffers) - 1

    def operator(
        self,
        opcode: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        *,
        version: int = 1,
        first: bool = False,
        **values: Any,
    ) -> Any:
        """Adds an operator.

        Args:
            opcode: the schema's name, e.g. `FULLY_CONNECTED`.
            inputs: tensors; -1 for an optional one that is absent.
            outputs: tensors.
            options: the schema's table of options, e.g. `FullyConnectedOptions`.
            version: of the operator; newer types and features need newer versions.
            first: before all others, instead of after them.
            values: the options' fields.
        """
        operator = schema.OperatorT(opcodeIndex=self._opcode(opcode, version), inputs=list(inputs), outputs=list(outputs))
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")(**values)
        self.raw.operators.insert(0 if first else len(self.raw.operators), operator)
        return operator

    def _opcode(self, name: str, version: int) -> int:
        wanted = getattr(schema.BuiltinOperator, name)
        for number, code in enumerate(self.model.operatorCodes):
            if _builtin(code) == wanted and code.version == version:
                return number
        # Old readers know the first 127 operators, by the deprecated field.
        self.model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=min(wanted, 127), version=version, builtinCode=wanted))
        return len(self.model.operatorCodes) - 1

    def opcode(self, operator: Any) -> str:
        """An operator's name in the schema."""
        return str(_OPCODES.get(_builtin(self.model.operatorCodes[operator.opcodeIndex]), "CUSTOM"))

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return _text(self.raw.tensors[tensor].name)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's sizes; -1 is free."""
        stored_tensor = self.raw.tensors[tensor]
        return tuple(int(size) for size in (stored_tensor.shape if stored_tensor.shapeSignature is None else stored_tensor.shapeSignature))

    def dtype(self, tensor: int) -> str:
        """A tensor's type by its numpy name, e.g. `float32`."""
        return str(_TYPES[self.raw.tensors[tensor].type]).lower()

    def quantisation(self, tensor: int) -> tuple[Array, Array] | None:
        """A tensor's scales and zero points (one, or one per channel); None if it is not quantised."""
        stored_tensor = self.raw.tensors[tensor].quantization
        if stored_tensor is None or stored_tensor.scale is None or not len(stored_tensor.scale):
            return None
        scale = np.asarray(stored_tensor.scale, np.float64)
        return scale, np.asarray(np.zeros(len(scale)) if stored_tensor.zeroPoint is None else stored_tensor.zeroPoint, np.float64)

    def normalisation(self, tensor: int) -> tuple[float, float] | None:
        """Mean and std in pixel values that a quantised input implies, if the stored number is the pixel (int8: minus 128)."""
        quantisation, dtype = self.quantisation(tensor), self.dtype(tensor)
        if dtype not in ("uint8", "int8") or quantisation is None or not (quantisation[0] > 0).all():
            return None
        scale, zero = float(quantisation[0][0]), float(quantisation[1][0])
        return (zero if dtype == "uint8" else zero + 128), 1 / scale

    def values(self, tensor: int) -> Array | None:
        """The values of a constant, float32 if it is quantised; None for a computed tensor."""
        stored_tensor = self.raw.tensors[tensor]
        data = self.model.buffers[stored_tensor.buffer].data
        if data is None or not len(data):
            return None
        stored: Array = np.asarray(data).view(self.dtype(tensor)).reshape(stored_tensor.shape)
        if (quantisation := self.quantisation(tensor)) is None:
            return stored
        along = [1] * stored.ndim
        if len(quantisation[0]) > 1:
            along[stored_tensor.quantization.quantizedDimension] = -1
        scale, zero = (part.reshape(along) for part in quantisation)
        real: Array = (scale * (stored - zero)).astype(np.float32)
        return real

    def find(self, name: str) -> int:
        """The number of the tensor of this name.

        Raises:
            ExportError: `tensor-unknown`, with the nearest names.
        """
        names = [self.name(number) for number in range(len(self.raw.tensors))]
        if name in names:
            return names.index(name)
        computed = [names[number] for operator in self.raw.operators for number in operator.outputs]
        raise no_tensor(self.file, name, computed)

    def maker(self, tensor: int) -> Any | None:
        """The operator that computes a tensor; None for an input or a constant."""
        return next((operator for operator in self.raw.operators if tensor in operator.outputs), None)

    def cut(self, tensors: Sequence[int]) -> None:
        """Makes these tensors the outputs, and drops every operator, tensor and buffer that they do not need."""
        needed, kept = set(tensors), []
        for operator in reversed(self.raw.operators):  # the schema stores them in the order of execution
            if needed.intersection(int(number) for number in operator.outputs):
                needed.update(int(number) for number in operator.inputs)
                kept.append(operator)
        self.raw.operators, self.raw.outputs = kept[::-1], list(tensors)
        self.model.metadata = [entry for entry in self.model.metadata if _text(entry.name) != DESCRIPTION]
        self.sign()

    def sign(self, source: str = "image", result: str = "embedding") -> None:
        """Makes one input and one output the model's only signature, and drops what nothing uses."""
        number = self.model.subgraphs.index(self.raw)
        sign(self.model, {source: int(self.raw.inputs[0])}, {result: int(self.raw.outputs[0])}, subgraph=number, alone=True)
        prune(self.model)


def no_tensor(file: str, name: str, names: Iterable[str]) -> ExportError:
    """The error for an unknown tensor, with the nearest names or the last ones."""
    computed = list(dict.fromkeys(names))
    near = difflib.get_close_matches(name, computed, n=5, cutoff=0.3)
    listed = f"similar: {', '.join(map(repr, near))}" if near else f"the last ones: {', '.join(map(repr, computed[-5:]))}"
    return file_error(
        file,
        f"no tensor {name!r} among {len(computed)}; {listed}; name one with --cut TENSOR", code="tensor-unknown", tensor=name, near=near,
    )  # fmt: skip


def nan_weights(file: str, tensor: str) -> ExportError:
    """The error for weights with NaN."""
    return file_error(file, f"its weights {tensor!r} contain NaN or infinity; the file is damaged", code="weights-nan", tensor=tensor)


def broken(values: Array) -> bool:
    """Whether float constants contain NaN, or infinity among other values: infinity alone is the limit of a clip or a padding."""
    return not np.isfinite(values).all() and not (values.size == 1 and np.isinf(values).all())


def _builtin(code: Any) -> int:
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")


def _fill(model: Any) -> None:
    """Replaces absent lists by empty ones."""
    holders: list[tuple[Any, tuple[str, ...]]] = [(model, ("operatorCodes", "subgraphs", "buffers", "metadata", "signatureDefs"))]
    holders += [(graph, ("tensors", "inputs", "outputs", "operators")) for graph in model.subgraphs or ()]
    holders += [(operator, ("inputs", "outputs")) for graph in model.subgraphs or () for operator in graph.operators or ()]
    holders += [(tensor, ("shape",)) for graph in model.subgraphs or () for tensor in graph.tensors or ()]
    holders += [(signature, ("inputs", "outputs")) for signature in model.signatureDefs or ()]
    for holder, names in holders:
        for name in names:
            if getattr(holder, name) is None:
                setattr(holder, name, [])


def _draw_in(model: Any, content: bytes) -> None:
    """Moves buffers from behind the flatbuffer, where ai-edge-quantizer writes them, into it."""
    for buffer in model.buffers:
        if buffer.offset > 1:
            if buffer.offset + buffer.size > len(content):
                raise ValueError(f"a buffer of {buffer.size} bytes at {buffer.offset}")
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def _check(model: Any, name: str) -> None:
    if model.version != 3 or not model.subgraphs or not model.buffers:
        raise ValueError(f"version {model.version} with {len(model.subgraphs)} graphs and {len(model.buffers)} buffers")
    if model.externalBuffers:
        raise file_error(name, "its weights are in other files; convert it to one file with all weights inside", code="weights-elsewhere")
    _within("metadata buffer", [entry.buffer for entry in model.metadata], len(model.buffers))
    for graph in model.subgraphs:
        _check_graph(model, graph, name)
    _within("signature's graph", [signature.subgraphIndex for signature in model.signatureDefs], len(model.subgraphs))
    for signature in model.signatureDefs:
        named = [entry.tensorIndex for entry in (*signature.inputs, *signature.outputs)]
        _within("signature's tensor", named, len(model.subgraphs[signature.subgraphIndex].tensors))


def _check_graph(model: Any, graph: Any, name: str) -> None:
    count = len(graph.tensors)
    _within("buffer", [tensor.buffer for tensor in graph.tensors], len(model.buffers))
    _within("operator code", [operator.opcodeIndex for operator in graph.operators], len(model.operatorCodes))
    _within("input or output", [*graph.inputs, *graph.outputs], count)
    for operator in graph.operators:
        _within("operator's output", operator.outputs, count)
        _within("operator's input", operator.inputs, count, lowest=-1)
        if operator.largeCustomOptionsOffset or (operator.builtinOptionsType and operator.builtinOptions is None):
            raise file_error(
                name,
                "uses an operator that this ai-edge-litert does not know; pip install --upgrade ai-edge-litert", code="operator-unknown",
            )  # fmt: skip
    for tensor in graph.tensors:
        _check_tensor(tensor, model.buffers[tensor.buffer].data, name)


def _check_tensor(tensor: Any, data: Array | None, name: str) -> None:
    kind, shape = _TYPES[tensor.type], [int(size) for size in tensor.shape]
    if min(shape, default=1) < 0 or np.prod(shape, dtype=float) >= 2**31:
        raise ValueError(f"tensor {_text(tensor.name)!r} has the shape {shape}")
    if data is None or not len(data) or tensor.sparsity is not None or kind in ("STRING", "RESOURCE", "VARIANT"):
        return
    bits = _PACKED.get(kind) or 16 * (kind == "BFLOAT16") or 8 * np.dtype(kind.lower()).itemsize
    if len(data) != -(-int(np.prod(shape)) * bits // 8):
        raise ValueError(f"tensor {_text(tensor.name)!r} of shape {shape} and type {kind} holds {len(data)} bytes")
    if kind in ("FLOAT32", "FLOAT16", "FLOAT64") and broken(data.view(kind.lower())):
        raise nan_weights(name, _text(tensor.name))


def _within(what: str, numbers: Iterable[int], count: int, lowest: int = 0) -> None:
    wrong = next((int(number) for number in numbers if not lowest <= number < count), None)
    if wrong is not None:
        raise ValueError(f"{what} {wrong}, of {count}")


def _keep_tensors(graph: Any, named: Sequence[Any]) -> None:
    """Drops the tensors of a graph that nothing uses, and renumbers the others."""
    lists = [(graph, "inputs"), (graph, "outputs")]
    lists += [(operator, field) for operator in graph.operators for field in ("inputs", "outputs", "intermediates")]
    lists = [(holder, field) for holder, field in lists if getattr(holder, field) is not None]
    used = {int(number) for holder, field in lists for number in getattr(holder, field)} | {entry.tensorIndex for entry in named}
    numbers = {old: new for new, old in enumerate(sorted(used - {-1}))} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in numbers if old >= 0]
    for holder, field in lists:
        setattr(holder, field, [numbers[int(number)] for number in getattr(holder, field)])
    for entry in named:
        entry.tensorIndex = numbers[entry.tensorIndex]
