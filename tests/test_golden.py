"""What each command prints, one file per command in tests/golden; `EDGETL_GOLDEN=write pytest tests/test_golden.py` writes them again."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pictures import coloured, encoded, picture

from edgetl import Classifier
from edgetl.bundle import writer
from edgetl.bundle.proofs import Proof
from edgetl.cli import main
from edgetl.runtimes import fake

GOLDEN = Path(__file__).parent / "golden"
VARIES = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE       TIME "),
    (r"\b\d+(\.\d+)? m?s\b", "TIME"),
    (r"at most \d\.\de[+-]\d\d", "at most DIFFERENCE"),
    (r"\b[\d.]+ [kM]B\b", "SIZE"),
    (r"on ai-edge-litert [\d.]+:", "on LIBRARY:"),
    (r"\b[0-9a-f]{12,64}\b", "DIGEST"),
)
"""Pattern -> what stands for it, for numbers that differ between runs and machines."""

BRIEF = ("add", "train", "predict", "eval", "forget", "rollback", "doctor", "store merge", "deploy")
"""Commands whose default output has at most 6 lines of 80 characters."""

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, training photos, new photos, and a store of two trained classes."""
    root = tmp_path_factory.mktemp("golden")
    fake.write_bundle(str(root / "fake.edgetl"), encoded(picture(seed=9)))
    shutil.copy(root / "fake.edgetl", root / "proved.edgetl")
    measured = Proof("aarch64 cortex-a72", "fake-fp32", "fake 1", "measured", 9, 1.0, 0.999, None, {})
    writer.add_proofs(root / "proved.edgetl", [measured])
    for label, seeds in {"red": range(10), "green": range(10), "blue": range(10)}.items():
        for seed in seeds:
            write(root / "training" / label / f"{seed}.jpg", coloured(label, seed))
    for label in ("red", "green", "yellow"):
        for seed in range(50, 54):
            write(root / "new" / label / f"{seed}.jpg", coloured(label, seed))
    for label in ("red", "green"):
        for seed in range(60, 66):
            write(root / "more" / label / f"{seed}.jpg", coloured(label, seed))
        for seed in range(200, 225):
            write(root / "elsewhere" / f"{label}{seed}.jpg", coloured(label, seed))
    write(root / "broken.jpg", b"not a photo")
    write(root / "dark.jpg", encoded(picture(64, 64, colour=(4, 4, 4), seed=1)))
    write(root / "wrong.jpg", coloured("red", 70))
    for store, folders in {"parts.db": ("training",), "more.db": ("more",)}.items():
        for folder in folders:
            assert run_in(root)("add", folder, "-s", store).exit_code == 0
    assert run_in(root)("train").exit_code == 0
    return root


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def run_in(root: Path) -> Run:
    def run(*arguments: str) -> Result:
        environment = {"EDGETL_BUNDLE": "fake.edgetl", "EDGETL_STORE": "parts.db", "EDGETL_USER": "ada"}
        before = Path.cwd()
        os.chdir(root)
        try:
            return CliRunner().invoke(main, list(arguments), env=environment, prog_name="edgetl")
        finally:
            os.chdir(before)

    return run


CASES: dict[str, list[str]] = {
    "add": ["add more", "add more/red more/green -l red -v", "add broken.jpg -l red", "add dark.jpg -l red", "add broken.jpg"],
    "train": ["train", "train --head ncm", "add wrong.jpg training/red -l crimson", "train --head ncm", "train --head lda -v"],
    "predict": ["predict new/red/50.jpg new/yellow/50.jpg", "predict new/red/50.jpg -k 2", "predict new/red broken.jpg -c 0.5 -v"],
    "eval": ["eval new", "eval new -v", "eval training"],
    "explain": ["explain new/red/50.jpg --neighbours 2"],
    "forget": [
        "forget --label blue",
        "forget --label blue --yes",
        "forget --photo training/red/0.jpg --yes -v",
        "forget --label blue --yes",
    ],
    "rollback": ["rollback", "train --head ncm", "rollback"],
    "doctor": ["doctor", "add wrong.jpg -l green", "doctor", "doctor -v --label-errors 1"],
    "bundle-inspect": ["bundle inspect"],
    "bundle-add": ["bundle add --proofs fake.edgetl", "bundle add --proofs proved.edgetl"],
    "head-list": ["head list", "train --head ncm", "head list"],
    "head-activate": ["train --head ncm", "head activate 1", "head activate 7"],
    "head-export": ["head export -o head.safetensors", "head export 7 -o head.safetensors"],
    "head-import": ["head export -o head.safetensors", "head import head.safetensors", "head import fake.edgetl"],
    "store-merge": ["store merge -s parts.db -s more.db -o all.db", "store merge -s parts.db -s more.db -o big.db --rename red=Red -v"],
    "store-log": ["store log", "store log -n 1"],
    "adapt": ["adapt elsewhere", "adapt new"],
    "help": ["--help", "predict --help", "head --help"],
}
"""File -> commands, one after the other, each case in a copy of the same world."""


def normalised(text: str, root: Path) -> str:
    text = text.replace(f"{root}{os.sep}", "")
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text


def check(name: str, commands: list[str], root: Path) -> None:
    """Runs commands in a folder, and compares all they print with the golden file."""
    run, text = run_in(root), ""
    for line in commands:
        done = run(*line.split())
        assert done.exit_code in (0, 1, 2), done.output
        text += f"$ edgetl {line}\n{done.output}[exit code {done.exit_code}]\n\n"
        if line.startswith(BRIEF) and "-v" not in line and "--help" not in line and done.exit_code == 0:
            shown = [printed for printed in done.output.splitlines() if printed]
            assert len(shown) <= 6, done.output
            assert max(map(len, shown)) <= 80, done.output
    path, text = GOLDEN / f"{name}.txt", normalised(text, root)
    if os.environ.get("EDGETL_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("name", CASES)
def test_a_command_prints_what_its_golden_file_holds(name: str, world: Path, tmp_path: Path) -> None:
    root = tmp_path / "world"
    shutil.copytree(world, root)
    check(name, CASES[name], root)


def test_deploying_prints_what_the_golden_files_hold(tmp_path: Path) -> None:
    from test_trainer import tiny_bundle

    tiny_bundle(tmp_path, "int8").rename(tmp_path / "fake.edgetl")
    with Classifier.open(tmp_path / "fake.edgetl", tmp_path / "parts.db") as classifier:
        classifier.add_many([(coloured(label, seed), label) for label in ("red", "green") for seed in range(10)])
        classifier.train("lda")
    check("deploy-trainer", ["deploy trainer -o trainer.tflite --slots 4", "deploy trainer -o trainer.tflite --slots 1"], tmp_path)
    check("deploy-classifier", ["deploy classifier -o parts.tflite", "deploy classifier --format tflite -o parts.tflite"], tmp_path)
