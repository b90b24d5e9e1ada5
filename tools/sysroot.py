"""The environments of tools/emulate: what each is made of, and how it is built once. Standard library only."""

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
"""Counts up whenever the code below builds something else out of the same parts."""
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore")
_MANYLINUX = (17, 24, 26, 27, 28, 31, 34, 35, 36)
_DEBIAN_OF = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el", "riscv64": "riscv64", "s390x": "s390x"}
# Their maintainer scripts are not run here, and only those need them.
_WITHOUT = ("debconf", "dpkg", "media-types", "tzdata", "libgssapi-krb5-2", "libtirpc3", "libnsl2")


class Failed(RuntimeError):
    """A sentence for the person: what could not be done, and what would help."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One environment.

    Attributes:
        wheels: what pip installs, pinned; names alone are pinned by constraints.txt.
        machine: `uname -m` of the target; empty for this machine itself, in an environment of its own.
        architecture: Debian's name of that.
        qemu: the program of qemu-user that runs it.
        cpus: the CPUs that stand for the boards people have, the default first.
        packages: Debian packages beside Python, where PyPI has no wheel; the wheels then name all they need: pip does not see these.
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
    said = os.environ.get("EDGETL_CACHE")
    return Path(said) if said else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetl"


def ready(name: str) -> dict[str, Any]:
    """The environment `name`, as `ready.json` describes it (see tools/emulate); builds it where it is not there or is outdated.

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
    made: dict[str, Any] = json.loads(described.read_text())
    return made


def _is_ready(described: Path, key: str) -> bool:
    return described.exists() and json.loads(described.read_text())["key"] == key


@contextmanager
def _alone(path: Path, name: str) -> Iterator[None]:
    """Two builds of one environment at once: the second waits, and finds it ready."""
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
    for left in folder.glob("partial-*"):  # by a build that was killed: the lock says that nobody is at work on it
        shutil.rmtree(left)
    root = folder / key
    shutil.rmtree(root, ignore_errors=True)
    partial = folder / f"partial-{os.getpid()}"
    try:
        partial.mkdir()
        made = (_emulated if target.machine else _native)(target, pins, partial, root)
        partial.rename(root)
        said = {**made, **_versions(made), "key": key, "cpus": list(target.cpus)}
        (folder / "ready.json.new").write_text(json.dumps(said, indent=1))
        (folder / "ready.json.new").replace(folder / "ready.json")
    except OSError as error:
        raise Failed(f"{folder}: {error}; about 1 GB must be free, and EDGETL_CACHE names another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _emulated(target: Target, pins: list[str], partial: Path, root: Path) -> dict[str, Any]:
    """Unpacks into `partial`, written as it will be at `root`; returns the command and environment of its Python."""
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
        if library.parent.name in ("blas", "lapack"):  # update-alternatives would do this, in a script that is not run here
            (library.parent.parent / library.name).symlink_to(Path(library.parent.name) / library.name)
    complete = ["--no-deps"] if target.packages else []
    _pip([*complete, *pins], target.machine, partial / "system" / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages")
    launcher = partial / "bin" / "python"
    launcher.parent.mkdir()
    launcher.write_text(_LAUNCHER.format(qemu=root / "qemu/usr/bin" / target.qemu, system=root / "system", python=f"python{PYTHON}"))
    launcher.chmod(0o755)
    version = re.sub(r"^\d+:|[+-].*$", "", emulator["Version"])
    said = f"{target.qemu} {version} -cpu {{cpu}}"
    if target.machine == "x86_64":
        (partial / "system" / "proc").mkdir()
        (partial / "system" / "proc" / "cpuinfo").write_text("".join(_HASWELL.format(i) for i in range(os.cpu_count() or 1)))
    env = {"QEMU_CPU": "{cpu}", "EDGETL_EMULATED": said}
    return {"command": [str(root / "bin" / "python")], "env": env, "qemu": version}


# QEMU writes /proc/cpuinfo of an emulated Arm, but of an emulated x86 it shows the host's, unless the sysroot holds that file.
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


# A guest's execve reaches the host's kernel, which knows scripts and no foreign program: so sys.executable (argv[0]: -0) is a script, and
# a child that Python starts comes back here. PYTHONHOME keeps the host's own libraries off sys.path: what a sysroot lacks, qemu-user
# looks for on the host.
_LAUNCHER = """#!/bin/sh
PYTHONHOME='{system}/usr' exec '{qemu}' -L '{system}' -0 "$0" '{system}/usr/bin/{python}' "$@"
"""


def _native(target: Target, pins: list[str], partial: Path, root: Path) -> dict[str, Any]:
    """A virtual environment of a Python that tflite-runtime has wheels for; one can be moved, as long as its scripts are not used."""
    this = [sys.executable] if sys.version_info[:2] in ((3, 10), (3, 11)) else []
    found = [*this, *filter(None, (shutil.which(f"python3.{minor}") for minor in (11, 10)))]
    if not found:
        raise Failed(f"tflite-runtime has no wheels for Python {platform.python_version()}; install python3.11 or python3.10 beside it")
    install = [str(partial / "bin" / "python"), *_PIP, "--only-binary=:all:", *pins]
    for command in ([found[0], "-m", "venv", str(partial)], install):
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise Failed(f"{' '.join(command)} failed; its own words are above")
    return {"command": [str(root / "bin" / "python")], "env": {}, "qemu": ""}


def _pip(pins: list[str], machine: str, into: Path) -> None:
    """Installs wheels of another machine, compiled by nothing: pip's own way for that (`pip install --platform`)."""
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


def _versions(made: dict[str, Any]) -> dict[str, Any]:
    """What the environment says of itself: the first program that it runs."""
    done = subprocess.run([*made["command"], "-c", _ASK], capture_output=True, text=True, env=clean())
    if done.returncode:
        raise Failed(f"its Python does not run ({done.returncode}): {done.stderr.strip() or 'no word of it'}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


_ASK = """
import importlib.metadata, json, platform
libraries = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "libraries": dict(sorted(libraries.items()))}))
"""


def clean() -> dict[str, str]:
    """This process's environment without what would lead another Python to this one's libraries."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if name not in ours}
