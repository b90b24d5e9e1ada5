"""`edgetl bench --on`: over a real sshd on loopback, through a stand-in for adb that runs its commands here, and the leash by itself."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
import ssh_server
from click.testing import CliRunner
from pictures import coloured, encoded, picture
from ssh_server import Board

import edgetl
from edgetl.bench import files, remote
from edgetl.bench.record import Record
from edgetl.bench.remote import leash, link, wheel
from edgetl.bench.remote.link import Link, Lost
from edgetl.bench.remote.target import parse
from edgetl.bench.remote.visit import Cargo, Visit
from edgetl.cli import main
from edgetl.errors import BundleMissing, RemoteError
from edgetl.machine import libraries
from edgetl.runtimes import fake

SHORT = ("--quick", "--scenario", "memory", "-t", "1")
LONG = ("--scenario", "embed")


def eventually(condition: Callable[[], bool], seconds: float = 300) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


# --- targets


@pytest.mark.parametrize(
    ("text", "host", "user", "port"),
    [
        ("ssh://pi@host", "host", "pi", None),
        ("ssh://host:2222", "host", None, 2222),
        ("ssh://Board", "Board", None, None),
        ("ssh://pi@192.168.1.7:22/", "192.168.1.7", "pi", 22),
        ("ssh://[::1]:8022", "::1", None, 8022),
        ("ssh://pi@[fe80::1%eth0]", "fe80::1%eth0", "pi", None),
        ("ssh://user@corp.com@host", "host", "user@corp.com", None),
    ],
)
def test_ssh_targets_are_read_as_people_write_them(text, host, user, port):
    target = parse(text)
    assert (target.host, target.user, target.port) == (host, user, port)
    command = target.command("true")
    assert command[-3:] == ["--", host, "true"]
    assert ("-l" in command, "-p" in command) == (user is not None, port is not None)


@pytest.mark.parametrize("serial", ["", "emulator-5554", "192.168.1.5:5555", "adb-R58._adb-tls-connect._tcp"])
def test_adb_targets_name_a_serial_or_the_only_device(serial):
    assert parse(f"adb:{serial}").serial == serial


@pytest.mark.parametrize(
    "text",
    ["", "host", "pi@host", "http://host", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://pi@-host", "ssh://host:0",
     "ssh://host:65536", "ssh://host:ssh", "ssh://host/folder", "ssh://pi:secret@host", "ssh://[::1", "ssh://ho st", "ssh://host;reboot",
     "ssh://host\n", "ssh://[-oProxyCommand=x]", "adb:-s", "adb:a b", "adb", "adb://serial"],
)  # fmt: skip
def test_what_is_no_target_or_would_be_an_option_is_refused(text):
    with pytest.raises(RemoteError, match=r"expected ssh://HOST, ssh://USER@HOST:PORT or adb:SERIAL"):
        parse(text)


# --- the wheel


def test_the_wheel_holds_this_package_and_a_record_of_it():
    name, content = wheel.build()
    assert name == f"edgetl-{metadata.version('edgetl')}-py3-none-any.whl"
    assert wheel.build() == (name, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = {entry: archive.read(entry) for entry in archive.namelist()}
    package = Path(edgetl.__file__).parent
    sources = {f"edgetl/{path.relative_to(package)}": path.read_bytes() for path in package.rglob("*.py")}
    assert sources.items() <= held.items()
    assert held[f"edgetl/{libraries.STAMP}"].decode() == libraries.version(), "the same tree is one version here and over ssh"
    assert not [entry for entry in held if "__pycache__" in entry or entry.startswith("edgetl_exporters")]
    record = next(entry for entry in held if entry.endswith(".dist-info/RECORD"))
    listed = dict(line.rsplit(",", 2)[:2] for line in held[record].decode().splitlines())
    hashes = {entry: "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(one).digest()).decode().strip("=") for entry, one in held.items()}
    assert listed == {**hashes, record: ""}


@pytest.mark.slow  # pip
def test_pip_installs_the_wheel_and_it_runs(tmp_path):
    name, content = wheel.build()
    (tmp_path / name).write_bytes(content)
    place = tmp_path / "lib"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place), str(tmp_path / name)]
    subprocess.run(pip, check=True)
    shown = subprocess.run([sys.executable, "-m", "edgetl", "--version"], env={**os.environ, "PYTHONPATH": str(place)}, cwd=tmp_path,
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert shown.stdout == f"edgetl, version {metadata.version('edgetl')}\n"
    asked = "import edgetl; from importlib.metadata import distribution as d; print(edgetl.__file__, d('edgetl').locate_file(''))"
    where = subprocess.run([sys.executable, "-c", asked], env={**os.environ, "PYTHONPATH": str(place)}, cwd=tmp_path, capture_output=True,
                           text=True)  # fmt: skip
    assert where.stdout.split() == [str(place / "edgetl" / "__init__.py"), str(place)], where.stderr


# --- the leash, with a program in edgetl's place and no connection in between


@dataclasses.dataclass
class Here:
    """This machine, reached by its shell, with a home folder of its own."""

    home: Path
    before: str = ""
    name: str = "here"
    without_python: str = "install one"

    def command(self, there: str) -> list[str]:
        return ["env", f"HOME={self.home}", "sh", "-c", f"{self.before} {there}; exit $?"]

    def refusal(self, code: int, words: str) -> str:
        return ""

    def processes(self) -> list[str]:
        commands = []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                commands.append(process.read_bytes().replace(b"\0", b" ").decode())
        return [command for command in commands if str(self.home) in command and not command.startswith(("env", "sh"))]


@pytest.fixture
def here(tmp_path):
    (tmp_path / "home").mkdir()
    return Here(tmp_path / "home")


def program(text: str) -> Cargo:
    """A cargo whose wheel is this program."""
    made, cargo = io.BytesIO(), Cargo()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("edgetl/__init__.py", "")
        archive.writestr("edgetl/__main__.py", textwrap.dedent(text))
    cargo.put("stub.whl", made.getvalue())
    return cargo


def job(patience: float = 30, columns: int = 0) -> dict[str, object]:
    return {"wheel": "stub.whl", "given": True, "extras": [], "arguments": [], "keep": False, "columns": columns, "patience": patience}


@contextlib.contextmanager
def visiting(here: Here, text: str, say: Callable[[str], object] = print, **options: int) -> Iterator[Visit]:
    with Link(here, sys.executable, job(**options)) as link:
        visit = Visit("here", link, say)
        visit.bring(program(text))
        yield visit


FAMILY = """
import os, pathlib, subprocess, sys, time
child = [sys.executable, "-c", "import time; time.sleep(600)", __file__]
subprocess.Popen(child)
subprocess.Popen(child, start_new_session=True)
pathlib.Path("../parent").write_text(str(os.getppid()))
pathlib.Path("../parent").rename("../leash")
time.sleep(600)
"""


def test_the_record_comes_back_whole_and_nothing_is_left(here):
    with visiting(here, "import sys; open(sys.argv[-1], 'wb').write(bytes(range(256)) * 1000)") as visit:
        assert visit.record() == bytes(range(256)) * 1000
    assert not list(here.home.iterdir())


def test_what_a_login_script_prints_is_passed_over(here):
    here.before = "echo Welcome; echo; "
    with visiting(here, "import sys; open(sys.argv[-1], 'wb').write(b'{}')") as visit:
        assert visit.record() == b"{}"


def test_a_person_at_a_terminal_sees_the_progress_as_on_a_terminal(here):
    said: list[str] = []
    shows = (
        "import shutil, sys; open(sys.argv[-1], 'w').write('{}'); print(sys.stderr.isatty(), *shutil.get_terminal_size(), file=sys.stderr)"
    )
    with visiting(here, shows, said.append, columns=77) as visit:
        visit.record()
    assert "True 77" in "".join(said)


def test_when_the_link_ends_the_whole_family_is_killed_and_the_folder_removed(here):
    with visiting(here, FAMILY):
        assert eventually((here.home / "leash").exists)
        assert len(here.processes()) >= 3
    assert eventually(lambda: not here.processes())
    assert eventually(lambda: [path.name for path in here.home.iterdir()] == ["leash"])


def test_a_silent_near_end_is_given_up_by_the_leash(here):
    with subprocess.Popen([sys.executable, leash.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={**os.environ, "HOME": str(here.home)}) as process:  # fmt: skip
        assert process.stdin is not None
        leash.send(process.stdin, leash.JOB, b'{"patience": 0.6, "keep": false}')
        assert eventually(lambda: bool(list(here.home.iterdir())))
        assert process.wait(300) == 1
    assert not list(here.home.iterdir())


@pytest.mark.slow  # it waits for silence
def test_a_silent_far_end_is_given_up_by_the_link(here):
    with visiting(here, FAMILY, patience=4) as visit:
        assert eventually((here.home / "leash").exists)
        frozen = int((here.home / "leash").read_text("utf-8"))
        os.kill(frozen, signal.SIGSTOP)
        with pytest.raises(Lost, match=r"here: the connection was lost \(nothing was heard for 4 s\)"):
            visit.record()
    os.kill(frozen, signal.SIGCONT)
    assert eventually(lambda: [path.name for path in here.home.iterdir()] == ["leash"])


@pytest.mark.slow  # it waits for silence
def test_a_near_end_that_falls_silent_before_its_job_has_come_leaves_no_process():
    boot = link._BOOT.format(old="", patience=1, length=100)
    with subprocess.Popen([sys.executable, "-I", "-c", boot], stdin=subprocess.PIPE) as process:
        assert process.wait(300) == -signal.SIGALRM


@pytest.mark.slow  # it waits for the child
def test_an_interrupt_that_comes_when_the_bench_has_just_ended_changes_nothing(here):
    ends = """
    import subprocess, sys
    open(sys.argv[-1], "w").write("{}")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    """
    with Link(here, sys.executable, job(patience=3)) as connection:
        visit = Visit("here", connection, print)
        visit.bring(program(ends))
        assert eventually(lambda: any(here.home.glob("*/record.json")))
        time.sleep(0.5)  # the child still holds standard error, for which the leash waits
        connection.send(leash.INTERRUPT)
        assert visit.record() == b"{}"


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


def bench(board: Board, bundle: Path, *arguments: str, python: str | None = sys.executable, **options: object) -> tuple[Record, str]:
    said: list[str] = []
    try:
        return remote.run(board.target, bundle, arguments, say=said.append, python=python, **options), "".join(said)  # type: ignore[arg-type]  # passed on
    except RemoteError:
        print("".join(said))
        raise


def refused(board: Board, bundle: Path, *arguments: str, **options: object) -> str:
    with pytest.raises(RemoteError) as caught:
        bench(board, bundle, *(arguments or SHORT), **options)  # type: ignore[arg-type]  # passed on
    return str(caught.value)


@pytest.mark.slow
def test_a_record_made_over_ssh_is_the_one_that_was_written_there(board, bundle, folder, tmp_path):
    record, said = bench(board, bundle, *SHORT, files={"-i": folder}, keep=True)
    assert (record.ended, record.bundle["name"]) == ("", bundle.name)
    row = record.results[0].row("memory")
    assert row is not None
    assert row.n >= 1
    kept = Path(re.search(r"kept: (.*)\n", said).group(1))  # type: ignore[union-attr]  # a missing line fails as it should
    assert kept.parent == board.home
    files.write(record, tmp_path / "record.json")
    assert (tmp_path / "record.json").read_bytes() == (kept / "record.json").read_bytes()
    assert record.photos["asked"] == f"18 of {folder.name}"
    shutil.rmtree(kept)


@pytest.mark.slow
def test_a_virtual_environment_is_made_where_no_interpreter_is_named(board, bundle):
    try:
        record, said = bench(board, bundle, *SHORT, python=None)
    except RemoteError as error:
        if re.search(r"resolution|unreachable|No matching distribution|connection broken|timed out", str(error)):
            pytest.skip(f"pip is offline: {error}")
        raise
    assert record.results[0].row("memory") is not None
    assert "making a virtual environment" in said


IMPATIENT = """
import functools
from edgetl import cli
from edgetl.bench import remote
remote.run = functools.partial(remote.run, patience=6)
cli.main()
"""


def command(board: Board, bundle: Path, *options: str) -> list[str]:
    """`edgetl bench BUNDLE --on ...`, which waits less long for a silent machine."""
    return [sys.executable, "-c", IMPATIENT, "bench", str(bundle), "--on", board.target, "--python", sys.executable, *options]


@pytest.mark.slow
def test_the_command_line_passes_everything_on_and_shows_the_record(board, tmp_path):
    place = tmp_path / "a place"
    bundle = fake.write_bundle(str(place / "bündel"), encoded(picture(seed=9))).path
    photos = place / "photos ☃"
    for label in ("red", "green"):
        (photos / label).mkdir(parents=True)
        for seed in range(8):
            (photos / label / f"ä {seed}.jpg").write_bytes(coloured(label, seed))
    given = ("-t", "2", "--quick", "--variant", "fake-fp32", "--scenario", "memory", "--scenario", "predict-camera", "--fps", "77.5")
    counts = ("--queries", "60", "--rounds", "3", "--seconds", "1")
    files_too = (*counts, "--seed", "5", "-i", str(photos), "--labelled", str(photos), "--json", "-o", str(place / "ö.json"))
    done = subprocess.run(command(board, bundle, *given, *files_too), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = files.read(place / "ö.json")
    assert json.loads(done.stdout) == files.encode(record)
    (result,) = record.results
    assert (result.subject.variant, result.subject.threads, record.bundle["name"]) == ("fake-fp32", 2, "bündel")
    assert (record.method.name, record.method.seed, record.photos["asked"]) == ("custom", 5, "16 of photos ☃")
    assert (record.method.queries, record.method.rounds, record.method.seconds) == (60, 3, 1.0)
    assert result.accuracy is not None
    assert (result.accuracy.photos, result.accuracy.top1.n) == ("photos ☃", 8)
    assert list(dict.fromkeys(row.scenario for row in result.rows)) == ["predict-camera", "memory"]
    assert "77.5 frames/s" in result.rows[0].note
    assert "ssh://board: measuring" in done.stderr


@contextlib.contextmanager
def running(board: Board, bundle: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, with a worker over there."""
    started = command(board, bundle, *LONG, *options)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert eventually(lambda: any("worker" in command for command in board.processes())), process.poll()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a frozen ssh too


