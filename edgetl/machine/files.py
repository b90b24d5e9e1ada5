"""Files in which Linux says what it is: read whole, and None where they are missing, forbidden, broken or not what they should be."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/")
_LINE = 256  # characters; a name in sysfs or a device tree has a few dozen


def text(path: Path) -> str | None:
    """What a file says, stripped of white space and the NUL that ends a device tree's strings; None where it says nothing."""
    try:
        return path.read_text(errors="replace").strip("\0 \t\r\n") or None
    except (OSError, ValueError):  # missing, a folder, no permission, a driver that answers with EIO, or a name that cannot be one
        return None


def word(path: Path) -> str | None:
    """What a file says if that is one line of plain characters; None where it is garbage."""
    said = text(path) or ""
    return said if 0 < len(said) <= _LINE and said.isprintable() and "\ufffd" not in said else None


def there(path: Path) -> bool:
    """Whether a file or folder is there, as far as one may look."""
    try:
        return path.exists()
    except OSError:
        return False


def number(path: Path, base: int = 10) -> int | None:
    """The whole number that a file holds; None where it holds something else."""
    return whole(text(path), base)


def whole(said: str | None, base: int = 10) -> int | None:
    """A whole number of at most 64 bits from words, which is what the kernel counts in; None where they are something else."""
    try:
        value = int(said, base) if said else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1 << 64 else None


def paths(root: Path, pattern: str) -> list[Path]:
    """The files below `root` that match, in order of name; empty where a folder on the way cannot be listed."""
    try:
        return sorted(root.glob(pattern))
    except OSError:
        return []


def numbers(root: Path, pattern: str) -> list[int]:
    """The whole numbers in all files that match, those left out that hold none."""
    return [value for path in paths(root, pattern) if (value := number(path)) is not None]


def output(command: str, *arguments: str) -> str:
    """What a command prints; empty where it is not there, fails or takes more than five seconds."""
    import subprocess

    try:
        done = subprocess.run([command, *arguments], capture_output=True, text=True, errors="replace", timeout=5, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
