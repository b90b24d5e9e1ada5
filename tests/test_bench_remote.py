"""`edgetl bench --on`: through a stand-in for ssh that runs its command here, and over a real sshd on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ssh_server
from click.testing import CliRunner
from pictures import coloured, encoded, picture
from ssh_server import Board

from edgetl.bench import files, remote
from edgetl.bench.record import Record
from edgetl.cli import main
from edgetl.errors import BundleMissing, RemoteError
from edgetl.runtimes import fake

SHORT = ("--quick", "--scenario", "memory", "-t", "1")
LONG = ("--scenario", "embed", "-t", "1")
# Runs what ssh would run there, with a home folder of its own and a login script that prints something.
STAND_IN = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
[ "$2" = desk ] || {{ echo "ssh: connect to host $2 port 22: No route to host" >&2; exit 255; }}
echo Welcome
HOME='{home}' exec sh -c "$3"
"""


def eventually(condition: Callable[[], bool], seconds: float = 300) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    ("text", "host", "where"),
    [
        ("ssh://pi@host", "host", ["-l", "pi"]),
        ("ssh://host:2222", "host", ["-p", "2222"]),
        ("ssh://Board", "Board", []),
        ("ssh://pi@192.168.1.7:22/", "192.168.1.7", ["-l", "pi", "-p", "22"]),
        ("ssh://[::1]:8022", "::1", ["-p", "8022"]),
        ("ssh://user@corp.com@host", "host", ["-l", "user@corp.com"]),
    ],
)
def test_ssh_targets_are_parsed_as_people_write_them(text: str, host: str, where: list[str]) -> None:
    parsed, command = remote._command(text)
    assert (parsed, command[-len(where) - 2 :]) == (host, [*where, "--", host])


