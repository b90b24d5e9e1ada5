"""The wheel of the edgetl that runs here, built from its package folder: the same for a checkout and for an installed wheel.

Format: https://packaging.python.org/en/latest/specifications/binary-distribution-format/. It holds the package `edgetl` only: who measures
needs no exporters.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

import edgetl
from edgetl.machine import libraries

_WHEEL = "Wheel-Version: 1.0\nGenerator: edgetl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TIME = (1980, 1, 1, 0, 0, 0)


def build() -> tuple[str, bytes]:
    """Builds it; returns the file's name and content. The same sources give the same bytes."""
    installed = metadata.distribution("edgetl")
    info = f"edgetl-{installed.version}.dist-info"
    package = Path(edgetl.__file__).parent
    files = {
        f"edgetl/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    files[f"edgetl/{libraries.STAMP}"] = libraries.version().encode()  # over there is no checkout that could say so
    for name in ("METADATA", "entry_points.txt"):
        files[f"{info}/{name}"] = (installed.read_text(name) or "").encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    lines = [f"{name},sha256={_hash(content)},{len(content)}\n" for name, content in files.items()]
    files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return f"edgetl-{installed.version}-py3-none-any.whl", made.getvalue()


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
