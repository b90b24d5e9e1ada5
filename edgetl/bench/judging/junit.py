"""A comparison as JUnit XML, which Jenkins, GitLab and GitHub's readers show beside the tests."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

from edgetl.bench.files import check_folder
from edgetl.bench.judging.compare import Change, Comparison, unjudged
from edgetl.bench.judging.screen import around, interval, shown
from edgetl.errors import BenchError

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Writes one test case per configuration and scenario, with every number in its output.

    A case fails where a headline number became worse and that holds among all of them (exit code 1 of `edgetl bench compare`). It is an
    error where a headline number could not be judged because the machine was busy, where none could be judged at all, or where a
    requirement is not met (exit code 3); any other `cannot tell` passes. The elements are those of Jenkins' schema
    (https://github.com/jenkinsci/xunit-plugin, junit-10.xsd).

    Raises:
        BenchError: the file cannot be written.
    """
    cases: dict[tuple[str, str], list[Change]] = {}
    for change in comparison.changes:
        cases.setdefault((change.configuration, change.scenario), []).append(change)
    for one in comparison.unmet:
        cases.setdefault((one.configuration, one.scenario), [])
    suite = ElementTree.Element("testsuite", {"name": _clean(" -> ".join(comparison.names)), "skipped": "0", "time": "0"})
    for (configuration, scenario), changes in cases.items():
        _case(suite, comparison, configuration, scenario, changes)
    ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(around(comparison)))
    _put(suite, path)


def refuse(reason: str, names: tuple[str, str], path: str | os.PathLike[str]) -> None:
    """Writes that two records could not be compared: one test case, with the reason as its error.

    Raises:
        BenchError: the file cannot be written.
    """
    suite = ElementTree.Element("testsuite", {"name": _clean(" -> ".join(names)), "skipped": "0", "time": "0"})
    case = ElementTree.SubElement(suite, "testcase", classname="edgetl bench compare", name="records", time="0")
    ElementTree.SubElement(case, "error", message=_clean(reason), type="not-comparable").text = _clean(reason)
    _put(suite, path)


def _case(suite: ElementTree.Element, comparison: Comparison, configuration: str, scenario: str, changes: list[Change]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(configuration), name=_clean(scenario), time="0")
    blocking = [change for change in unjudged(comparison) if (change.configuration, change.scenario) == (configuration, scenario)]
    missing = [one for one in comparison.unmet if (one.configuration, one.scenario) == (configuration, scenario)]
    if worse := [change for change in changes if change.regressed]:
        _say(case, "failure", worse[0].verdict, "; ".join(map(_line, worse)))
    elif missing:
        _say(case, "error", missing[0].code, "; ".join(one.words for one in missing))
    elif blocking:
        _say(case, "error", blocking[0].cause, blocking[0].reason)
    ElementTree.SubElement(case, "system-out").text = _clean("\n".join(map(_line, changes)))


def _say(case: ElementTree.Element, element: str, kind: str, text: str) -> None:
    ElementTree.SubElement(case, element, message=_clean(text), type=kind).text = _clean(text)


def _put(suite: ElementTree.Element, path: str | os.PathLike[str]) -> None:
    """Counts the cases and writes the file."""
    found = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    counts = {name: str(len(suite.findall(element))) for name, element in found.items()}
    suite.attrib.update(counts)
    suites = ElementTree.Element("testsuites", {"name": "edgetl bench compare", **counts})
    suites.append(suite)
    ElementTree.indent(suites)
    check_folder(Path(path))
    try:
        ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise BenchError(
            f"{os.fspath(path)}: the verdicts cannot be written ({error.strerror}); give --junit a folder with room that is yours"
        ) from error


def _line(change: Change) -> str:
    what = " ".join(part for part in (change.stage, change.metric) if part)
    numbers = f"{shown(change.before, change)} -> {shown(change.after, change)}, ratio {interval(change)}"
    return f"{what}: {change.verdict}: {numbers}, n={change.n[0]} and {change.n[1]} ({change.reason})"


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold (section 2.2), which a library's message may."""
    return _FORBIDDEN.sub("?", text)