@pytest.mark.parametrize(
    "text",
    ["", "host", "pi@host", "http://host", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://pi@-host", "ssh://host:0",
     "ssh://host:65536", "ssh://host:ssh", "ssh://host/folder", "ssh://pi:secret@host", "ssh://[::1", "ssh://ho st", "ssh://host;reboot",
     "ssh://host\n", "ssh://[-oProxyCommand=x]", "adb:pixel"],
)  # fmt: skip
def test_what_is_not_a_target_or_would_be_an_option_is_an_error(text: str) -> None:
    with pytest.raises(RemoteError) as caught:
        remote._command(text)
    assert caught.value.code == "target-invalid"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9))).path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user `desk` that a stand-in for ssh reaches."""
    (tmp_path / "home").mkdir()
    (tmp_path / "ssh").write_text(STAND_IN.format(home=tmp_path / "home"))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("EDGETL_SSH", str(tmp_path / "ssh"))
    return tmp_path / "home"


def asked(bundle: Path, *arguments: str, target: str = "ssh://desk", python: str | None = sys.executable, **more: object) -> Record:
    return remote.run(target, bundle, arguments, say=lambda line: None, python=python, **more)  # type: ignore[arg-type]  # passed on


def code_of(bundle: Path, *arguments: str, **more: object) -> str:
    with pytest.raises(RemoteError) as caught:
        asked(bundle, *arguments, **more)  # type: ignore[arg-type]  # passed on
    return caught.value.code


@pytest.mark.slow
def test_the_record_comes_back_and_nothing_is_left(home: Path, bundle: Path) -> None:
    record = asked(bundle, *SHORT)
    assert (record.ended, record.bundle["name"]) == ("", bundle.name)
    assert record.results[0].row("memory") is not None
    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_the_folder_is_kept_on_request(home: Path, bundle: Path, tmp_path: Path) -> None:
    record = asked(bundle, *SHORT, keep=True)
    (kept,) = home.iterdir()
    files.write(record, tmp_path / "record.json")
    assert (kept / "record.json").read_bytes() == (tmp_path / "record.json").read_bytes()


def test_what_cannot_be_measured_is_known_before_anything_is_sent(home: Path, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleMissing):
        asked(bundle, variants=["onnx-int8"])
    assert code_of(bundle, files={"--photos": tmp_path / "photos"}) == "nothing-to-copy"
    assert list(home.iterdir()) == []


def test_every_failure_of_the_other_machine_has_a_code_and_leaves_nothing(
    home: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def program(name: str, text: str) -> str:
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
        return str(tmp_path / name)

    assert code_of(bundle, target="ssh://elsewhere") == "unreachable"
    assert code_of(bundle, python="no-such-python") == "python-missing"
    assert code_of(bundle, python=program("old", 'case "$2" in *version_info*) exit 1;; esac')) == "python-too-old"
    assert code_of(bundle, python=program("bare", 'case "$2" in *numpy*) exit 1;; esac')) == "modules-missing"
    assert code_of(bundle, python=program("full", 'case "$2" in *numpy*) echo No space left on device >&2; exit 1;; esac')) == "disk-full"
    assert code_of(bundle, "--scenario", "no-such-scenario") == "bench-failed"
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    program("bin/python3", 'case "$2" in *version_info*) exit 0;; venv) exit 1;; esac')
    assert code_of(bundle, python=None) == "venv-failed"
    program("bin/python3", f'case "$2" in *version_info*) exit 0;; venv) mkdir -p "$3/bin"; cp "{tmp_path}/nopip" "$3/bin/python";; esac')
    program("nopip", "exit 1")
    assert code_of(bundle, python=None) == "pip-failed"
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("REMOTE HOST IDENTIFICATION HAS CHANGED!", "host-key-changed"),
        ("Host key verification failed.", "host-key-unknown"),
        ("board: Permission denied (publickey).", "permission-denied"),
        ("ssh: Could not resolve hostname board", "unreachable"),
        ("measuring there\nTimeout, server board not responding.", "remote-lost"),
    ],
)
def test_what_ssh_prints_becomes_a_code(words: str, code: str) -> None:
    assert remote._failure("ssh://board", "board", 255, words.splitlines(keepends=True)).code == code


@pytest.mark.parametrize("options", [("--python", "python3"), ("--keep",)])
def test_options_of_the_other_machine_need_one(bundle: Path, options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(main, ["bench", "-m", str(bundle), *options]).exit_code == 2


def test_a_missing_ssh_is_an_error_with_a_code(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETL_SSH", "no-such-ssh")
    done = CliRunner().invoke(main, ["bench", "-m", str(bundle), "--on", "ssh://board", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (1, "ssh-missing")


# --- runs that end early, in a process of their own

IMPATIENT = """
import functools
from edgetl import cli
from edgetl.bench import remote
remote.run = functools.partial(remote.run, patience=4)
cli.main()
"""


def command(bundle: Path, target: str, *options: str) -> list[str]:
    """`edgetl bench -m BUNDLE --on ...`, where the far end waits less long for a sign of life."""
    return [sys.executable, "-c", IMPATIENT, "bench", "-m", str(bundle), "--on", target, "--python", sys.executable, *options]


def below(folder: Path) -> list[str]:
    """The command lines of the processes that name a folder or work in it, but for shells on their way out."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in text or str((process / "cwd").readlink()).startswith(str(folder)):
                commands.append(text)
    return commands


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose bench measures in a folder below `folder`."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert eventually(lambda: any("worker" in text for text in below(folder))), process.poll()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False], ids=["as a terminal does it", "to the process alone"])
def test_an_interrupted_run_brings_back_its_partial_record(home: Path, bundle: Path, tmp_path: Path, group: bool) -> None:
    with running(home, *command(bundle, "ssh://desk", *LONG, "-o", str(tmp_path / "record.json"))) as process:
        if group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=300)
    assert process.returncode == 1
    assert files.read(tmp_path / "record.json").ended
    assert list(home.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "freezes"])
