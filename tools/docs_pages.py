"""What mkdocs takes from the code: the pages of evidence, the public names and the error codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("edgetl", "exporters/edgetl_exporters")


def on_config(config: Any) -> Any:
    """Adds every page of docs/evidence to the navigation."""
    pages = sorted((ROOT / "docs" / "evidence").glob("*.md"))
    results = next(entry["Results"] for entry in config.nav if "Results" in entry)
    section = next(entry["Evidence"] for entry in results if "Evidence" in entry)
    section.extend({title(page).replace("`", ""): f"evidence/{page.name}"} for page in pages if page.name != "index.md")
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces the placeholders `<!-- generated: NAME -->` with what the code says."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda match: GENERATED[match[1]](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Leaves out the roles of docstrings, such as `:meth:`, which Markdown does not know, and click's word for "no default"."""
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code>)", "", html).replace("<code>Sentinel.UNSET</code>", "")


def title(page: Path) -> str:
    """The first heading of a page."""
    return next(line.removeprefix("# ") for line in page.read_text("utf-8").splitlines() if line.startswith("# "))


def evidence() -> str:
    """A list of links to the pages of docs/evidence."""
    pages = sorted((ROOT / "docs" / "evidence").glob("*.md"))
    return "\n".join(f"- [{title(page)}]({page.name})" for page in pages if page.name != "index.md")


def public_names() -> str:
    """A mkdocstrings directive for each name of `edgetl.__all__`, Classifier first."""
    module = ast.parse((ROOT / "edgetl" / "__init__.py").read_text("utf-8"))
    values = (node.value for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    names = [name for name in ast.literal_eval(next(values)) if name != "errors"]
    return "\n\n".join(f"::: edgetl.{name}" for name in sorted(names, key=lambda name: (name != "Classifier", name)))


def error_classes() -> str:
    """A table of every class of edgetl/errors.py with its code."""
    module = ast.parse((ROOT / "edgetl" / "errors.py").read_text("utf-8"))
    rows = []
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            code = next(
                ast.literal_eval(line.value)
                for line in node.body
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code"
            )
            bases = ", ".join(f"`{ast.unparse(base)}`" for base in node.bases)
            meaning = re.sub(r":\w+:`([^`]+)`", r"`\1`", (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " "))
            rows.append((f"`{code}`", f"`{node.name}`", bases, meaning))
    return table(("code", "class", "is also a", "meaning"), rows)


def narrower_codes() -> str:
    """A table of the codes that are given with an error: where the class's own is too wide."""
    messages: dict[tuple[str, str], set[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for code, name, message in codes_in(path):
            messages.setdefault((code, name), set()).add(message.removeprefix("…: "))
    rows = [(*key, "<br>".join(sorted(text for text in texts if re.search(r"\w", text)))) for key, texts in sorted(messages.items())]
    return table(("code", "class", "message"), rows)


def codes_in(path: Path) -> Iterator[tuple[str, str, str]]:
    """(code, class, message) of each error that a module makes with a code of its own, itself or by a function that returns an error."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    makers = {node.name: ast.unparse(node.returns) for node in nodes if isinstance(node, ast.FunctionDef) and node.returns is not None}
    makers.setdefault("file_error", "ExportError")  # of edgetl_exporters.errors
    texts = {
        (ast.unparse(node.targets[0]), node.lineno): node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.JoinedStr, ast.BinOp))
    }
    for node in nodes:
        if isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).split(".")[-1]
            name = makers.get(function, function)
            shown = [_text(argument, node.lineno, texts) for argument in node.args]
            message = next((text for text in reversed(shown) if isinstance(text, (ast.JoinedStr, ast.BinOp))), shown[-1])
            for keyword in node.keywords:
                if name[:1].isupper() and keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    yield f"`{keyword.value.value}`", f"`{name}`", pattern(message)


def _text(argument: ast.expr, line: int, texts: dict[tuple[str, int], ast.expr]) -> ast.expr:
    """An argument, or what the variable that it names was last set to."""
    lines = [at for name, at in texts if isinstance(argument, ast.Name) and name == argument.id and at <= line]
    return texts[argument.id, max(lines)] if isinstance(argument, ast.Name) and lines else argument


def pattern(message: ast.expr) -> str:
    """A message as it stands in the code, with an ellipsis for each value."""
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in message.values)
    if isinstance(message, ast.BinOp):
        return pattern(message.left) + pattern(message.right)
    return "…"


def table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    cells = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells)


GENERATED = {"evidence": evidence, "names": public_names, "errors": error_classes, "codes": narrower_codes}
