"""Measure on another machine: `tar | ssh`, with a trap and `timeout` there, so that nothing is left behind.

One ssh connection carries an archive (this edgetl, the bundle, the photos), then a byte every few seconds. The script at the far end runs
`edgetl bench` from a folder of its own; when the connection ends or stays silent it stops the bench and removes the folder.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import edgetl
from edgetl.bench import files as records
from edgetl.bench.record import Record
from edgetl.bundle.bundle import Bundle
from edgetl.errors import RemoteError
from edgetl.machine import libraries

# A host never begins with a dash: ssh would read it as an option.
_TARGET = re.compile(
    r"ssh://(?:(?P<user>\w[\w.@+-]*)@)?(?:(?P<host>\w[\w.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%\w+)?)\])(?::(?P<port>\d{1,5}))?/?"
)
# The person's configuration may ask for a terminal, a command of its own, or ports that another connection already holds.
_OPTIONS = ("-T", "-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes", "-o", "ConnectTimeout=20",
            "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")  # fmt: skip
# Ctrl-C reaches every program of the terminal. ssh must survive it: the bench there is interrupted and its record is fetched.
_SHIELD = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
_ALIVE, _INTERRUPT = b".", b"i"
_MARK = b"edgetl-record\n"
_MEASURING = "measuring there"
# `timeout` leads a process group and passes a signal on to all of it. The watcher's output is closed so that it cannot hold ssh open.
_FAR = r"""umask 077; work=
d=$(mktemp -d "${HOME:-/tmp}/.edgetl-bench-XXXXXX") || exit 71
clean() { trap '' HUP INT TERM PIPE; [ -z "$work" ] || { kill -TERM $work; wait $work; }; KEEP || rm -rf "$d"; }
trap 'clean 2>/dev/null' EXIT; trap 'exit 70' HUP INT TERM PIPE
cd "$d" && timeout 3600 head -c SIZE | tar -xf - || exit 72
exec 3<&0
timeout -k 60 86400 sh run.sh </dev/null >/dev/null & work=$!
(while c=$(timeout PATIENCE head -c 1) && [ -n "$c" ]; do [ "$c" != i ] || kill -TERM $work; done; kill -TERM $$) <&3 >/dev/null 2>&1 &
watch=$!; wait $work; code=$?; work=; kill $watch
[ ! -s record.json ] || { echo edgetl-record; cat record.json; }
KEEP && echo "kept: $d" >&2
exit $code"""
_RUN = """python=PYTHON; say() { echo "$*" >&2; }
command -v "$python" >/dev/null || exit 73
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || exit 74
mkdir tmp; export TMPDIR="$PWD/tmp" PYTHONPATH="$PWD/lib"
INSTALL
say MEASURING
exec "$python" -m edgetl bench ARGUMENTS -o record.json"""
_GIVEN = """"$python" -c 'import numpy, PIL, click, safetensors' || exit 77"""
_VENV = """say making a virtual environment
"$python" -m venv venv >&2 || exit 75
python="$PWD/venv/bin/python"; pip="$python -m pip install -q --no-cache-dir --disable-pip-version-check --retries=2"
say installing what edgetl needs
$pip -r base.txt >&2 || exit 76
missing=0; for family in FAMILIES; do
  say "installing $family"
  $pip -r "$family.txt" >&2 || { missing=$((missing+1)); say "$family cannot be installed there: its variants are left out"; }
