"""Files that describe the machine under Linux: read whole; None if missing, forbidden, broken or not what they should be."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/")
_LINE = 256  # characters; a name in sysfs or a device tree has a few dozen


def text(path: Path) -> str | None:
    """A file's text without white space around it and the NUL that ends a device tree's strings; None if empty or unreadable."""
    try:
        return path.read_text(errors="replace").strip("\0 \t\r\n") or None
    except (OSError, ValueError):  # missing, a folder, no permission, a driver that answers with EIO, or a name that cannot be one
        return None


def word(path: Path) -> str | None:
    """A file's text if it is one line of plain characters, else None."""
    line = text(path) or ""
    return line if 0 < len(line) <= _LINE and line.isprintable() and "\ufffd" not in line else None


def there(path: Path) -> bool:
    """Whether a file or folder exists and may be seen."""
    try:
        return path.exists()
    except OSError:
        return False


def number(path: Path, base: int = 10) -> int | None:
    """The integer that a file holds; None if it holds something else."""
    return whole(text(path), base)


def whole(content: str | None, base: int = 10) -> int | None:
    """An integer of at most 64 bits, which is what the kernel counts in, from text; None if it is something else."""
    try:
        value = int(content, base) if content else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1 << 64 else None


def paths(root: Path, pattern: str) -> list[Path]:
    """The files below `root` that match, in order of name; empty if a folder on the way cannot be listed."""
    try:
        return sorted(root.glob(pattern))
    except OSError:
        return []


def numbers(root: Path, pattern: str) -> list[int]:
    """The integers in all files that match; other files are ignored."""
    return [value for path in paths(root, pattern) if (value := number(path)) is not None]


def output(command: str, *arguments: str) -> str:
    """What a command prints; empty if it is missing, fails or takes more than five seconds."""
    import subprocess

    try:
        done = subprocess.run([command, *arguments], capture_output=True, text=True, errors="replace", timeout=5, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
