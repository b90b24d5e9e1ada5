"""The shape of the command line: which verbs there are, that help fits a screen, and that every command a text names exists."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgetl.cli import main

ROOT = Path(__file__).parent.parent
TOP = ("add", "train", "predict", "eval", "explain", "forget", "rollback", "doctor", "serve", "watch", "demo", "export", "bench")
GROUPS = {
    "bundle": ["inspect", "choose", "add"],
    "head": ["list", "activate", "export", "import"],
    "store": ["merge", "log", "verify", "repair", "salvage", "backup"],
    "deploy": ["classifier", "trainer"],
    "service": ["install", "remove"],
}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


EVERY = dict(commands(main))


def test_the_verbs_and_their_order() -> None:
    assert list(main.list_commands(click.Context(main))) == [*TOP, *GROUPS, "adapt"]
    assert set(main.commands) == {*TOP, *GROUPS, "adapt"}
    for name, verbs in GROUPS.items():
        group = main.commands[name]
        assert isinstance(group, click.Group)
        assert group.list_commands(click.Context(group)) == verbs


def test_help_fits_one_screen_and_no_line_is_cut() -> None:
    for option in ("-h", "--help"):
        lines = CliRunner().invoke(main, [option], prog_name="edgetl").output.splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
        assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize("path", [path for path in EVERY if path[0] != "bench"], ids=" ".join)
def test_every_command_has_help_of_which_no_line_is_cut(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*path, "-h"])
    assert shown.exit_code == 0
    assert shown.output.startswith("Usage:")
    assert EVERY[path].get_short_help_str(68)[-3:] != "..."


def test_an_option_means_the_same_wherever_it_is() -> None:
    meanings: dict[str, set[object]] = defaultdict(set)
    for path, command in EVERY.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for option in parameter.opts:
                    meanings[option].add((max(parameter.opts, key=len), parameter.is_flag))
            else:
                assert parameter.name not in ("bundle", "store", "stores", "bundles"), path
    assert {option: meaning for option, meaning in meanings.items() if len(meaning) > 1} == {}
    assert {"--formats", "--input", "--targets"}.isdisjoint(meanings)


def test_every_verb_that_prints_a_result_prints_it_as_json() -> None:
    without = [path for path, command in EVERY.items() if not any(p.name == "as_json" for p in command.params)]
    pages = [("demo",), ("bench", "report"), ("bench", "show"), ("watch",)]
    assert sorted(path for path in without if not isinstance(EVERY[path], click.Group)) == sorted(pages)


_WORDS = r"edgetl (?P<{0}>[a-z]+(?:-[a-z]+)*(?: [a-z]+)?)"
_COMMAND = re.compile(
    r"(?:[`']|<code>)"
    + _WORDS.format("quoted")
    + r"|(?<![\w./-])"
    + _WORDS.format("called")
    + r"(?=`| --?[a-z]| \{| [A-Z]{2,}(?:[`'/.]| -|$))",
    re.MULTILINE,
)
"""A command in a text: after a quote, or before an option or an argument."""


def mentions(path: Path) -> Iterator[str]:
    """The commands that a file names: in strings of Python code, and in whole templates."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        text = "\n".join(node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    for match in _COMMAND.finditer(text):
        yield match["quoted"] or match["called"]


def resolves(mention: str) -> bool:
    words = mention.split()
    if words[0] not in main.commands:
        return False
    group = main.commands[words[0]]
    return len(words) == 1 or not isinstance(group, click.Group) or words[1] in group.commands or words[0] == "bench"


def test_every_command_that_a_text_names_exists() -> None:
    patterns = ("README.md", "docs/**/*.md", "*/**/*.py", "edgetl/**/*.md", "edgetl/**/*.j2", "exporters/**/*.md", "device_tests/*.md")
    files = {path for pattern in patterns for path in ROOT.glob(pattern) if not path.relative_to(ROOT).parts[0].startswith(".")}
    named = {(str(path.relative_to(ROOT)), mention) for path in files for mention in mentions(path)}
    assert len(named) > 20
    assert sorted(entry for entry in named if not resolves(entry[1])) == []