done
[ $missing = 0 ] || [ $missing -lt COUNT ] || exit 78"""
_REASONS = {
    70: ("remote-lost", "the connection was lost, and with it the measurement. The run there is stopped and removed. Start it again"),
    71: ("no-folder", "cannot make a folder in its home folder"),
    72: ("copy-failed", "the files could not be copied"),
    73: (
        "python-missing",
        "python3 was not found there. On Debian: sudo apt install python3 python3-venv. Or pass --python PATH",
    ),
    74: ("python-too-old", "Python 3.10 or newer is needed there. Pass another interpreter with --python PATH"),
    75: ("venv-failed", "cannot make a virtual environment. On Debian: sudo apt install python3-venv. Or pass --python PATH"),
    76: ("pip-failed", "pip cannot install what edgetl needs. Without a network there, pass an interpreter that has it: --python PATH"),
    77: ("modules-missing", "numpy, pillow, click and safetensors must be installed in that interpreter. Or leave out --python"),
    78: ("runtime-missing", "pip can install none of the runtimes that this bundle needs"),
}
"""Exit code of the far end -> error code and message."""
_SSH = (
    ("IDENTIFICATION HAS CHANGED", "host-key-changed", "its host key is not the one in known_hosts. If reinstalled: ssh-keygen -R {host}"),
    ("Host key verification failed", "host-key-unknown", "its host key is unknown. Connect once by hand and compare it: {by_hand}"),
    ("Permission denied", "permission-denied", "login failed ({last}). Make this work without a question: {by_hand} true"),
    ("", "unreachable", "not reachable ({last}). Is it on, on this network, and does this work: {by_hand} true"),
)  # fmt: skip


def run(
    target: str, bundle: Path, arguments: Sequence[str], *, say: Callable[[str], None], files: Mapping[str, Path] | None = None,
    variants: Sequence[str] | None = None, python: str | None = None, keep: bool = False, patience: float = 60.0,
) -> Record:  # fmt: skip
    """Runs `edgetl bench -m BUNDLE ARGUMENTS` on another machine.

    After Ctrl-C or SIGTERM the bench there is interrupted too, and its partial record is returned.

    Args:
        target: `ssh://USER@HOST:PORT`; user and port may be left to the person's ssh configuration.
        bundle: on this machine, a folder or a file.
        arguments: of `edgetl bench` there, without the bundle, what `files` and `variants` give, and `-o`.
        say: called with each line of progress, line end included.
        files: option -> a file or folder here that is copied there, e.g. `{"--photos": Path("photos")}`.
        variants: only these are measured, and only their runtimes are installed; None is every variant.
        python: the interpreter there, in which nothing is installed; None makes a virtual environment for this run.
        keep: leaves the folder there and says where it is.
        patience: how long the far end waits for a sign of life, s.

    Raises:
        BundleError: the bundle is damaged, or has no such variant.
        RemoteError: the target is not valid, cannot be reached, cannot run edgetl, or was lost; `code` says which.
        RecordError: what came back is not a record.
        KeyboardInterrupt: Ctrl-C before there was a record, or a second one.
    """
    host, command = _command(target)
    opened = Bundle.open(bundle)
    families = dict.fromkeys(opened.variant(name).family for name in variants or opened.variants)
    for path in (files or {}).values():
        if not path.exists():
            raise RemoteError(f"{path}: no such file or folder to copy to {target}", code="nothing-to-copy", path=str(path))
    paths = {"-m": bundle, **(files or {})}
    words = [word for option, path in paths.items() for word in (option, f"{option.strip('-')}/{path.resolve().name}")]
    words += [*arguments, *(word for name in variants or () for word in ("--variant", name))]
    with tempfile.TemporaryFile() as archive:
        size = _pack(archive, paths, _script(python, [name for name in families if name != "fake"], words))
        far = _FAR.replace("SIZE", f"{size}").replace("PATIENCE", f"{patience:g}").replace("KEEP", "true" if keep else "false")
        say(f"{target}: copying {size / 1e6:.1f} MB\n")
        link = _Link([*command, f"sh -c {shlex.quote(far)}"], archive, say, patience / 4, target)
        content, code = link.run()
    if not content:
        raise KeyboardInterrupt if link.interrupted else _failure(target, host, code, list(link.words))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{target.replace('/', '_')}.json"
        path.write_bytes(content)
        return records.read(path)


def _command(target: str) -> tuple[str, list[str]]:
    """The host, and the ssh command up to what is run there; `EDGETL_SSH` replaces `ssh`, options included."""
    parsed = _TARGET.fullmatch(target)
    if not parsed or not (parsed["port"] is None or 0 < int(parsed["port"]) < 1 << 16):
        raise RemoteError(f"{target!r} is not a target. Expected ssh://HOST or ssh://USER@HOST:PORT", code="target-invalid", target=target)
    program = shlex.split(os.environ.get("EDGETL_SSH", "ssh"))
    if not program or not shutil.which(program[0]):
        raise RemoteError(f"{' '.join(program)!r} is not installed here. Install OpenSSH's client (openssh-client)", code="ssh-missing")
    host = parsed["host"] or parsed["address"]
    # Without a person at a terminal, nobody answers a question: fail instead of waiting.
    asking = [] if sys.stdin.isatty() else ["-o", "BatchMode=yes"]
    where = [*(["-l", parsed["user"]] if parsed["user"] else []), *(["-p", parsed["port"]] if parsed["port"] else [])]
    return host, [*_SHIELD, *program, *_OPTIONS, *asking, *where, "--", host]


def _script(python: str | None, families: Sequence[str], words: Sequence[str]) -> dict[str, bytes]:
    """The files that the far end runs by: `run.sh`, and what pip is to install if no interpreter was given."""
    install = _GIVEN if python else _VENV.replace("FAMILIES", " ".join(families)).replace("COUNT", f"{len(families)}")
    start = f"~/{shlex.quote(python[2:])}" if python and python.startswith("~/") else shlex.quote(python or "python3")
    text = _RUN.replace("PYTHON;", f"{start};").replace("INSTALL", install).replace("MEASURING", _MEASURING)
    needed = metadata.requires("edgetl") or []
    lists = {"base.txt": [line for line in needed if "extra ==" not in line]}
    for family in families:
        extra = re.compile(rf"""extra == ['"]{re.escape(family)}['"]""")
        lists[f"{family}.txt"] = [extra.sub("python_version > '3'", line) for line in needed if extra.search(line)]
    contents = {name: "\n".join(lines).encode() for name, lines in lists.items()}
    return {**contents, "run.sh": text.replace("ARGUMENTS", shlex.join(words)).encode()}


