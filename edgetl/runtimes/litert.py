"""LiteRT (TensorFlow Lite): `ai-edge-litert`, else `tflite_runtime`, else `tensorflow.lite`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgetl.runtimes.providers import ALL, missing
from edgetl.types import Array, Embeddings, Pixels

_LIBRARIES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite", "tensorflow"),
)


class Model:
    """A TFLite model: uint8 [1, h, w, 3] in, float32 [1, d] out; full-integer models are converted on both sides here.

    Quantisation follows the TFLite specification: real = scale * (stored - zero_point). The delegate XNNPACK computes what it can, and
    TFLite's own kernels the rest; EDGETL_PROVIDER=builtin leaves everything to those. Both run on the CPU, so sharing a model is not an
    error; `placement` counts the operators. (See :class:`edgetl.runtimes.Runtime`.)
    """

    family = "litert"

    def __init__(self, files: Mapping[str, bytes], threads: int, provider: str | None = None) -> None:
        """Opens a model on `provider`; None is XNNPACK if the library has it.

        Raises:
            RuntimeUnavailable: XNNPACK was requested and takes no operator (`provider-missing`).
        """
        self.library, self._interpreter = _interpreter(next(iter(files.values())), threads, builtin=provider == "builtin")
        self._interpreter.allocate_tensors()
        taken, operators = delegated(self._interpreter._get_ops_details())
        if provider == "xnnpack" and not taken:
            raise missing(provider, self.library, f"was built without it, or it takes none of the model's {operators} operators")
        self.provider = "xnnpack" if taken else "builtin"
        self.placement = ALL if taken in (0, operators) else f"mixed {taken}/{operators} operators"
        pixels, embedding = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._output = pixels["index"], embedding["index"]
        self._encode = _encoder(pixels["dtype"], *pixels["quantization"])
        self._scale, self._zero = embedding["quantization"]
        self._dim = int(embedding["shape"][-1])
        self.threads = threads

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        embeddings = np.empty((len(batch), self._dim), dtype=np.float32)
        for row, image in zip(embeddings, batch):
            self._interpreter.set_tensor(self._input, self._encode(image[None]))
            self._interpreter.invoke()
            row[:] = self._interpreter.get_tensor(self._output)[0]
        if self._scale:
            embeddings -= self._zero
            embeddings *= self._scale
        return embeddings

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

    The operators that it took stay in the list of nodes, and one more, `DELEGATE`, has the inputs and outputs of all of them: it computes
    everything between those.

    Args:
        nodes: of an interpreter whose tensors are allocated: `op_name`, and the tensors that are its `inputs` and `outputs`.
    """
    operators = [node for node in nodes if node["op_name"] != "DELEGATE"]
    maker = {int(tensor): number for number, node in enumerate(operators) for tensor in node["outputs"]}
    taken: set[int] = set()
    for node in nodes:
        if node["op_name"] == "DELEGATE":
            inputs = {int(tensor) for tensor in node["inputs"]}
            wanted = [int(tensor) for tensor in node["outputs"]]
            while wanted:
                number = maker.get(wanted.pop())
                if number is not None and number not in taken:
                    taken.add(number)
                    wanted += [int(tensor) for tensor in operators[number]["inputs"] if int(tensor) not in inputs]
    return len(taken), len(operators)


def _interpreter(model: bytes, threads: int, *, builtin: bool = False) -> tuple[str, Any]:
    """The first library that can build an interpreter; an import alone proves nothing (tflite-runtime 2.14 beside numpy 2)."""
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
    """The object that has OpResolverType: the library, or TensorFlow's `experimental`."""
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
