"""The verbs, through the installed program: stdout, stderr and exit codes as a script sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pictures import encoded, picture

from edgetl import Classifier
from edgetl.cli import main
from edgetl.runtimes import fake


@pytest.fixture
def run(bundle: Path, tmp_path: Path):
    """Runs a verb on the fake bundle and a store in tmp_path."""

    def run(*arguments: object) -> Result:
        environment = {"EDGETL_BUNDLE": os.fspath(bundle), "EDGETL_STORE": os.fspath(tmp_path / "shop.db")}
        return CliRunner().invoke(main, [str(a) for a in arguments], env=environment)

    return run


@pytest.fixture
def taught(run, folder: Path):
    assert run("add", folder).exit_code == 0
    assert run("train").exit_code == 0
    return run


def test_the_job_from_teaching_to_rolling_back(taught, folder: Path):
    photo = sorted(folder.rglob("*.jpg"))[0]
    guess = json.loads(taught("predict", photo, "--top", 2, "--json").stdout)["guesses"][str(photo)]
    assert guess["label"] == photo.parent.name
    assert len(guess["top"]) == 2
    report = json.loads(taught("eval", folder, "--json").stdout)
    assert report["accuracy"]["n"] == len(list(folder.rglob("*.jpg")))
    assert "used for training" in report["warnings"][0]
    assert len(report["confusion"][0]) == len(report["labels"]) + 1
    label = photo.parent.name
    assert label in json.loads(taught("forget", "--label", label, "--yes", "--json").stdout)["removed"]
    history = json.loads(taught("head", "list", "--json").stdout)
    assert [head["active"] for head in history] == [False, True]
    assert json.loads(taught("rollback", "--json").stdout)["id"] == history[0]["id"]


def test_tables_go_to_stdout_and_talk_to_stderr(taught, folder: Path):
    done = taught("train", "--head", "ncm")
    assert "95 % interval" in done.stdout
    assert "head 2" in done.stderr
    done = taught("add", folder)
    assert "known" in done.stderr
    assert "known" not in done.stdout


def test_a_bad_photo_is_reported_and_the_rest_is_taught(run, folder: Path):
    bad = folder / sorted(p.name for p in folder.iterdir())[0] / "broken.jpg"
    bad.write_bytes(b"\xff\xd8 not a photo")
    done = run("add", folder)
    assert done.exit_code == 0
    assert "broken.jpg" in done.stderr
    done = run("add", bad, "--label", "x")
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train"], 1, "does not exist"),
        (["head", "list"], 1, "does not exist"),
        (["add", "nowhere"], 1, "no such file or folder"),
        (["predict", "missing.jpg"], 1, ""),
        (["add"], 2, "PHOTOS"),
        (["add", __file__], 2, "--label"),
        (["add", __file__, "--label", "a/b"], 1, "path separator"),
        (["add", "nowhere.jpg", "--label", "x"], 1, "no such file or folder"),
        (["forget"], 2, "--label CLASS or --photo PHOTO"),
        (["bundle", "inspect", "-m", "nowhere.edgetl"], 1, "no such bundle"),
        (["train", "--head", "svm"], 2, "svm"),
        (["add", __file__, "--label", "x", "--runtime", "tensorrt"], 1, "tensorrt"),
        (["add", __file__, "--label", "x", "--variant", "onnx-int4"], 1, "fake-fp32"),
    ],
)
def test_a_wrong_call_says_what_was_expected(run, arguments: list[str], code: int, words: str):
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_that_is_no_store_is_left_as_it_was(run, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("this is another program's file")
    before = set(tmp_path.iterdir())
    for verb in (["train"], ["head", "list"], ["rollback"]):
        assert run(*verb).exit_code == 1
        assert run(*verb, "-s", tmp_path / "notes.txt").exit_code == 1
    assert set(tmp_path.iterdir()) == before


def test_inspect_finds_a_changed_byte(run, bundle: Path):
    done = run("bundle", "inspect")
    assert done.exit_code == 0
    assert "all checksums match" in done.stderr
    content = bytearray(bundle.read_bytes())
    content[content.index(b'{"dim"') + 8] ^= 1
    bundle.write_bytes(content)
    done = run("bundle", "inspect")
    assert done.exit_code == 1
    assert "changed" in done.stderr


def test_a_store_taught_on_the_command_line_is_the_same_as_from_python(taught, bundle: Path, tmp_path: Path):
    with Classifier.open(bundle, tmp_path / "shop.db", read_only=True) as shop:
        assert sum(shop.counts.values()) > 0
        assert shop.heads()[0].active


def test_the_program_answers_without_a_runtime_or_a_workstation():
    script = "import sys; sys.argv = ['edgetl', '--version']; sys.modules['torch'] = None\nimport edgetl.cli; edgetl.cli.main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("edgetl, version ")


def test_a_head_moves_to_another_store_of_the_same_model_and_only_there(taught, folder: Path, tmp_path: Path, bundle: Path):
    photo = next(folder.rglob("*.jpg"))
    said = json.loads(taught("predict", photo, "--json").stdout)["guesses"]
    file = tmp_path / "head.safetensors"
    done = taught("head", "export", "-o", file)
    assert done.exit_code == 0
    assert "classes blue, green, red" in done.stdout

    other = tmp_path / "other.db"
    assert taught("add", "-s", other, "--label", "red", folder / "red").exit_code == 0
    done = taught("head", "import", file, "-s", other)
    assert done.exit_code == 0
    assert done.stdout.startswith("head 1 is active")
    assert json.loads(taught("predict", photo, "-s", other, "--json").stdout)["guesses"] == said

    foreign = fake.write_bundle(str(tmp_path / "foreign.edgetl"), encoded(picture(seed=1)), seed=1).path
    strange = tmp_path / "strange.db"
    assert taught("add", "-m", foreign, "-s", strange, "--label", "red", folder / "red").exit_code == 0
    done = taught("head", "import", file, "-s", strange)
    assert done.exit_code == 1
    assert "reads the embeddings of another model" in done.stderr
    assert taught("head", "import", tmp_path / "nothing", "-s", other).exit_code == 1
    assert taught("head", "import", photo, "-s", other).exit_code == 1
    assert taught("head", "export", "-o", tmp_path / "no folder" / "x").exit_code == 1


def test_any_head_of_the_history_can_be_made_active_and_undone(taught):
    assert taught("train", "--head", "ncm").exit_code == 0
    assert taught("head", "activate", 1).stdout.startswith("head 1 is active")
    assert taught("rollback").stdout.startswith("head 2 is active")
    done = taught("head", "activate", 9)
    assert done.exit_code == 1
    assert "no head 9" in done.stderr


def test_a_mistyped_photo_leaves_no_store_behind(run, tmp_path: Path):
    assert run("add", "nowhere.jpg", "--label", "x").exit_code == 1
    assert not (tmp_path / "shop.db").exists()


def test_choosing_among_nothing_that_works_is_refused(run, folder: Path):
    assert run("bundle", "choose", "-m", "nowhere.edgetl", "--photos", folder).exit_code == 1


def test_forgetting_without_a_terminal_needs_yes_and_changes_nothing(taught):
    before = taught("store", "log", "--json").stdout
    done = taught("forget", "--label", "red")
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert taught("store", "log", "--json").stdout == before
    assert taught("forget", "--label", "red", "--yes").exit_code == 0