@pytest.mark.slow
@pytest.mark.parametrize("how", ["as a terminal does it: ssh gets one too", "to the process alone"])
def test_an_interrupted_run_brings_back_what_was_measured_marked_as_partial(board, bundle, tmp_path, how):
    with running(board, bundle, "-o", str(tmp_path / "record.json")) as process:
        if "terminal" in how:
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "ssh://board: interrupting; a second Ctrl-C leaves without a record" in errors
    assert files.read(tmp_path / "record.json").ended.startswith("interrupted by SIGINT")


@pytest.mark.slow
def test_a_killed_connection_fails_clearly_and_leaves_nothing(board, bundle):
    with running(board, bundle) as process:
        board.cut()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "error: ssh://board: the connection was lost" in errors
    assert "Start it again" in errors


@pytest.mark.slow
def test_a_frozen_near_end_leaves_no_process_and_no_folder(board, bundle):
    with running(board, bundle) as process:
        os.killpg(process.pid, signal.SIGSTOP)
        assert eventually(lambda: not board.processes() and not board.left(), 30)


@pytest.mark.slow
def test_every_refusal_of_ssh_has_its_own_sentence(board, bundle, monkeypatch):
    def with_ssh(**changed: str) -> str:
        monkeypatch.setenv("EDGETL_SSH", board.configured(**changed))
        return refused(board, bundle)

    key = with_ssh(IdentityFile=str(board.stranger()))
    assert re.match(
        r"ssh://board: it refuses the key or user \(.*Permission denied \(publickey\).*\); make this work .*: ssh board true", key
    )
    assert "its host key is unknown here; connect once by hand" in with_ssh(UserKnownHostsFile="/dev/null")
    assert re.search(r"unreachable \(.*Connection refused\)", with_ssh(Port="1"))
    assert re.search(r"unreachable \(.*Could not resolve", with_ssh(HostName="nowhere.invalid"))
    monkeypatch.setenv("EDGETL_SSH", "no-such-ssh")
    assert "'no-such-ssh' is not installed here" in refused(board, bundle)


