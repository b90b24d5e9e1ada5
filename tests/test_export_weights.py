"""Weights: where they are searched, which files are an error, and that rounded weights keep the mean."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from edgetl_exporters.backbones import graph, table, weights
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import rounding

from edgetl.errors import ExportError, WeightsMissing

graph.use_half_the_cores()  # as an export does

SMALL = table.BACKBONES["mobilenet_v3_small"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch cache, and a proxy that leads nowhere: a download fails at once."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("EDGETL_WEIGHTS", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def untrained():
    return weights.load(SMALL, random=True, seed=3)[0]


def test_without_network_the_error_names_the_file_and_the_cache_folder(cache: Path) -> None:
    with pytest.raises(WeightsMissing) as error:
        weights.load(SMALL)
    values = {"backbone": SMALL.name, "file": "mobilenet_v3_small-047dcff4.pth", "folder": str(cache)}
    assert (error.value.code, error.value.values) == ("weights-missing", values)


def test_a_file_in_torchvisions_cache_is_used_when_its_hash_is_the_one_in_its_name(cache, untrained, monkeypatch) -> None:
    cache.mkdir(parents=True)
    torch.save(untrained.state_dict(), cache / "saved")
    digest = hashlib.sha256((cache / "saved").read_bytes()).hexdigest()
    named = cache / f"mobilenet_v3_small-{digest[:8]}.pth"
    (cache / "saved").rename(named)
    enum = table.torchvision_import.models().MobileNet_V3_Small_Weights.IMAGENET1K_V1
    monkeypatch.setattr(enum, "_value_", type(enum.value)(f"https://example.invalid/{named.name}", enum.value.transforms, enum.value.meta))
    network, origin = weights.load(SMALL)
    assert (origin.sha256, origin.random) == (digest, False)
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), untrained.state_dict().values()))


def test_a_changed_file_in_the_cache_is_an_error(cache: Path) -> None:
    cache.mkdir(parents=True)
    torch.save({}, cache / "mobilenet_v3_small-047dcff4.pth")
    with pytest.raises(ExportError) as error:
        weights.load(SMALL)
    assert (error.value.code, error.value.values["expected"]) == ("weights-damaged", "047dcff4")


def test_a_file_in_the_folder_that_a_variable_names_comes_before_the_cache(cache, tmp_path, untrained, monkeypatch) -> None:
    name = "mobilenet_v3_small-047dcff4.pth"
    assert weights.local(SMALL) is None
    cache.mkdir(parents=True)
    for folder in (cache, tmp_path):
        torch.save(untrained.state_dict(), folder / name)
    assert weights.local(SMALL) == cache / name
    monkeypatch.setenv("EDGETL_WEIGHTS", str(tmp_path))
    assert weights.local(SMALL) == tmp_path / name
    with pytest.raises(ExportError) as error:
        weights.load(SMALL)
    assert error.value.values["path"] == str(tmp_path / name)


def test_a_local_state_dict_is_loaded_and_hashed(tmp_path, untrained) -> None:
    file = tmp_path / "mine.pth"
    torch.save(untrained.state_dict(), file)
    network, origin = weights.load(SMALL, file=file)
    assert origin == weights.Weights("local file mine.pth", hashlib.sha256(file.read_bytes()).hexdigest(), False)
    assert torch.equal(network.features[0][0].weight, untrained.features[0][0].weight)


@pytest.mark.parametrize(
    ("content", "code", "values"),
    [
        ({"features.0.0.weight": 1}, "weights-unreadable", {}),
        ({"layer.weight": torch.zeros(2)}, "weights-misfit", {"backbone": SMALL.name, "unknown": ["layer.weight"]}),
        ({"features.0.0.weight": torch.full((16, 3, 3, 3), torch.nan)}, "weights-nan", {"tensor": "features.0.0.weight"}),
        ({"features.0.0.weight": torch.zeros(1, 3, 3, 3)}, "weights-misfit", {}),
    ],
)
def test_a_local_file_that_does_not_fit_is_an_error_with_its_name(tmp_path, content, code, values) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ExportError) as error:
        weights.load(SMALL, file=tmp_path / "odd.pth")
    assert error.value.code == code
    assert error.value.values | values == error.value.values
    assert error.value.values["path"] == str(tmp_path / "odd.pth")
    assert len(error.value.values.get("missing", ())) in (0, 210)


def test_a_missing_file_and_one_not_of_torch_are_errors(tmp_path) -> None:
    with pytest.raises(WeightsMissing) as error:
        weights.load(SMALL, file=tmp_path / "absent.pth")
    assert error.value.values == {"path": str(tmp_path / "absent.pth")}
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ExportError) as error:
        weights.load(SMALL, file=tmp_path / "text.pth")
    assert error.value.code == "weights-unreadable"


@pytest.mark.slow
def test_timm_files_are_loaded_or_an_error_that_names_the_published_one(tmp_path, cache, monkeypatch) -> None:
    row = table.backbone("timm/resnet10t")
    network = row.build()
    safetensors.torch.save_file(network.state_dict(), tmp_path / "mine.safetensors")
    loaded, origin = weights.load(row, file=tmp_path / "mine.safetensors")
    assert origin.source == "local file mine.safetensors"
    assert torch.equal(loaded.fc.weight, network.fc.weight)
    with pytest.raises(ExportError) as error:
        weights.load(table.backbone("timm/mobilenetv3_small_050"), file=tmp_path / "mine.safetensors")
    assert (error.value.code, error.value.values["backbone"]) == ("weights-misfit", "timm/mobilenetv3_small_050")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ExportError) as error:
        weights.load(row, file=tmp_path / "text.safetensors")
    assert error.value.code == "weights-unreadable"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"timm/resnet10t\.c3_in1k") as error:
        weights.load(row)
    assert error.value.values["file"] == "resnet10t.c3_in1k.safetensors"
    cache.mkdir(parents=True)
    (tmp_path / "mine.safetensors").rename(cache / "resnet10t.c3_in1k.safetensors")
    assert weights.load(row)[1].source == "Hugging Face timm/resnet10t.c3_in1k model.safetensors"


@pytest.mark.slow
def test_a_file_of_resnet50_is_loaded_and_one_of_vgg16_does_not_fit_it(tmp_path) -> None:
    row = table.backbone("resnet50")
    network = row.build()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    loaded, _ = weights.load(row, file=tmp_path / "mine.pth")
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), network.state_dict().values(), strict=True))
    with pytest.raises(ExportError) as error:
        weights.load(table.backbone("vgg16"), file=tmp_path / "mine.pth")
    values = error.value.values
    assert (error.value.code, len(values["missing"]), values["missing"][0], len(values["unknown"])) == (
        "weights-misfit", 32, "features.0.weight", 320,
    )  # fmt: skip


def test_random_weights_are_marked_seeded_and_exclude_a_file(tmp_path, untrained) -> None:
    again, origin = weights.load(SMALL, random=True, seed=3)
    assert origin == weights.Weights("random, seed 3", None, True)
    assert torch.equal(again.features[0][0].weight, untrained.features[0][0].weight)
    with pytest.raises(ExportError) as error:
        weights.load(SMALL, random=True, file=tmp_path / "x.pth")
    assert error.value.code == "options-exclusive"


def test_rounded_weights_lie_on_the_grid_and_the_bias_keeps_the_first_layers_mean(untrained) -> None:
    pixels = scenes(8, 224, 224, seed=2)
    built = graph.build(SMALL, untrained)
    rounded = rounding.rounded(built, pixels, levels=7)  # coarse, so that an uncorrected mean would show
    first, coarse = (next(m for m in g.modules() if isinstance(m, torch.nn.Conv2d)) for g in (built, rounded))
    rows = coarse.weight.data.flatten(1)
    grid = 7 * rows / rows.abs().amax(1, keepdim=True)
    np.testing.assert_allclose(grid, grid.round(), atol=1e-4)
    image = (torch.from_numpy(pixels) - built.mean).permute(0, 3, 1, 2)
    with torch.inference_mode():
        means = [layer(image).mean((0, 2, 3)) for layer in (first, coarse)]
        coarse.bias = first.bias
        uncorrected = coarse(image).mean((0, 2, 3))
    np.testing.assert_allclose(means[1], means[0], atol=1e-4)
    assert (uncorrected - means[0]).abs().max() > 1e-2


@pytest.mark.slow
def test_torchvision_is_imported_although_torch_lacks_its_operators() -> None:
    printed = _python(
        "import sys, torch\n"
        "from edgetl_exporters.backbones import torchvision_import\n"
        "before = set(sys.modules)\n"
        "models = torchvision_import.models()\n"
        "print(models.__name__, torchvision_import.models() is models, bool(torchvision_import._declared))\n"
    )
    works_alone = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0
    assert printed.split() == ["torchvision.models", "True", str(not works_alone)]


@pytest.mark.parametrize(("blocked", "name", "extra"), [("torchvision.models", "vgg16", "export"), ("timm", "timm/resnet10t", "timm")])
def test_a_missing_library_is_an_error_with_the_extra_that_installs_it(monkeypatch, blocked, name, extra) -> None:
    monkeypatch.setitem(sys.modules, blocked, None)
    with pytest.raises(ExportError, match=rf"edgetl\[{extra}\]") as error:
        table.backbone(name).build()
    assert (error.value.code, error.value.values["library"]) == ("library-missing", blocked.partition(".")[0])


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
