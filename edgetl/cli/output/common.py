"""What the texts of several verbs have in common: lines of 80 characters, names, percentages, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetl.errors import EdgetlError
from edgetl.heads.text import warning_text
from edgetl.stats import Proportion
from edgetl.types import to_json

if TYPE_CHECKING:
    from edgetl.diagnostics import Finding
    from edgetl.heads.warnings import TrainingWarning

WIDTH = 80
_MESSAGES = ("error: ", "warning: ", "next: ")
_LABEL, _LISTED = 20, 5

PROPORTION = ("correct", "of", "%", "95 % interval")


def proportion(value: Proportion) -> tuple[object, ...]:
    """The cells under the headers PROPORTION."""
    low, high = value.interval
    return value.hits, value.n, f"{100 * value.value:.1f}" if value.n else "-", f"{100 * low:.1f} to {100 * high:.1f}"


def show(lines: Iterable[str], *, brief: bool = False) -> None:
    """Prints lines: those that begin with `error:`, `warning:` or `next:` on stderr, results on stdout.

    Args:
        lines: to print; empty ones too.
        brief: shorten each to 80 characters, except errors.
    """
    for line in map(_visible, lines):
        _print(clip(line, WIDTH) if brief and not line.startswith("error: ") else line, err=line.startswith(_MESSAGES))


def _print(text: str, *, err: bool = False) -> None:
    """Prints a text; where that fails, the rest is not printed, and what the verb does is done anyway."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        stream = sys.stderr if err else sys.stdout
        with contextlib.suppress(OSError, ValueError):  # what the stream still holds must not fail again at the end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        if not err and not isinstance(error, BrokenPipeError):
            _print(f"warning: the result cannot be printed ({error.strerror})", err=True)


def _visible(text: str) -> str:
    """The text with a `?` for each control character that a file name or a foreign file may hold; line breaks stay."""
    return "".join("?" if unicodedata.category(sign) == "Cc" and sign != "\n" else sign for sign in text)


def clip(text: str, width: int) -> str:
    """A text of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def short(label: str) -> str:
    """A class name for a line of 80 characters."""
    return clip(label, _LABEL)


def listed(labels: Sequence[str]) -> str:
    """Up to three class names for a line of 80 characters: `mug, cup and 3 more`."""
    names = [short(label) for label in labels]
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def number(count: int, noun: str, plural: str = "") -> str:
    """`1 photo`, `2 photos`."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def size(count: int) -> str:
    """Bytes as `1.2 MB`, or `3.4 kB` for small files."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def relative(path: str) -> str:
    """A path as seen from the current folder, if it is below."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def percent(value: Proportion) -> str:
    """`97.2 % [85.8, 99.5] n=36`."""
    return str(value) if value.n else "not measured"


def print_json(value: Any) -> None:
    """Prints a result for programs."""
    _print(json.dumps(to_json(value), indent=1, ensure_ascii=False))


def when(clock: float) -> str:
    """Seconds since 1970 as the device's local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(clock))


def write_text(path: str, text: str) -> None:
    """Writes a page.

    Raises:
        EdgetlError: it cannot be written.
    """
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise EdgetlError(f"{path} cannot be written: {error.strerror}", code="not-writable", path=path) from error


def failures(failed: Sequence[tuple[str, str]], *, verbose: bool) -> list[str]:
    """The photos that could not be used: the first one, or with `verbose` all of them."""
    if verbose:
        return [f"warning: not used: {reason if source in reason else f'{source}: {reason}'}" for source, reason in failed]
    if not failed:
        return []
    source, reason = failed[0]
    count = "not used" if len(failed) == 1 else f"{len(failed)} photos not used (-v), first"
    return [f"warning: {count}: {Path(source).name}: {reason.replace(f'{source}: ', '')}"]


def kinds(findings: Sequence[Finding]) -> str:
    """`2 dark, 1 blurred`."""
    return ", ".join(f"{count} {code}" for code, count in Counter(finding.code for finding in findings).most_common())


def findings_in_full(findings: Sequence[Finding]) -> list[str]:
    """Each kind's first findings, and how many more there are."""
    from edgetl.diagnostics.text import describe_finding

    counts, shown, lines = Counter(finding.code for finding in findings), Counter[str](), []
    for finding in findings:
        shown[finding.code] += 1
        if shown[finding.code] <= _LISTED:
            lines.append(f"warning: {f'{finding.photo}: ' if finding.photo else ''}{describe_finding(finding)}")
    return [*lines, *(f"warning: {code}: {count - _LISTED} more (--json lists all)" for code, count in counts.items() if count > _LISTED)]


def warnings_in_full(warnings: Sequence[str | TrainingWarning]) -> list[str]:
    """One line per warning."""
    return [f"warning: {warning if isinstance(warning, str) else warning_text(warning)}" for warning in warnings]