@pytest.mark.slow
def test_every_lack_of_python_has_its_own_sentence(board, bundle, tmp_path):
    assert "no-such-python that can be run; install python3 there" in refused(board, bundle, python="no-such-python")
    old = "import sys; sys.version_info, sys.version = (3, 9, 2), '3.9.2 (old)'; exec(sys.argv[2])"
    with board.program("old", f'#!/bin/sh\nexec {sys.executable} -c "{old}" -- "$3"\n') as program:
        assert "there is Python 3.9.2; edgetl needs 3.10 or newer" in refused(board, bundle, python=program)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "empty")], check=True)
    empty = refused(board, bundle, python=str(tmp_path / "empty" / "bin" / "python"))
    assert "the interpreter there lacks numpy, PIL, click, safetensors; install them into it" in empty
    with board.program("true", "#!/bin/sh\nexit 3\n") as program:
        assert "there ended with 3: it says nothing" in refused(board, bundle, python=program)


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_has_its_own_sentence(board, bundle, tmp_path):
    with board.environment(PIP_NO_INDEX="1", PIP_NO_INPUT="1"):  # as without a network
        assert re.search(r"pip cannot install edgetl there; .*--python PATH. Its words: .*No matching", refused(board, bundle, python=None))
    (tmp_path / "venv.py").write_text("print('ensurepip is not available'); raise SystemExit(1)")  # as Debian without python3-venv
    with board.environment(PYTHONPATH=str(tmp_path)):
        said = refused(board, bundle, python=None)
    assert re.search(r"makes no virtual environment; .* apt install python3-venv; .*Its words: ensurepip is not available", said)


