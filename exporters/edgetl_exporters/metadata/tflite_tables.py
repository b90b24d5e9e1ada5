"""TFLite: the metadata flatbuffer of TFLite Support and MediaPipe, and the labels as a zip behind the model.

Tables and field numbers are those of the published schema
(https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs), of which seven tables
are needed; a union has two fields, its kind and its table.
"""

from __future__ import annotations

import contextlib
import io
import logging
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Union

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types
from flatbuffers.table import Table

from edgetl_exporters.files import tflite
from edgetl_exporters.metadata.info import KEY, Floats, Info, Stated, of_edgetl

log = logging.getLogger("edgetl")

IDENTIFIER = b"M001"
LABELS = "labels.txt"

_LONGEST = 1 << 20
"""Largest size of labels that is read, bytes; ImageNet's 1001 labels take 22 thousand."""

_PARSER = "1.0.0"  # the oldest reader that knows every field written here
_NAME, _DESCRIPTION = 0, 1  # of ModelMetadata and TensorMetadata
_VERSION, _SUBGRAPHS, _AUTHOR, _LICENSE, _MIN_PARSER = 2, 3, 4, 5, 7  # ModelMetadata
_INPUTS, _OUTPUTS = 2, 3  # SubGraphMetadata
_CONTENT, _PROCESS_UNITS, _STATS, _FILES = 3, 4, 5, 6  # TensorMetadata
_KIND, _VALUE = 0, 1  # a union: of Content, of ProcessUnit
_IMAGE, _FEATURE = 2, 1  # kinds of Content
_COLOR, _SIZE = 0, 1  # ImageProperties
_RGB = 1
_NORMALISATION = 1  # kind of ProcessUnit
_MEAN, _STD = 0, 1  # NormalizationOptions
_MAX, _MIN = 0, 1  # Stats
_FILE_KIND, _AXIS_LABELS = 2, 2  # AssociatedFile, and its kind

_Value = Union[str, int, Sequence[Any], Mapping[int, Any]]


def write(model: bytes, info: Info) -> bytes:
    """The model with its metadata, and with the labels as a zip behind it; the graph does not change.

    A quantised input takes pixels as stored numbers. Readers normalise first and quantise then, so the stated normalisation inverts the
    quantisation.
    """
    copied = tflite.read(model, info.name)
    graph = tflite.TfliteGraph(copied)
    mean, std = graph.normalisation(int(graph.raw.inputs[0])) or (0.0, 1.0)
    for name, content in ((tflite.DESCRIPTION, _described(info, mean, std)), (KEY, info.spec(mean, std).encode())):
        copied.metadata = [entry for entry in copied.metadata if entry.name not in (name, name.encode())]
        copied.metadata.append(schema.MetadataT(name, graph.buffer(content)))
    tflite.prune(copied)
    return tflite.pack(copied) + _zipped(info.labels)


def read(model: Any, content: bytes) -> Stated:
    """Reads the metadata of a model (`schema.ModelT`) of this file."""
    entries = {entry.name: model.buffers[entry.buffer].data for entry in model.metadata}
    entries_by_name = {name if isinstance(name, str) else (name or b"").decode(errors="replace"): data for name, data in entries.items()}
    result: dict[str, Any] = {}
    # The tables of a damaged file may point anywhere; unreadable metadata count as absent.
    with contextlib.suppress(struct.error, IndexError, ValueError, TypeError, OverflowError):
        if (data := entries_by_name.get(tflite.DESCRIPTION)) is not None:
            result = _read(bytes(data))
    if file := result.pop("file", None):
        result["labels"] = _labels(content, file)
    data = entries_by_name.get(KEY)
    return Stated(**{**result, **({} if data is None else of_edgetl(bytes(data).decode(errors="replace")))})


