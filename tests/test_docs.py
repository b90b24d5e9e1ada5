"""The documentation's code blocks run, and what it says of formats is what the code does."""

import contextlib
import dataclasses
import json
import re
import sqlite3
import sys
from pathlib import Path

import click
import pages
import pytest
from pictures import encoded, picture

import edgetl
from edgetl import Classifier, errors
from edgetl.bench import files, record
from edgetl.bundle import bundle
from edgetl.cli import main
from edgetl.runtimes import fake

FAKE = [
    *("docs/errors.md", "docs/cli.md", "docs/how-to/low-light.md", "docs/how-to/own-model.md", "docs/how-to/store.md"),
    "docs/how-to/two-cameras.md",
]
"""Pages that run with the fake runtime, beside the tutorial; tests/test_readme.py runs those that need a real bundle."""


def text(page: str) -> str:
    return (pages.ROOT / page).read_text("utf-8")


def test_every_page_with_a_block_to_run_is_run():
    listed = sorted(path.relative_to(pages.ROOT).as_posix() for path in (pages.ROOT / "docs").rglob("*.md"))
    runnable = {page for page in listed if any(not block["why"] for block in pages.blocks(page))}
    # Evidence takes minutes, and data of its own.
    assert {page for page in runnable if "/evidence/" not in page} == {"docs/tutorial.md", *FAKE, *pages.WITH_A_REAL_BUNDLE}


@pytest.mark.parametrize("page", ["docs/tutorial.md", *(pytest.param(page, marks=pytest.mark.slow) for page in FAKE)])
def test_a_page_runs_from_top_to_bottom_with_the_fake_runtime(page: str, tmp_path: Path):
    pages.lay_out(tmp_path)
    fake.write_bundle(str(tmp_path / "lite0.edgetl"), encoded(picture(seed=9)), latencies={"tflite-int8": None})
    assert pages.run(page, tmp_path) >= 1


def test_the_site_lists_every_public_name_and_every_error_code():
    sys.path.insert(0, str(pages.ROOT / "tools"))
    try:
        import docs_pages
    finally:
        sys.path.pop(0)
    site = "".join(docs_pages.on_page_markdown(text(f"docs/{page}.md")) for page in ("api", "errors"))
    assert [name for name in edgetl.__all__ if name != "errors" and f"::: edgetl.{name}\n" not in site + "\n"] == []
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.EdgetlError)]
    assert [error for error in classes if f"| `{error.code}` | `{error.__name__}` |" not in site] == []
    assert "| `workstation-part-missing` | `ExportError` |" in site


def test_the_formats_page_names_every_key_of_a_manifest(tmp_path: Path):
    written = fake.write_bundle(str(tmp_path / "folder"), encoded(picture(seed=9)))
    manifest = json.loads((written.path / "manifest.json").read_text())
    keys = {*manifest, *manifest["input"], *manifest["variants"][0], *manifest["self_test"][0]}
    page = text("docs/formats.md")
    assert [key for key in keys if f"`{key}`" not in page] == []
    assert f'`"{bundle.FORMAT}"`, `{bundle.VERSION}`' in page


def test_the_formats_page_names_every_column_of_a_store(classifier: Classifier):
    with contextlib.closing(sqlite3.connect(classifier.store.path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
        columns = {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in tables}
        version = db.execute("PRAGMA user_version").fetchone()[0]
    page = text("docs/formats.md")
    rows = [f"| `{table}` | " + ", ".join(f"`{column}`" for column in names) + " |" for table, names in columns.items()]
    assert [row for row in rows if row not in page] == []
    assert f"`user_version` {version}" in page


def test_the_formats_page_names_every_entry_of_a_head_file(classifier: Classifier, folder: Path, tmp_path: Path):
    classifier.add_many(folder)
    classifier.train()
    classifier.export_head(tmp_path / "head.safetensors")
    content = (tmp_path / "head.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    page = text("docs/formats.md")
    assert [name for name in {*header, *header["__metadata__"]} - {"__metadata__"} if f"`{name}`" not in page] == []
    assert f'`"{header["__metadata__"]["format"]}"`' in page


def test_the_formats_page_names_every_field_of_a_bench_record():
    fields = [field.name for kind in (record.Record, record.Result) for field in dataclasses.fields(kind)]
    page = text("docs/formats.md")
    assert [name for name in fields if f"`{name}`" not in page] == []
    assert f'`"{files.FORMAT}"` and `version` {files.VERSION}' in page


def test_every_command_that_is_named_exists_with_its_options():
    names = ["README.md", "CONTRIBUTING.md", "exporters/README.md", "device_tests/README.md", "edgetl/bench/README.md"]
    names += [path.relative_to(pages.ROOT).as_posix() for path in (pages.ROOT / "docs").rglob("*.md")]
    assert {name: wrong for name in names if (wrong := [line for line in _commands(text(name)) if not _exists(line.split()[1:])])} == {}


def _commands(markdown: str) -> list[str]:
    """What begins with `edgetl` in a page's shell blocks and code spans, up to the end of the command."""
    code = " ".join(re.findall(r"```(?:sh|text)\n.*?```|`[^`]+`", re.sub(r"```python.*?```", "", markdown, flags=re.DOTALL), re.DOTALL))
    return re.findall(r"(?<![\w/.-])edgetl (?!import)[a-z][^`\n#|;&)]*", code)


def _exists(words: list[str]) -> bool:
    """Whether the words after `edgetl` are a command and options that it has."""
    command: click.Command = main
    while words and isinstance(command, click.Group) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    commands = [command, *([command.commands["run"]] if isinstance(command, click.Group) and "run" in command.commands else [])]
    known = {option for each in commands for parameter in each.params for option in parameter.opts} | {"-h", "--help"}
    return command is not main and all(word.partition("=")[0] in known for word in words if re.match(r"--?[a-z]", word))