@pytest.mark.slow
def test_what_the_bench_refuses_over_there_is_passed_on(board, bundle):
    done = subprocess.run(command(board, bundle, "--scenario", "n-shot", "--labelled", str(bundle)), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^error: ssh://board: .*fake\.edgetl", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_what_can_be_refused_here_is_not_sent(bundle, tmp_path):
    def asked(**options: object) -> None:
        remote.run("ssh://nowhere.invalid", bundle, [], say=print, **options)  # type: ignore[arg-type]  # passed on

    with pytest.raises(BundleMissing, match="no variant 'onnx-int8'"):
        asked(variants=["onnx-int8"])
    with pytest.raises(RemoteError, match="photos: no such file or folder to copy"):
        asked(files={"-i": tmp_path / "photos"})


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--python", "python3"), 2, "give --on too"),
        (("--keep",), 2, "give --on too"),
        (("--on", "pi@host"), 1, "error: 'pi@host' is no machine to measure on; expected ssh://HOST"),
        (("--on", "ssh://nowhere.invalid", "-i", "no-such-folder"), 1, "error: no-such-folder: no such file or folder to copy to"),
        (("--on", "adb:pixel"), 1, "error: adb:pixel: adb is not installed here"),
    ],
)
def test_the_command_line_refuses_in_a_sentence_what_can_be_refused_here(bundle, monkeypatch, options, code, said):
    monkeypatch.setenv("PATH", "/nonexistent")
    done = CliRunner().invoke(main, ["bench", str(bundle), *options])
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


