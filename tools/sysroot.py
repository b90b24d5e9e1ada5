"""Builds the environments of tools/emulate, once each. Standard library only."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import debian

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
"""Debian bookworm's, and the newest for which tflite-runtime has wheels."""
RECIPE = 2
"""Number of this code's output: count up after a change of what it builds."""
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore")
_MANYLINUX = (17, 24, 26, 27, 28, 31, 34, 35, 36)
_DEBIAN_OF = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el", "riscv64": "riscv64", "s390x": "s390x"}
# Only needed by maintainer scripts, which are not run here.
_WITHOUT = ("debconf", "dpkg", "media-types", "tzdata", "libgssapi-krb5-2", "libtirpc3", "libnsl2")


class Failed(RuntimeError):
    """An environment that cannot be built; the message states what would help."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One environment.

    Attributes:
        wheels: installed by pip; names without a version are pinned by constraints.txt.
        machine: `uname -m` of the target; empty for this machine itself, in an environment of its own.
        architecture: Debian's name of that.
        qemu: the program of qemu-user that runs it.
        cpus: the CPUs of common boards, the default first.
        packages: Debian packages for what has no wheel on PyPI; `wheels` then lists all dependencies, because pip ignores these packages.
    """

    wheels: tuple[str, ...]
    machine: str = ""
    architecture: str = ""
    qemu: str = ""
    cpus: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


_ARM64 = {"machine": "aarch64", "architecture": "arm64", "qemu": "qemu-aarch64", "cpus": ("cortex-a72", "cortex-a76")}
_DEVICE = ("numpy", "pillow", "click", "safetensors", "pytest")
_OLD = ("numpy==1.26.4", "pillow", "click", "safetensors", "pytest", "tflite-runtime==2.14.0")
TARGETS = {
    "aarch64": Target((*_DEVICE, "ai-edge-litert", "onnxruntime", "openvino"), **_ARM64),
    "aarch64-old": Target(_OLD, **_ARM64),
    "armv7": Target(
        ("click", "safetensors", "pytest", "iniconfig", "packaging", "pluggy", "Pygments", "tflite-runtime==2.14.0"),
        machine="armv7l",
        architecture="armhf",
        qemu="qemu-arm",
        cpus=("cortex-a7", "cortex-a15"),
        packages=("python3-numpy", "python3-pil"),
    ),
    "avx2": Target(
        (*_DEVICE, "ai-edge-litert", "onnxruntime", "openvino"),
        machine="x86_64",
        architecture="amd64",
        qemu="qemu-x86_64",
        cpus=("Haswell",),
    ),
    "old": Target(_OLD),
}


def cache() -> Path:
    """The folder in which environments are kept: $EDGETL_CACHE, else $XDG_CACHE_HOME/edgetl, else ~/.cache/edgetl."""
    named = os.environ.get("EDGETL_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetl"


def ready(name: str) -> dict[str, Any]:
    """The environment `name`, as `ready.json` describes it (see tools/emulate); builds it if it is missing or outdated.

    Raises:
        debian.Unreachable: a download that the build needs cannot be reached.
        Failed: it cannot be built here, with the reason.
    """
    target, folder = TARGETS[name], cache() / name
    pins = _pins(target)
    key = hashlib.sha256(json.dumps([RECIPE, dataclasses.asdict(target), pins]).encode()).hexdigest()[:12]
    described = folder / "ready.json"
    if not _is_ready(described, key):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / "lock", name):
            if not _is_ready(described, key):
                _build(name, target, pins, key, folder)
    environment: dict[str, Any] = json.loads(described.read_text())
    return environment


def _is_ready(described: Path, key: str) -> bool:
    return described.exists() and json.loads(described.read_text())["key"] == key


