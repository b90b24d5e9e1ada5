"""The verbs, through the installed program: stdout, stderr and exit codes as a script sees them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pictures import coloured, encoded, picture

from edgetl import Classifier
from edgetl.cli import main
from edgetl.runtimes import fake

Run = Callable[..., Result]


@pytest.fixture
def run(bundle: Path, tmp_path: Path) -> Run:
    """Runs a verb on the fake bundle and a store in tmp_path."""

    def run(*arguments: object) -> Result:
        environment = {"EDGETL_BUNDLE": os.fspath(bundle), "EDGETL_STORE": os.fspath(tmp_path / "parts.db")}
        return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)

    return run


@pytest.fixture
def trained(run: Run, folder: Path) -> Run:
    assert run("add", folder).exit_code == 0
    assert run("train").exit_code == 0
    return run


def parsed(done: Result) -> Any:
    return json.loads(done.stdout)


def error_code(done: Result) -> str:
    assert done.exit_code == 1, done.output
    return str(parsed(done)["error"]["code"])


def test_the_job_from_adding_to_rolling_back(trained: Run, folder: Path) -> None:
    photo = sorted(folder.rglob("*.jpg"))[0]
    prediction = parsed(trained("predict", photo, "--top", 2, "--json"))["predictions"][str(photo)]
    assert (prediction["label"], prediction["code"]) == (photo.parent.name, "labelled")
    assert len(prediction["top"]) == 2
    report = parsed(trained("eval", folder, "--json"))
    assert report["accuracy"]["n"] == report["stored"] == len(list(folder.rglob("*.jpg")))
    assert len(report["confusion"][0]) == len(report["labels"]) + 1
    label = photo.parent.name
    assert label in parsed(trained("forget", "--label", label, "--yes", "--json"))["removed"]
    history = parsed(trained("head", "list", "--json"))
    assert [head["active"] for head in history] == [False, True]
    assert parsed(trained("rollback", "--json"))["id"] == history[0]["id"]


def test_results_go_to_stdout_and_advice_and_warnings_to_stderr(trained: Run, folder: Path) -> None:
    done = trained("train", "--head", "ncm")
    assert done.stdout.startswith("Head 2")
    assert {line.partition(":")[0] for line in done.stderr.splitlines()} <= {"warning", "next"}
    assert trained("add", folder).stderr == ""


def test_one_bad_photo_is_reported_and_the_others_are_added(run: Run, folder: Path) -> None:
    bad = folder / sorted(path.name for path in folder.iterdir())[0] / "broken.jpg"
    bad.write_bytes(b"\xff\xd8 not a photo")
    done = run("add", folder)
    assert done.exit_code == 0
    assert "broken.jpg" in done.stderr
    assert run("add", bad, "--label", "x").exit_code == 1


def test_predict_reports_each_bad_photo_and_fails_if_one_that_was_named_is_bad(trained: Run, folder: Path) -> None:
    photo, bad = next(folder.rglob("*.jpg")), folder / "broken.jpg"
    bad.write_bytes(b"")
    done = trained("predict", photo, bad, "--json")
    some = json.loads(done.stdout)
    assert (list(some["predictions"]), list(some["failed"])) == ([str(photo)], [str(bad)])
    assert some["failed"][str(bad)]["code"] == "photo-empty"
    assert done.exit_code == 1
    assert trained("predict", folder).exit_code == 0  # nobody has named it
    assert trained("predict", bad).exit_code == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_character_set_shows_results(trained: Run, bundle: Path, tmp_path: Path, encoding: str) -> None:
    store = tmp_path / "parts.db"
    with Classifier.open(bundle, store) as classifier:
        classifier.add(coloured("yellow", 0), "żółty ☕")
    words = [sys.executable, "-m", "edgetl", "store", "log", "-s", str(store)]
    done = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ty " in done.stdout


def test_where_the_result_cannot_be_printed_the_deed_is_done(trained: Run, tmp_path: Path, folder: Path) -> None:
    words = [sys.executable, "-m", "edgetl", "forget", "-l", "red", "--yes", "-s", str(tmp_path / "parts.db")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith("warning: ")
    assert "Traceback" not in done.stderr
    with Classifier.open_store(tmp_path / "parts.db", read_only=True) as stored:
        assert "red" not in stored.counts


def test_predict_reads_a_photo_from_standard_input(trained: Run, bundle: Path, tmp_path: Path) -> None:
    words = ["predict", "-", "-m", str(bundle), "-s", str(tmp_path / "parts.db"), "--json"]
    for content, code in ((coloured("red", 70), 0), (b"no photo", 1)):
        done = CliRunner().invoke(main, words, input=content)
        assert done.exit_code == code
    assert list(json.loads(done.stdout)["failed"]) == ["-"]


def test_a_folder_where_one_photo_is_expected_is_an_error(trained: Run, folder: Path) -> None:
    assert error_code(trained("explain", folder, "--json")) == "photo-is-folder"


def test_a_store_without_photos_is_a_result_and_not_an_error(trained: Run, bundle: Path, tmp_path: Path) -> None:
    for label in ("red", "green", "blue"):
        assert trained("forget", "--label", label, "--yes").exit_code == 0
    Classifier.open(bundle, tmp_path / "new.db").close()
    for store in ("parts.db", "new.db"):
        for verb in (["doctor"], ["head", "list"], ["store", "log"]):
            done = trained(*verb, "-s", tmp_path / store, "--json")
            assert done.exit_code == 0, done.output
    assert parsed(trained("store", "log", "-s", tmp_path / "new.db", "--json")) == []


def test_what_is_not_adapted_leaves_the_head_and_is_no_error_if_nothing_needs_it(trained: Run, folder: Path, tmp_path: Path) -> None:
    for label in ("red", "green", "blue"):
        (new := tmp_path / "new" / label).mkdir(parents=True)
        for seed in range(100, 115):
            (new / f"{seed}.jpg").write_bytes(coloured(label, seed))
            (folder / label / f"{seed}.jpg").write_bytes(coloured(label, seed + 100))
    assert trained("add", folder).exit_code == trained("train").exit_code == 0
    active = parsed(trained("head", "list", "--json"))
    done = trained("adapt", "--labelled", tmp_path / "new", "--json")
    assert parsed(done)["kind"] is None
    assert done.exit_code == (parsed(done)["code"] != "no-gain")
    assert parsed(trained("head", "list", "--json")) == active


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train"], "store-"),
        (["head", "list"], "store-"),
        (["add", "nowhere"], "photo-missing"),
        (["predict", "missing.jpg"], "store-"),
        (["add", __file__, "--label", "a/b"], "label-path"),
        (["add", "nowhere.jpg", "--label", "x"], "photo-missing"),
        (["bundle", "inspect", "-m", "nowhere.edgetl"], "bundle-missing"),
        (["add", __file__, "--label", "x", "--runtime", "tensorrt"], "runtime-"),
        (["add", __file__, "--label", "x", "--variant", "onnx-int4"], ""),
        (["add", __file__, "--label", "x"], ""),
    ],
)
def test_what_fails_is_an_error_with_a_code_and_exit_code_1(run: Run, arguments: list[str], code: str) -> None:
    done = run(*arguments, "--json")
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("error: ") or not code
    assert not code or parsed(done)["error"]["code"].startswith(code)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["add"], "PHOTOS"),
        (["add", __file__], "--label"),
        (["forget"], "--photo"),
        (["forget", "--label", "x"], "--yes"),
        (["train", "--head", "svm"], "--head"),
        (["head", "import", "file", "-o", "head"], "--trainer"),
        (["adapt"], "--labelled"),
        (["predict", "a.jpg", "-k", "0"], "--top"),
    ],
)
def test_a_wrong_call_names_the_option_and_ends_with_2(run: Run, arguments: list[str], option: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert option in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["nosuch"], ["--nosuch"], ["train", "--nosuch"], ["forget"], ["head", "nosuch"]])
def test_a_wrong_call_with_json_prints_an_error_of_the_code_usage(run: Run, arguments: list[str]) -> None:
    done = run(*arguments, "--json")
    assert done.exit_code == 2, done.output
    assert parsed(done)["error"]["code"] == "usage"


def test_a_folder_in_which_no_photo_is_usable_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"")
    done = run("add", "--label", "x", str(tmp_path / "broken.jpg"))
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("error: ")


def test_a_path_that_is_not_a_store_is_left_as_it_was(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is another program's file")
    before = set(tmp_path.iterdir())
    for verb in (["train"], ["head", "list"], ["rollback"]):
        assert run(*verb).exit_code == 1
        assert run(*verb, "-s", tmp_path / "notes.txt").exit_code == 1
    assert set(tmp_path.iterdir()) == before


def test_inspect_finds_a_changed_byte(run: Run, bundle: Path) -> None:
    assert parsed(run("bundle", "inspect", "--json"))["files_checked"] > 0
    content = bytearray(bundle.read_bytes())
    content[content.index(b'{"dim"') + 8] ^= 1
    bundle.write_bytes(content)
    done = run("bundle", "inspect", "--json")
    assert done.exit_code == 1
    assert parsed(done)["error"]["code"].startswith("bundle-")


def test_a_store_filled_on_the_command_line_opens_in_python(trained: Run, bundle: Path, tmp_path: Path) -> None:
    with Classifier.open(bundle, tmp_path / "parts.db", read_only=True) as classifier:
        assert sum(classifier.counts.values()) > 0
        assert classifier.heads()[0].active


def test_the_program_answers_without_a_runtime_or_a_workstation() -> None:
    script = "import sys; sys.argv = ['edgetl', '--version']; sys.modules['torch'] = None\nimport edgetl.cli; edgetl.cli.main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("edgetl, version ")


def test_a_head_moves_to_another_store_of_the_same_model_and_only_there(trained: Run, folder: Path, tmp_path: Path, bundle: Path) -> None:
    photo = next(folder.rglob("*.jpg"))
    predictions = parsed(trained("predict", photo, "--json"))["predictions"]
    file = tmp_path / "head.safetensors"
    assert parsed(trained("head", "export", "-o", file, "--json"))["labels"] == ["blue", "green", "red"]

    other = tmp_path / "other.db"
    assert trained("add", "-s", other, "--label", "red", folder / "red").exit_code == 0
    imported = parsed(trained("head", "import", file, "-s", other, "--json"))
    assert (imported["id"], imported["active"]) == (1, True)
    assert parsed(trained("predict", photo, "-s", other, "--json"))["predictions"] == predictions

    foreign = fake.write_bundle(str(tmp_path / "foreign.edgetl"), encoded(picture(seed=1)), seed=1).path
    strange = tmp_path / "strange.db"
    assert trained("add", "-m", foreign, "-s", strange, "--label", "red", folder / "red").exit_code == 0
    assert error_code(trained("head", "import", file, "-s", strange, "--json")) == "model-mismatch"
    assert error_code(trained("head", "import", tmp_path / "nothing", "-s", other, "--json")) == "head-file-missing"
    assert error_code(trained("head", "import", photo, "-s", other, "--json")) == "not-a-head"
    assert error_code(trained("head", "export", "-o", tmp_path / "no folder" / "x", "--json")) == "not-writable"


def test_any_head_of_the_history_can_be_made_active_and_undone(trained: Run) -> None:
    assert trained("train", "--head", "ncm").exit_code == 0
    assert parsed(trained("head", "activate", 1, "--json"))["id"] == 1
    assert parsed(trained("rollback", "--json"))["id"] == 2
    assert trained("head", "activate", 9).exit_code == 1


def test_a_page_that_cannot_be_written_is_an_error(trained: Run, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "no folder" / "why.html"
    assert error_code(trained("explain", next(folder.rglob("*.jpg")), "-o", page, "--json")) == "not-writable"


def test_a_mistyped_photo_leaves_no_store_behind(run: Run, tmp_path: Path) -> None:
    assert run("add", "nowhere.jpg", "--label", "x").exit_code == 1
    assert not (tmp_path / "parts.db").exists()


def test_choosing_among_nothing_that_works_fails(run: Run, folder: Path) -> None:
    assert run("bundle", "choose", "-m", "nowhere.edgetl", "--photos", folder).exit_code == 1


def test_forgetting_without_a_terminal_needs_yes_and_changes_nothing(trained: Run) -> None:
    before = trained("store", "log", "--json").stdout
    assert trained("forget", "--label", "red").exit_code == 2
    assert trained("store", "log", "--json").stdout == before
    assert trained("forget", "--label", "red", "--yes").exit_code == 0


def test_a_control_character_of_a_file_name_does_not_reach_the_terminal(trained: Run, tmp_path: Path) -> None:
    name = tmp_path / "a\x1b[31m.jpg"
    name.write_bytes(coloured("red", 60))
    done = trained("predict", name)
    assert done.exit_code == 0, done.output
    assert "a?[31m.jpg" in done.stdout
