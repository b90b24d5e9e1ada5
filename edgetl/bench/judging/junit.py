"""A comparison as JUnit XML, which Jenkins, GitLab and GitHub's readers show beside the tests."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

from edgetl.bench.judging.compare import Change, Comparison
from edgetl.bench.judging.screen import around, interval, shown
from edgetl.errors import BenchError

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Writes one test case per configuration and scenario, with every number in its output.

    A case fails where a headline number became worse and that holds among all of them, which is what `edgetl bench compare` exits with 1
    for; `cannot tell` passes. The elements are those of Jenkins' schema (https://github.com/jenkinsci/xunit-plugin, junit-10.xsd).

    Raises:
        BenchError: the file cannot be written.
    """
    cases: dict[tuple[str, str], list[Change]] = {}
    for change in comparison.changes:
        cases.setdefault((change.configuration, change.scenario), []).append(change)
    failures = sum(any(change.regressed for change in changes) for changes in cases.values())
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    suites = ElementTree.Element("testsuites", {"name": "edgetl bench compare", **counts})
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": _clean(" -> ".join(comparison.names)), "skipped": "0", "time": "0", **counts}
    )
    for (configuration, scenario), changes in cases.items():
        _case(suite, configuration, scenario, changes)
    ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(around(comparison)))
    ElementTree.indent(suites)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise BenchError(
            f"{os.fspath(path)}: the verdicts cannot be written ({error.strerror}); give --junit a folder with room that is yours"
        ) from error


def _case(suite: ElementTree.Element, configuration: str, scenario: str, changes: list[Change]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(configuration), name=_clean(scenario), time="0")
    worse = [change for change in changes if change.regressed]
    if worse:
        said = _clean("; ".join(map(_line, worse)))
        ElementTree.SubElement(case, "failure", message=said, type=worse[0].verdict).text = said
    ElementTree.SubElement(case, "system-out").text = _clean("\n".join(map(_line, changes)))


def _line(change: Change) -> str:
    what = " ".join(part for part in (change.stage, change.metric) if part)
    numbers = f"{shown(change.before, change)} -> {shown(change.after, change)}, ratio {interval(change)}"
    return f"{what}: {change.verdict}: {numbers}, n={change.n[0]} and {change.n[1]} ({change.reason})"


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold (section 2.2), which a library's message may."""
    return _FORBIDDEN.sub("?", text)
