"""LiteRT (TensorFlow Lite): `ai-edge-litert`, else `tflite_runtime`, else `tensorflow.lite`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgetl.runtimes.providers import ALL
from edgetl.types import Array, Embeddings, Pixels

_LIBRARIES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite", "tensorflow"),
)


class Model:
    """A TFLite model: uint8 [1, h, w, 3] in, float32 [1, d] out; full-integer models are converted on both sides here.

    Quantisation follows the TFLite specification: real = scale * (stored - zero_point). The delegate XNNPACK computes what it can, and
    TFLite's own kernels the rest; EDGETL_PROVIDER=builtin leaves everything to those. Both run on the CPU, so a model that is shared is no
    error, and `placement` says how it is.
    (See :class:`edgetl.runtimes.Runtime`.)
    """

    family = "litert"

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        """Opens a model on `provider`; None is XNNPACK where the library has it.

        Raises:
            OSError: XNNPACK was asked for and takes no operator.
        """
        self.library, self._interpreter = _interpreter(next(iter(files.values())), threads, builtin=provider == "builtin")
        self._interpreter.allocate_tensors()
        taken, operators = delegated(self._interpreter._get_ops_details())
        if provider == "xnnpack" and not taken:
            raise OSError(f"provider xnnpack: {self.library} was built without it, or it takes none of the model's {operators} operators")
        self.provider = "xnnpack" if taken else "builtin"
        self.placement = ALL if taken in (0, operators) else f"mixed {taken}/{operators} operators"
        given, made = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._output = given["index"], made["index"]
        self._encode = _encoder(given["dtype"], *given["quantization"])
        self._scale, self._zero = made["quantization"]
        self._dim = int(made["shape"][-1])
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        made = np.empty((len(batch), self._dim), dtype=np.float32)
        for row, image in zip(made, batch):
            self._interpreter.set_tensor(self._input, self._encode(image[None]))
            self._interpreter.invoke()
            row[:] = self._interpreter.get_tensor(self._output)[0]
        if self._scale:
            made -= self._zero
            made *= self._scale
        return made

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        del self._interpreter


def library() -> None:
    """Imports the first one that can be imported."""
    for module, _ in _LIBRARIES[:-1]:
        try:
            importlib.import_module(module)
            return
        except ImportError:
            continue
    importlib.import_module(_LIBRARIES[-1][0])


def delegated(nodes: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many operators a delegate took, and how many there are.

    The operators that it took stay in the list of nodes, and one more, `DELEGATE`, has the inputs and outputs of all of them: what lies
    between those, it computes.

    Args:
        nodes: of an interpreter whose tensors are allocated: `op_name`, and the tensors that are its `inputs` and `outputs`.
    """
    operators = [node for node in nodes if node["op_name"] != "DELEGATE"]
    maker = {int(tensor): number for number, node in enumerate(operators) for tensor in node["outputs"]}
    taken: set[int] = set()
    for node in nodes:
        if node["op_name"] == "DELEGATE":
            given = {int(tensor) for tensor in node["inputs"]}
            wanted = [int(tensor) for tensor in node["outputs"]]
            while wanted:
                number = maker.get(wanted.pop())
                if number is not None and number not in taken:
                    taken.add(number)
                    wanted += [int(tensor) for tensor in operators[number]["inputs"] if int(tensor) not in given]
    return len(taken), len(operators)


def _interpreter(model: bytes, threads: int, *, builtin: bool = False) -> tuple[str, Any]:
    """The first library that can build an interpreter; importing is no proof (tflite-runtime 2.14 beside numpy 2)."""
    reasons = []
    for module, package in _LIBRARIES:
        try:
            library = importlib.import_module(module)
            settings = {"experimental_op_resolver_type": _resolvers(library).BUILTIN_WITHOUT_DEFAULT_DELEGATES} if builtin else {}
            return f"{package} {_version(package)}", library.Interpreter(model_content=model, num_threads=threads, **settings)
        except (ImportError, AttributeError) as error:
            reasons.append(f"{package}: {error}")
    raise ImportError("; ".join(reasons))


def _resolvers(library: Any) -> Any:
    """Where a library keeps its OpResolverType: beside the interpreter, TensorFlow among what is experimental."""
    return library.OpResolverType if hasattr(library, "OpResolverType") else library.experimental.OpResolverType


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # another distribution of the same module, e.g. tensorflow-cpu
        return "of unknown version"


def _encoder(dtype: Any, scale: float, zero: int) -> Callable[[Pixels], Array]:
    """How uint8 pixels become the model's input type."""
    if dtype == np.uint8:
        return lambda pixels: pixels
    if dtype == np.int8 and (scale, zero) == (1.0, -128):
        return lambda pixels: (pixels ^ np.uint8(0x80)).view(np.int8)
    if dtype == np.int8:
        table = np.clip(np.rint(np.arange(256) / scale) + zero, -128, 127).astype(np.int8)
        return lambda pixels: table[pixels]
    return lambda pixels: pixels.astype(dtype)