# --- adb: a stand-in for the program, which runs what a device's shell would run, here

ADB = """#!/bin/sh
export HOME=/ TMPDIR='{device}'
[ "$1 $2" = "-s pixel" ] || {{ echo "adb: device '$2' not found" >&2; exit 1; }}
[ "$3 $4" = "shell -T" ] || exit 64
exec {around} sh -c "$5"
"""


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    device = tmp_path / "device"
    device.mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def put(text: str = ADB, around: str = "") -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "adb").write_text(text.format(device=device, around=around))
        (tmp_path / "bin" / "adb").chmod(0o755)
        return device

    return put


def through_adb(bundle: Path, serial: str = "pixel", python: str | None = sys.executable, **options: object) -> Record:
    return remote.run(f"adb:{serial}", bundle, SHORT, say=print, python=python, **options)  # type: ignore[arg-type]  # passed on


@pytest.mark.slow
def test_a_record_comes_through_adb_and_nothing_is_left(adb, bundle):
    device = adb()
    assert through_adb(bundle).results[0].row("memory") is not None
    assert not list(device.iterdir())


@pytest.mark.slow
def test_a_full_disk_over_there_is_said(adb, bundle, tmp_path):
    photos = tmp_path / "many"
    photos.mkdir()
    for number in range(600):
        (photos / f"{number}.jpg").write_bytes(b"x")  # a block each
    unshare = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    device = adb(around=f"{' '.join(unshare)} sh -c 'mount -t tmpfs -o size=2m tmpfs {tmp_path / 'device'} && exec \"$@\"' sh")
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", str(device)], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    with pytest.raises(RemoteError, match=r"adb:pixel: its disk is full \(.*No space left on device.*\); make room there"):
        through_adb(bundle, files={"-i": photos})
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(10_000_000)
    with pytest.raises(RemoteError, match=r"MB do not fit: .* MB are free at"):
        through_adb(bundle, files={"-i": huge})


def test_every_refusal_of_adb_has_its_own_sentence(adb, bundle, monkeypatch):
    def refusal(serial: str = "pixel", **options: str) -> str:
        with pytest.raises(RemoteError) as caught:
            through_adb(bundle, serial, **options)
        return str(caught.value)

    adb()
    assert "adb:nexus: no such device is connected" in refusal("nexus")
    assert "forward tcp:8022 tcp:8022; then measure --on ssh://localhost:8022" in refusal(
        python="/data/data/com.termux/files/usr/bin/python3"
    )
    words = {
        "does not trust this computer": "error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set",
        "it is offline": "adb: device offline",
        "several devices": "adb: more than one device/emulator",
        "no device is connected": "adb: no devices/emulators found",
    }
    for expected, said in words.items():
        adb(f'#!/bin/sh\ncat >&2 <<"E"\n{said}\nE\nexit 1\n')
        assert expected in refusal("")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "adb is not installed here" in refusal()