def _labels(content: bytes, name: str) -> tuple[str, ...]:
    """The lines of a file in the zip behind a model; empty if they cannot be read, because the model works without labels."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(name) as file:
            return tuple(file.read(_LONGEST).decode().splitlines())
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, KeyError, ValueError, OSError, RuntimeError, struct.error) as error:
        log.warning("warning: the model's labels (%s in the zip behind it) cannot be read (%s) and are ignored", name, error)
        return ()


def _described(info: Info, mean: float, std: float) -> bytes:
    image = {
        _NAME: "image",
        _DESCRIPTION: f"RGB, {info.image.width}x{info.image.height}, pixel values 0 to 255; the normalisation is inside the model",
        _CONTENT: {_KIND: _IMAGE, _VALUE: {_COLOR: _RGB}},
        _PROCESS_UNITS: [{_KIND: _NORMALISATION, _VALUE: {_MEAN: [mean], _STD: [std]}}],
        _STATS: {_MAX: [255.0], _MIN: [0.0]},
    }
    output: dict[int, _Value] = {_NAME: "embedding", _CONTENT: {_KIND: _FEATURE, _VALUE: {}}}
    if info.labels:
        file = {_NAME: LABELS, _DESCRIPTION: "one class per line", _FILE_KIND: _AXIS_LABELS}
        output = {_NAME: "probability", _CONTENT: {_KIND: _FEATURE, _VALUE: {}}, _FILES: [file]}
    model = {
        _NAME: info.name,
        _DESCRIPTION: info.description,
        _VERSION: info.version,
        _SUBGRAPHS: [{_INPUTS: [image], _OUTPUTS: [output]}],
        _AUTHOR: info.author,
        _LICENSE: info.license,
        _MIN_PARSER: _PARSER,
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, model), IDENTIFIER)
    return bytes(builder.Output())


def _zipped(labels: Sequence[str]) -> bytes:
    if not labels:
        return b""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{label}\n" for label in labels))  # ZipInfo's own date never changes
    return content.getvalue()


def _table(builder: Any, fields: Mapping[int, Any]) -> Any:
    """Writes a table of strings, tables, vectors of tables or floats, and enumerations of one byte."""
    offsets = {field: _offset(builder, value) for field, value in fields.items() if not isinstance(value, int) and value != ""}
    builder.StartObject(max(fields, default=-1) + 1)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in fields.items():
        if isinstance(value, int):
            builder.PrependInt8Slot(field, value, 0)
    return builder.EndObject()


def _offset(builder: Any, value: Any) -> Any:
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        return _table(builder, value)
    floats = all(isinstance(item, float) for item in value)
    items = list(value) if floats else [_table(builder, item) for item in value]
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        (builder.PrependFloat32 if floats else builder.PrependUOffsetTRelative)(item)
    return builder.EndVector()


def _read(data: bytes) -> dict[str, Any]:
    root = Table(data, struct.unpack_from("<I", data)[0])
    result: dict[str, Any] = {"name": _string(root, _NAME)}
    for graph in _tables(root, _SUBGRAPHS):
        for input_table in _tables(graph, _INPUTS):
            result |= _read_input(input_table)
        for output in _tables(graph, _OUTPUTS):
            for file in _tables(output, _FILES):
                if _byte(file, _FILE_KIND) == _AXIS_LABELS:
                    result.setdefault("file", _string(file, _NAME))
        break
    return result


def _read_input(input_table: Table) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for content in _below(input_table, _CONTENT):
        for image in _below(content, _VALUE) if _byte(content, _KIND) == _IMAGE else ():
            if _byte(image, _COLOR) == _RGB:
                result["order"] = "rgb"
            for size in _below(image, _SIZE):
                result["size"] = tuple(_scalar(size, field, number_types.Uint32Flags) for field in (0, 1))
    for unit in _tables(input_table, _PROCESS_UNITS):
        if _byte(unit, _KIND) == _NORMALISATION:
            for options in _below(unit, _VALUE):
                result["mean"], result["std"] = _floats(options, _MEAN), _floats(options, _STD)
    return result


def _position(table: Table, field: int) -> int:
    """Position of a field from the start of the buffer; 0 if the table does not have it."""
    offset = table.Offset(4 + 2 * field)
    return int(offset + table.Pos) if offset else 0


def _string(table: Table, field: int) -> str:
    where = _position(table, field)
    return bytes(table.String(where)).decode(errors="replace") if where else ""


def _scalar(table: Table, field: int, kind: Any) -> int:
    where = _position(table, field)
    return int(table.Get(kind, where)) if where else 0


def _byte(table: Table, field: int) -> int:
    return _scalar(table, field, number_types.Int8Flags)


def _below(table: Table, field: int) -> Iterator[Table]:
    """The table in this field, if there is one."""
    if where := _position(table, field):
        yield Table(table.Bytes, table.Indirect(where))


def _items(table: Table, field: int, read: Callable[[int], Any]) -> Iterator[Any]:
    offset = table.Offset(4 + 2 * field)
    if offset:
        start = table.Vector(offset)
        yield from (read(start + 4 * i) for i in range(table.VectorLen(offset)))


def _tables(table: Table, field: int) -> Iterator[Table]:
    return _items(table, field, lambda where: Table(table.Bytes, table.Indirect(where)))


def _floats(table: Table, field: int) -> Floats:
    return tuple(_items(table, field, lambda where: float(table.Get(number_types.Float32Flags, where))))