def _pack(archive: Any, paths: Mapping[str, Path], contents: Mapping[str, bytes]) -> int:
    """Writes the archive: edgetl in `lib`, every path in a folder named after its option; its size, bytes."""
    package, installed = Path(edgetl.__file__).parent, metadata.distribution("edgetl")
    own = {
        f"lib/edgetl/{libraries.STAMP}": libraries.version().encode(),  # there is no checkout there that could give it
        f"lib/edgetl-{installed.version}.dist-info/METADATA": (installed.read_text("METADATA") or "").encode(),
    }

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.uid = entry.gid = 0
        return None if "__pycache__" in entry.name else entry

    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        tar.add(package, "lib/edgetl", filter=plain)
        for option, path in paths.items():
            tar.add(path, f"{option.strip('-')}/{path.resolve().name}", filter=plain)
        for name, content in {**contents, **own}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    size: int = archive.tell()
    archive.seek(0)
    return size


class _Link:
    """One ssh connection, from the archive to the record."""

    def __init__(self, command: Sequence[str], archive: Any, say: Callable[[str], None], every: float, target: str) -> None:
        self.words: deque[str] = deque(maxlen=100)
        self.interrupted = False
        self._archive, self._say, self._every, self._target = archive, say, every, target
        self._measuring, self._ended = threading.Event(), threading.Event()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self) -> tuple[bytes, int]:
        """The record's bytes, empty without a record, and the exit code."""
        process = self._process
        threads = [threading.Thread(target=work, daemon=True) for work in (self._feed, self._listen)]
        for thread in threads:
            thread.start()
        try:
            with _signals(self._interrupt):
                assert process.stdout is not None, "it is a pipe"
                output = process.stdout.read()
                code = process.wait()
            threads[1].join(5)
            return output.partition(_MARK)[2], code  # a login script may have printed something before
        finally:
            self._ended.set()
            self._close()

    def _interrupt(self, *_: object) -> None:
        if self.interrupted or not self._measuring.is_set():
            raise KeyboardInterrupt
        self.interrupted = True
        self._say(f"{self._target}: interrupting. Press Ctrl-C again to leave without a record\n")
        self._send(_INTERRUPT)

    def _feed(self) -> None:
        """Sends the archive, then a sign of life every few seconds."""
        assert self._process.stdin is not None, "it is a pipe"
        with contextlib.suppress(OSError, ValueError):
            shutil.copyfileobj(self._archive, self._process.stdin)
            self._process.stdin.flush()
        while not self._ended.wait(self._every):
            self._send(_ALIVE)

    def _send(self, byte: bytes) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        with contextlib.suppress(OSError, ValueError):
            os.write(self._process.stdin.fileno(), byte)

    def _listen(self) -> None:
        assert self._process.stderr is not None, "it is a pipe"
        with io.TextIOWrapper(self._process.stderr, errors="replace") as stream:
            for line in stream:
                self.words.append(line)
                if _MEASURING in line:
                    self._measuring.set()
                self._say(f"{self._target}: {line}")

    def _close(self) -> None:
        """Ends the connection: what still runs there is stopped and removed."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdout.close()


def _failure(target: str, host: str, code: int, words: Sequence[str]) -> RemoteError:
    """The error of a run without a record."""
    lines = [line.strip() for line in words if line.strip()]
    last, text = lines[-1] if lines else "ssh printed nothing", "".join(words)
    if "No space left on device" in text:
        name, reason = "disk-full", "its disk is full. Make room there"
    elif code == 255 and any(_MEASURING in line for line in lines):
        name, reason = _REASONS[70]
    elif code == 255:
        _, name, reason = next(entry for entry in _SSH if entry[0] in text)
        reason = reason.format(host=host, last=last, by_hand=f"ssh {host}")
    elif code in _REASONS:
        name, reason = _REASONS[code]
        reason += f" ({' / '.join(lines[-3:])})" if lines and code != 70 else ""
    else:
        name, reason = "bench-failed", next((line.partition("error: ")[2] for line in reversed(lines) if "error: " in line), last)
    return RemoteError(f"{target}: {reason}", code=name, target=target, exit_code=code)


@contextlib.contextmanager
def _signals(handler: Callable[..., None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call a handler; outside of the main thread nothing changes, as Python delivers no signals there."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, kept in before.items():
            signal.signal(number, kept)
