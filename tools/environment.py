"""Makes the project's virtual environment once, and runs the other scripts of this folder in it. Standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"
EXTRAS = {"docs": ("docs", "test"), "demo": ("demo", "test"), "test": ("test",)}
"""An extra -> the extras that hold everything in it."""


def install(extra: str) -> Path:
    """Makes .venv with edgetl[extra] as constraints.txt pins it, where that is not done already; returns its folder of programs."""
    if sys.version_info < (3, 10):  # noqa: UP036 - an older interpreter reads this file too, and deserves a sentence
        sys.exit(f"edgetl needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}")
    inputs = (ROOT / "pyproject.toml", ROOT / "constraints.txt")
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    enough = [HOME / f"installed-{name}" for name in EXTRAS[extra]]
    if any(stamp.exists() and stamp.read_text() == wanted for stamp in enough):
        return HOME / "bin"
    if not (HOME / "bin" / "python").exists():
        print(f"making {HOME}", file=sys.stderr)
        venv.create(HOME, with_pip=True)
    print(f"installing edgetl[{extra}] into it, once; this takes some minutes", file=sys.stderr, flush=True)
    pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), "--editable", f"{ROOT}[{extra}]"], check=True)
    enough[0].write_text(wanted)
    return HOME / "bin"


def enter(extra: str) -> None:
    """Continues the calling script inside .venv, unless it runs there already."""
    if Path(sys.prefix).resolve() != HOME.resolve():
        interpreter = install(extra) / "python"
        os.execv(interpreter, [str(interpreter), *sys.argv])


def instruction_set() -> str:
    """This machine's instruction set, and the one that oneDNN (OpenVINO) is held to, if any; needs .venv."""
    from edgetl import machine

    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return machine.instruction_set() + (f", oneDNN held to {limit}" if limit else "")


def with_data() -> dict[str, str]:
    """The environment variables, with EDGETL_DATA set to ../shared/data where that exists and nothing else was said."""
    beside = ROOT.parent / "shared" / "data"
    return {**({"EDGETL_DATA": str(beside)} if beside.is_dir() else {}), **os.environ}
