"""An ONNX network as a torch module, from which TFLite files are made; only the operators of convolutional backbones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgetl.errors import ExportError
from edgetl_exporters.quantise import ranges

Operator = Callable[..., torch.Tensor]


class OnnxModule(nn.Module):  # type: ignore[misc]  # torch is untyped to mypy
    """Pixels float32 [n, h, w, 3] in [0, 255] -> embeddings float32 [n, d], as the ONNX network computes them."""

    def __init__(self, model: bytes, name: str) -> None:
        """Reads a network.

        Args:
            model: the float ONNX model, uint8 [n, h, w, 3] in.
            name: the file's, for errors.

        Raises:
            ExportError: `operator-unknown`.
        """
        super().__init__()
        from onnx import helper, numpy_helper

        graph = ranges.read(model).graph
        unknown = sorted({node.op_type for node in graph.node} - _OPERATORS.keys())
        if unknown:
            raise ExportError(
                f"{name} cannot become TFLite: {', '.join(unknown)} is not converted; use the network as .tflite for that",
                code="operator-unknown", path=name, operators=unknown,
            )  # fmt: skip
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._constants: dict[str, Any] = {}
        for tensor in graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.dtype == np.float32 and value.ndim:
                self.register_buffer(f"constant_{len(self._constants)}", torch.from_numpy(value.copy()))
                self._constants[tensor.name] = f"constant_{len(self._constants)}"
            else:
                self._constants[tensor.name] = value.tolist()
        self._steps = [
            (_OPERATORS[node.op_type], list(node.input), node.output[0], {a.name: helper.get_attribute_value(a) for a in node.attribute})
            for node in graph.node
        ]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See the class."""
        values = {name: getattr(self, held) if isinstance(held, str) else held for name, held in self._constants.items()}
        values[self._input] = image
        for operator, read, output, settings in self._steps:
            values[output] = operator(*(values[name] if name else None for name in read), **settings)
        result: torch.Tensor = values[self._output]
        return result


def _padded(maps: torch.Tensor, pads: Sequence[int], value: float = 0.0) -> torch.Tensor:
    top, left, bottom, right = pads
    return functional.pad(maps, (left, right, top, bottom), value=value) if any(pads) else maps


def _conv(maps: torch.Tensor, weight: torch.Tensor, bias: Any = None, *, pads: Sequence[int] = (0,) * 4, **settings: Any) -> torch.Tensor:
    strides, dilations = settings.get("strides", (1, 1)), settings.get("dilations", (1, 1))
    if settings.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        pads = _same(maps.shape[2:], weight.shape[2:], strides, settings["auto_pad"])
    symmetric = tuple(pads[:2]) == tuple(pads[2:])
    maps = maps if symmetric else _padded(maps, pads)
    return functional.conv2d(
        maps, weight, bias, tuple(strides), tuple(pads[:2]) if symmetric else 0, tuple(dilations), settings.get("group", 1)
    )


def _same(size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], kind: bytes) -> list[int]:
    """The padding of SAME_UPPER and SAME_LOWER: top, left, bottom, right."""
    lacking = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, strides)]
    less, more = [n // 2 for n in lacking], [n - n // 2 for n in lacking]
    return [*less, *more] if kind == b"SAME_UPPER" else [*more, *less]


def _clip(values: torch.Tensor, low: Any = None, high: Any = None) -> torch.Tensor:
    low, high = (None if end is None else float(end) for end in (low, high))
    if (low, high) == (0, 6):
        return functional.relu6(values)
    return torch.relu(values) if low == 0 and high is None else torch.clamp(values, low, high)


def _hard_sigmoid(values: torch.Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> torch.Tensor:
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return functional.hardsigmoid(values)
    return torch.clamp(alpha * values + beta, 0, 1)


def _mean(values: torch.Tensor, axes: Any = None, *, keepdims: int = 1, **settings: Any) -> torch.Tensor:
    return values.mean(tuple(axes or settings["axes"]), keepdim=bool(keepdims))


def _pool(maps: torch.Tensor, *, kernel_shape: Sequence[int], kind: str, pads: Sequence[int] = (0,) * 4, **settings: Any) -> torch.Tensor:
    strides = tuple(settings.get("strides", (1, 1)))
    if kind == "max":
        return functional.max_pool2d(_padded(maps, pads, -float("inf")), tuple(kernel_shape), strides)
    if any(pads) and not settings.get("count_include_pad", 0):
        return functional.avg_pool2d(maps, tuple(kernel_shape), strides, tuple(pads[:2]), count_include_pad=False)
    return functional.avg_pool2d(_padded(maps, pads), tuple(kernel_shape), strides)


def _reshape(values: torch.Tensor, shape: Sequence[int], **_: Any) -> torch.Tensor:
    return values.reshape([values.shape[i] if size == 0 else size for i, size in enumerate(shape)])


def _gemm(rows: torch.Tensor, weight: torch.Tensor, bias: Any = None, *, transB: int = 0, **settings: Any) -> torch.Tensor:
    if settings.get("transA", 0) or settings.get("alpha", 1) != 1 or settings.get("beta", 1) != 1:
        raise ExportError("a Gemm with transA, alpha or beta is not converted to TFLite", code="operator-unknown", operators=["Gemm"])
    return functional.linear(rows, weight if transB else weight.T, bias)


_OPERATORS: Mapping[str, Operator] = {
    "Add": lambda a, b: a + b,
    "AveragePool": lambda maps, **settings: _pool(maps, kind="average", **settings),
    "Cast": lambda values, **_: values.to(torch.float32),
    "Clip": _clip,
    "Concat": lambda *values, axis: torch.cat(values, axis),
    "Conv": _conv,
    "Div": lambda a, b: a / b,
    "Flatten": lambda values, *, axis=1: values.flatten(axis),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda maps: maps.mean((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": functional.hardswish,
    "Identity": lambda values: values,
    "MatMul": lambda a, b: a @ b,
    "MaxPool": lambda maps, **settings: _pool(maps, kind="max", **settings),
    "Mul": lambda a, b: a * b,
    "ReduceMean": _mean,
    "Relu": torch.relu,
    "Reshape": _reshape,
    "Sigmoid": torch.sigmoid,
    "Sub": lambda a, b: a - b,
    "Transpose": lambda values, *, perm: values.permute(perm),
}
