"""What a bundle lies in: a folder, or the same folder as one stored (uncompressed) zip."""

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
        BundleMissing: there is no such member.
        BundleError: it cannot be read, or is not stored.
    """
    try:
        return (path / name).read_bytes() if path.is_dir() else _unzip(path, name)
    except (KeyError, FileNotFoundError):
        raise BundleMissing(f"{path}: {name} is missing from the bundle; copy or export it again") from None
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error})") from error


def _unzip(path: Path, name: str) -> bytes:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(name)
            if member.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{name} is compressed, expected stored")
            return archive.read(member)
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise BundleError(f"{path}: not a bundle, or damaged ({error}); copy or export it again") from error
