"""The container of a bundle: a folder, or the same folder as one stored (uncompressed) zip."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl import regular
from edgetl.errors import BundleError, BundleMissing

if TYPE_CHECKING:
    from zipfile import ZipFile

_END = 22
"""Bytes of a zip's last record without a comment (APPNOTE.TXT, section 4.3.16)."""
LARGEST = 2 * 2**30
"""The largest bundle, and file of one, that is read, bytes."""


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


def members(path: Path) -> list[str]:
    """The names of all files, each as often as it occurs.

    Raises:
        BundleError: it cannot be read, something lies before the first file or after the last, or a link leads out of the folder
            (`bundle-members`).
    """
    if path.is_dir():
        files = [child for child in path.rglob("*") if not child.is_dir() or child.is_symlink()]
        links = [child for child in files if child.is_symlink() and path.resolve() not in child.resolve().parents]
        if links:
            name = links[0].relative_to(path).as_posix()
            raise BundleError(f"{path}: {name} is a link out of the bundle", code="bundle-members", path=str(path), file=name)
        return [child.relative_to(path).as_posix() for child in files]
    with _opened(path) as archive, path.open("rb") as file:
        names = [member.filename for member in archive.infolist()]
        file.seek(-_END, os.SEEK_END)
        if file.read(4) != b"PK\x05\x06" or min((member.header_offset for member in archive.infolist()), default=0):
            raise BundleError(f"{path}: something lies before or after its files", code="bundle-members", path=str(path), file="")
        return names


def read(path: Path, name: str, most: int = LARGEST) -> bytes:
    """A member's bytes.

    Raises:
        BundleMissing: there is no such member (`bundle-file-missing`).
        BundleError: it cannot be read (`bundle-damaged`), is compressed (`bundle-compressed`), or has more than `most` bytes.
    """
    try:
        return regular.read(path / name, most) if path.is_dir() else _unzip(path, name, most)
    except (KeyError, FileNotFoundError):
        message = f"{path}: {name} is missing from the bundle. Copy or export it again."
        raise BundleMissing(message, code="bundle-file-missing", path=str(path), file=name) from None
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error})", path=str(path), file=name, reason=str(error)) from error


def _unzip(path: Path, name: str, most: int) -> bytes:
    import zipfile

    with _opened(path) as archive:
        member = archive.getinfo(name)
        if member.file_size > most:
            message = f"{path}: {name} has {member.file_size} bytes, more than the {most} it may have"
            raise BundleError(message, path=str(path), file=name, reason="size")
        if member.compress_type == zipfile.ZIP_STORED:
            return archive.read(member)
    # Decompressing a stranger's zip may fill the memory.
    message = f"{path}: {name} is compressed; a bundle's files are stored. Pack it without compression, or export it again."
    raise BundleError(message, code="bundle-compressed", path=str(path), file=name)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ZipFile]:
    """The zip.

    Raises:
        BundleError: it is not one, not a regular file, or damaged (`bundle-damaged`).
    """
    import zipfile

    try:
        regular.check(path, path.stat(), LARGEST)  # a pipe would be waited for
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (BundleError, KeyError):
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error, OSError) as error:
        message = f"{path}: not a bundle, or damaged ({error}). Copy or export it again."
        raise BundleError(message, path=str(path), reason=str(error)) from error
