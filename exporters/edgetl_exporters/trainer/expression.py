"""Arithmetic on the tensors of a .tflite graph: every Python operation appends one builtin operator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgetl.types import Array
from edgetl_exporters.files.tflite import TfliteGraph, sign

FREE = -1
"""A size that the interpreter may change (`resize_tensor_input`)."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """A new graph of a model that programs call by its name (a TFLite signature).

    Attributes:
        graph: the graph.
        name: the function's name.
        size: the value of FREE sizes until the interpreter changes them.
    """

    graph: TfliteGraph
    name: str
    size: int

    @classmethod
    def add(cls, model: Any, name: str, size: int) -> Signature:
        """Adds one at the end of the model."""
        return cls(TfliteGraph.add(model, name), name, size)

    def tensor(self, name: str, shape: Sequence[int], kind: type = np.float32) -> Tensor:
        """A computed tensor, or an input."""
        sizes = [self.size if size == FREE else size for size in shape]
        return Tensor(self, self.graph.tensor(f"{self.name}/{name}", sizes, kind, signature=shape if FREE in shape else None), tuple(shape))

    def constant(self, values: Any, kind: type = np.float32) -> Tensor:
        """A constant tensor of a number or an array."""
        array: Array = np.asarray(values, kind)
        return Tensor(self, self.graph.constant(f"{self.name}/constant", array), array.shape)

    def finish(self, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        """Names the arguments and the results."""
        sources, results = ({name: tensor.number for name, tensor in names.items()} for names in (inputs, outputs))
        self.graph.raw.inputs, self.graph.raw.outputs = list(sources.values()), list(results.values())
        sign(self.graph.model, sources, results, self.name, self.graph.model.subgraphs.index(self.graph.raw))


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor, usually float32, with its operations; shapes broadcast as in numpy.

    Attributes:
        owner: its graph.
        number: its number there.
        shape: its sizes; FREE if the interpreter may change one.
    """

    owner: Signature
    number: int
    shape: tuple[int, ...]

    def __add__(self, other: Tensor | float) -> Tensor:
        return self._with("ADD", other, "AddOptions")

    def __sub__(self, other: Tensor | float) -> Tensor:
        return self._with("SUB", other, "SubOptions")

    def __mul__(self, other: Tensor | float) -> Tensor:
        return self._with("MUL", other, "MulOptions")

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return self._with("DIV", other, "DivOptions")

    def at_least(self, other: float) -> Tensor:
        """The larger of each value and a number."""
        return self._with("MAXIMUM", other, "MaximumMinimumOptions")

    def at_most(self, other: float) -> Tensor:
        """The smaller of each value and a number."""
        return self._with("MINIMUM", other, "MaximumMinimumOptions")

    def magnitude(self) -> Tensor:
        """Absolute values."""
        return self._apply("ABS", [], self.shape, "AbsOptions")

    def root(self) -> Tensor:
        """Square roots."""
        return self._apply("SQRT", [], self.shape)

    def softmax(self) -> Tensor:
        """Softmax over the last axis."""
        return self._apply("SOFTMAX", [], self.shape, "SoftmaxOptions", beta=1.0)

    def sum(self, axis: int) -> Tensor:
        """Sums along an axis, which stays with size 1."""
        shape = tuple(1 if i == axis else size for i, size in enumerate(self.shape))
        return self._apply("SUM", [self.owner.constant([axis], np.int32)], shape, "ReducerOptions", keepDims=True)

    def reshape(self, *shape: int) -> Tensor:
        """The same values in another shape, in which one size may be FREE."""
        return self._apply("RESHAPE", [self.owner.constant(shape, np.int32)], shape, "ReshapeOptions", newShape=list(shape))

    def times(self, matrix: Tensor) -> Tensor:
        """A row [1, k] times the transpose of a matrix [n, k]: [1, n]."""
        return self._apply("FULLY_CONNECTED", [matrix], (1, matrix.shape[0]), "FullyConnectedOptions")

    def beside(self, other: Tensor) -> Tensor:
        """Two rows [1, k] and [1, n] as one [1, k + n]."""
        return self._apply("CONCATENATION", [other], (1, self.shape[1] + other.shape[1]), "ConcatenationOptions", axis=1)

    def part(self, begin: int, end: int) -> Tensor:
        """Some values of a row [1, k]."""
        where = [self.owner.constant(pair, np.int32) for pair in ([0, begin], [1, end - begin])]
        return self._apply("SLICE", where, (1, end - begin), "SliceOptions")

    def first(self, like: Tensor) -> Tensor:
        """The first values of a vector [k], as many as another one [FREE] has; more than k are an error of the interpreter."""
        kind = np.int32
        size = like._apply("SHAPE", [], (1,), "ShapeOptions", kind=kind, outType=schema.TensorType.INT32)
        return self._apply("SLICE", [self.owner.constant([0], kind), size], like.shape, "SliceOptions")

    def _with(self, opcode: str, other: Tensor | float, options: str) -> Tensor:
        right = other if isinstance(other, Tensor) else self.owner.constant(other)
        return self._apply(opcode, [right], _broadcast(self.shape, right.shape), options)

    def _apply(
        self, opcode: str, others: Sequence[Tensor], shape: Sequence[int], options: str = "", kind: type = np.float32, **values: Any
    ) -> Tensor:
        result = self.owner.tensor(opcode.lower(), shape, kind)
        self.owner.graph.operator(opcode, [self.number, *(other.number for other in others)], [result.number], options, **values)
        return result


def _broadcast(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    wide = max(len(left), len(right))
    pairs = zip((1,) * (wide - len(left)) + tuple(left), (1,) * (wide - len(right)) + tuple(right))
    return tuple(b if a == 1 else a for a, b in pairs)
