"""Folds batch normalisations, and the division by std, exactly into the convolutions around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def fold(network: nn.Module, image: torch.Tensor, std: tuple[float, float, float]) -> bool:
    """Folds everything that can be folded exactly, and leaves the rest unchanged.

    A batch normalisation is folded into the convolution before it if nothing else reads that convolution's output, and if the weight that
    is multiplied is the module's own: a network may also use one convolution twice, change its output in place, standardise its weight in
    every pass, or normalise before it convolves. std is folded into the first convolution if nothing else reads the image, which is exact
    because a padding of zeros is zero on both sides of a scaling.

    Args:
        network: takes the normalised image; changed in place.
        image: float32 [1, 3, h, w], to trace which operator reads which tensor; its values do not matter.
        std: each channel is divided by it.

    Returns:
        Whether the division by std was folded too.
    """
    trace = _Trace(network)
    with torch.no_grad(), trace:
        network(image)
    first, pairs = trace.first(image), trace.pairs()
    for normalisation, convolution in pairs:
        _into(convolution, normalisation)
        _replace(network, normalisation, _rest(normalisation))
    if first is None:
        return False
    first.weight.data /= torch.tensor(std).view(1, 3, 1, 1)
    return True


class _Trace(TorchDispatchMode):  # type: ignore[misc]  # torch is untyped to mypy
    """Records which operator reads which tensor, below the modules, because an addition or a padding may have no module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        modules = list(network.modules())
        self._convolutions = {id(m.weight): m for m in modules if isinstance(m, nn.Conv2d)}
        self._normalisations = {id(m.running_mean): m for m in modules if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None}
        self._kept: list[Any] = []  # ids stay unique while the tensors live
        self._calls: list[tuple[Any, Sequence[Any], Any]] = []
        self._reads: Counter[int] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; True imports torch's compiler, which takes seconds

    def __torch_dispatch__(self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Runs an operator and records it."""
        result = function(*args, **(kwargs or {}))
        self._kept.append((args, kwargs, result))
        self._calls.append((function, args, result))
        read = torch.utils._pytree.tree_leaves((args, kwargs))
        self._reads.update({id(tensor) for tensor in read if isinstance(tensor, torch.Tensor)})
        return result

    def pairs(self) -> list[tuple[Any, Any]]:
        """(batch normalisation, convolution whose output it alone reads), in the order they ran."""
        convolutions = {
            id(result): module for function, args, result in self._calls if (module := self._convolution(function, args)) is not None
        }
        result = []
        for _, args, _ in self._calls:
            module = next((m for a in args if (m := self._normalisations.get(id(a))) is not None), None)
            if module is None or _rest(module) is None or self._reads[id(module.running_mean)] != 1:
                continue
            if id(args[0]) in convolutions and self._reads[id(args[0])] == 1:
                result.append((module, convolutions[id(args[0])]))
        return result

    def first(self, image: torch.Tensor) -> Any:
        """The convolution that alone reads the image, at most padded with zeros before, if there is one."""
        tensor = image
        while self._reads[id(tensor)] == 1:
            function, args, result = next(call for call in self._calls if any(a is tensor for a in call[1]))
            if function is torch.ops.aten.constant_pad_nd.default and not any(args[2:]):
                tensor = result
                continue
            module = self._convolution(function, args)
            return module if module is not None and module.groups == 1 else None
        return None

    def _convolution(self, function: Any, args: Sequence[Any]) -> Any:
        """The module whose own weight and bias this call multiplies and adds, if no other call does."""
        if function is not torch.ops.aten.convolution.default:
            return None
        module = self._convolutions.get(id(args[1]))
        own = module is not None and args[2] is module.bias and self._reads[id(module.weight)] == 1
        return module if own else None


def _rest(normalisation: Any) -> nn.Module | None:
    """What remains of a folded batch normalisation; None for an unknown kind.

    timm's `BatchNormAct2d` has an activation behind it.
    """
    if type(normalisation) is nn.BatchNorm2d:
        return nn.Identity()
    if type(normalisation).__name__ == "BatchNormAct2d":
        rest: nn.Module = normalisation.act
        return rest
    return None


def _into(convolution: Any, normalisation: Any) -> None:
    """Merges a batch normalisation into a convolution (Jacob et al. 2018, section 3.2, eq. 14)."""
    scale = torch.rsqrt(normalisation.running_var + normalisation.eps)
    scale = scale if normalisation.weight is None else scale * normalisation.weight.data
    shift = 0.0 if normalisation.bias is None else normalisation.bias.data
    bias = 0.0 if convolution.bias is None else convolution.bias.data
    convolution.weight.data *= scale.view(-1, 1, 1, 1)
    convolution.bias = nn.Parameter(shift + (bias - normalisation.running_mean) * scale)


def _replace(network: nn.Module, old: nn.Module, new: Any) -> None:
    for parent in network.modules():
        for name, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, name, new)