def test_a_near_end_that_dies_or_freezes_leaves_no_process_and_no_folder(home: Path, bundle: Path, number: signal.Signals) -> None:
    with running(home, *command(bundle, "ssh://desk", *LONG)) as process:
        os.kill(process.pid, number)
        assert eventually(lambda: not list(home.iterdir()) and not below(home), 60)


# --- a real sshd


@pytest.fixture(scope="module")
def server() -> Iterator[Board]:
    with ssh_server.serving() as board:
        yield board


@pytest.fixture
def board(server: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("EDGETL_SSH", server.ssh)
    yield server
    assert eventually(lambda: not server.processes() and not server.left()), (server.processes(), server.left())


@pytest.mark.slow
def test_the_command_passes_every_option_on_and_shows_the_record(board: Board, tmp_path: Path) -> None:
    place = tmp_path / "a place"
    place.mkdir()
    bundle = fake.write_bundle(str(place / "bündel"), encoded(picture(seed=9))).path
    photos = place / "photos ☃"
    for label in ("red", "green"):
        (photos / label).mkdir(parents=True)
        for seed in range(8):
            (photos / label / f"ä {seed}.jpg").write_bytes(coloured(label, seed))
    scenarios = ("-t", "2", "--quick", "--variant", "fake-fp32", "--scenario", "memory", "--scenario", "predict-camera", "--fps", "77.5")
    counts = ("--queries", "60", "--rounds", "3", "--seconds", "1")
    more = ("--seed", "5", "--photos", str(photos), "--labelled", str(photos), "--json", "-o", str(place / "ö.json"))
    done = subprocess.run(command(bundle, board.target, *scenarios, *counts, *more), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = files.read(place / "ö.json")
    assert json.loads(done.stdout) == files.encode(record)
    (result,) = record.results
    assert (result.subject.variant, result.subject.threads, record.bundle["name"]) == ("fake-fp32", 2, "bündel")
    assert (record.method.name, record.method.seed, record.photos["queries"]) == ("custom", 5, "16 of photos ☃")
    assert (record.method.queries, record.method.rounds, record.method.seconds) == (60, 3, 1.0)
    assert result.accuracy is not None
    assert (result.accuracy.photos, result.accuracy.top1.n) == ("photos ☃", 8)
    assert list(dict.fromkeys(row.scenario for row in result.rows)) == ["predict-camera", "memory"]


@pytest.mark.slow
def test_a_virtual_environment_is_made_where_no_interpreter_is_given(board: Board, bundle: Path) -> None:
    try:
        record = asked(bundle, *SHORT, target=board.target, python=None)
    except RemoteError as error:
        if error.code == "pip-failed":
            pytest.skip(f"pip is offline: {error}")
        raise
    assert record.results[0].row("memory") is not None


@pytest.mark.slow
def test_a_killed_connection_is_an_error_and_leaves_nothing(board: Board, bundle: Path) -> None:
    with running(board.home, *command(bundle, board.target, *LONG, "--json")) as process:
        board.cut()
        output, _ = process.communicate(timeout=300)
    assert (process.returncode, json.loads(output)["error"]["code"]) == (1, "remote-lost")


@pytest.mark.slow
def test_a_frozen_client_leaves_no_process_and_no_folder(board: Board, bundle: Path) -> None:
    with running(board.home, *command(bundle, board.target, *LONG)) as process:
        os.killpg(process.pid, signal.SIGSTOP)
        assert eventually(lambda: not board.processes() and not board.left(), 60)


@pytest.mark.slow
def test_every_refusal_of_a_real_ssh_has_its_code(board: Board, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_ssh(**changed: str) -> str:
        monkeypatch.setenv("EDGETL_SSH", board.configured(**changed))
        return code_of(bundle, target=board.target)

    assert with_ssh(IdentityFile=str(board.stranger())) == "permission-denied"
    assert with_ssh(UserKnownHostsFile="/dev/null") == "host-key-unknown"
    assert with_ssh(Port="1") == with_ssh(HostName="nowhere.invalid") == "unreachable"