@contextmanager
def _alone(path: Path, name: str) -> Iterator[None]:
    """Holds a lock, so that the second of two builds of one environment waits for the first."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process is building {name}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(name: str, target: Target, pins: list[str], key: str, folder: Path) -> None:
    size = "about 200 MB are" if target.machine else "about 25 MB are"
    print(f"building the environment {name} in {folder}, once; {size} downloaded", file=sys.stderr, flush=True)
    started = time.monotonic()
    for left in folder.glob("partial-*"):  # left by a build that was killed, because this process holds the lock
        shutil.rmtree(left)
    root = folder / key
    shutil.rmtree(root, ignore_errors=True)
    partial = folder / f"partial-{os.getpid()}"
    try:
        partial.mkdir()
        environment = (_emulated if target.machine else _native)(target, pins, partial, root)
        partial.rename(root)
        described = {**environment, **_versions(environment), "key": key, "cpus": list(target.cpus)}
        (folder / "ready.json.new").write_text(json.dumps(described, indent=1))
        (folder / "ready.json.new").replace(folder / "ready.json")
    except OSError as error:
        raise Failed(f"{folder}: {error}; about 1 GB must be free, and EDGETL_CACHE names another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _emulated(target: Target, pins: list[str], partial: Path, root: Path) -> dict[str, Any]:
    """Unpacks into `partial`, with paths for `root`; returns the command and environment of its Python."""
    host = _DEBIAN_OF.get(platform.machine())
    if sys.platform != "linux" or host is None:
        raise Failed(f"qemu-user runs on Linux, on {', '.join(_DEBIAN_OF)}; this is {sys.platform} on {platform.machine()}")
    # QEMU 7.2 (bookworm) crashes in onnxruntime and XNNPACK, 10.0 (trixie) does not; since then it is linked statically.
    tools = debian.Index("trixie", host)
    emulator = tools.closure(["qemu-user"])[0]
    tools.unpack(emulator, partial / "qemu", lambda path: path == f"./usr/bin/{target.qemu}")
    system = debian.Index("bookworm", target.architecture)
    for package in system.closure([f"python{PYTHON}", "libstdc++6", *target.packages], without=_WITHOUT):
        system.unpack(package, partial / "system", lambda path: not path.startswith("./usr/share/"))
    for library in (partial / "system").glob("usr/lib/*/*/lib[bl]*.so.3"):
        if library.parent.name in ("blas", "lapack"):  # the work of update-alternatives, whose script is not run here
            (library.parent.parent / library.name).symlink_to(Path(library.parent.name) / library.name)
    complete = ["--no-deps"] if target.packages else []
    _pip([*complete, *pins], target.machine, partial / "system" / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages")
    launcher = partial / "bin" / "python"
    launcher.parent.mkdir()
    launcher.write_text(_LAUNCHER.format(qemu=root / "qemu/usr/bin" / target.qemu, system=root / "system", python=f"python{PYTHON}"))
    launcher.chmod(0o755)
    version = re.sub(r"^\d+:|[+-].*$", "", emulator["Version"])
    emulated = f"{target.qemu} {version} -cpu {{cpu}}"
    if target.machine == "x86_64":
        (partial / "system" / "proc").mkdir()
        (partial / "system" / "proc" / "cpuinfo").write_text("".join(_HASWELL.format(i) for i in range(os.cpu_count() or 1)))
    env = {"QEMU_CPU": "{cpu}", "EDGETL_EMULATED": emulated}
    return {"command": [str(root / "bin" / "python")], "env": env, "qemu": version}


# QEMU writes /proc/cpuinfo of an emulated Arm, but for an emulated x86 it shows the host's unless the sysroot has that file.
_HASWELL = """processor\t: {0}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 60
model name\t: Haswell under QEMU
physical id\t: 0
core id\t\t: {0}
apicid\t\t: {0}
flags\t\t: fpu sse sse2 ssse3 sse4_1 sse4_2 avx f16c avx2 fma bmi1 bmi2

"""


# A guest's execve reaches the host's kernel, which runs scripts but no foreign programs. So sys.executable (argv[0]: -0) is a script, and a
# child of Python starts through it again. PYTHONHOME keeps the host's libraries off sys.path, because qemu-user searches the host for files
# that the sysroot lacks.
_LAUNCHER = """#!/bin/sh
PYTHONHOME='{system}/usr' exec '{qemu}' -L '{system}' -0 "$0" '{system}/usr/bin/{python}' "$@"
"""


def _native(target: Target, pins: list[str], partial: Path, root: Path) -> dict[str, Any]:
    """A virtual environment of a Python that tflite-runtime has wheels for; one can be moved, as long as its scripts are not used."""
    this = [sys.executable] if sys.version_info[:2] in ((3, 10), (3, 11)) else []
    pythons = [*this, *filter(None, (shutil.which(f"python3.{minor}") for minor in (11, 10)))]
    if not pythons:
        raise Failed(f"tflite-runtime has no wheels for Python {platform.python_version()}; install python3.11 or python3.10 beside it")
    install = [str(partial / "bin" / "python"), *_PIP, "--only-binary=:all:", *pins]
    for command in ([pythons[0], "-m", "venv", str(partial)], install):
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise Failed(f"{' '.join(command)} failed; its output is above")
    return {"command": [str(root / "bin" / "python")], "env": {}, "qemu": ""}


def _pip(pins: list[str], machine: str, into: Path) -> None:
    """Installs wheels of another machine without compiling (`pip install --platform`)."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        raise Failed(f"{sys.executable} has no pip; apt install python3-pip, or start this with .venv/bin/python")
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in _MANYLINUX]
    only = ["--only-binary=:all:", "--no-compile", "--implementation=cp", f"--python-version={PYTHON}", *platforms]
    command = [sys.executable, *_PIP, *only, f"--target={into}", *pins]
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode:
        raise Failed(f"pip could not install {' '.join(pins)} for {machine}; its own words are above")


def _pins(target: Target) -> list[str]:
    """The target's wheels, each with the version that constraints.txt pins it to for Python 3.11."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        if "==" in requirement and not re.search(r'python_version\s*(<|==\s*"3\.10")', marker):
            pinned[requirement.partition("==")[0].strip().lower()] = requirement.strip()
    return [pinned.get(wheel.lower(), wheel) for wheel in target.wheels]


def _versions(environment: dict[str, Any]) -> dict[str, Any]:
    """Versions of the environment's Python and libraries, from the first program that it runs."""
    done = subprocess.run([*environment["command"], "-c", _ASK], capture_output=True, text=True, env=clean())
    if done.returncode:
        raise Failed(f"its Python does not run ({done.returncode}): {done.stderr.strip() or 'no output'}")
    versions: dict[str, Any] = json.loads(done.stdout)
    return versions


_ASK = """
import importlib.metadata, json, platform
libraries = {distribution.metadata["Name"]: distribution.version for distribution in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "libraries": dict(sorted(libraries.items()))}))
"""


def clean() -> dict[str, str]:
    """This process's environment without variables that lead another Python to its libraries."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if name not in ours}
