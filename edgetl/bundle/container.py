"""The container of a bundle: a folder, or the same folder as one stored (uncompressed) zip."""

from __future__ import annotations

import struct
from pathlib import Path

from edgetl.errors import BundleError, BundleMissing


def pack(folder: Path, target: Path) -> Path:
    """Makes `target`, the zip of a folder: every file stored, in the order of their names."""
    import zipfile  # here and below, because a camera that imports edgetl seldom opens a bundle twice

    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            # A fixed date: the same content gives the same file. Without a mode, unzip makes files that nobody may read.
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            member.external_attr = 0o644 << 16
            archive.writestr(member, path.read_bytes())
    return target


def read(path: Path, name: str) -> bytes:
    """A member's bytes.

    Raises:
        BundleMissing: there is no such member (`bundle-file-missing`).
        BundleError: it cannot be read (`bundle-damaged`), or is compressed (`bundle-compressed`).
    """
    try:
        return (path / name).read_bytes() if path.is_dir() else _unzip(path, name)
    except (KeyError, FileNotFoundError):
        message = f"{path}: {name} is missing from the bundle. Copy or export it again."
        raise BundleMissing(message, code="bundle-file-missing", path=str(path), file=name) from None
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error})", path=str(path), file=name, reason=str(error)) from error


def _unzip(path: Path, name: str) -> bytes:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(name)
            if member.compress_type == zipfile.ZIP_STORED:
                return archive.read(member)
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        message = f"{path}: not a bundle, or damaged ({error}). Copy or export it again."
        raise BundleError(message, path=str(path), reason=str(error)) from error
    # Decompressing a stranger's zip may fill the memory.
    message = f"{path}: {name} is compressed; a bundle's files are stored. Pack it without compression, or export it again."
    raise BundleError(message, code="bundle-compressed", path=str(path), file=name)
