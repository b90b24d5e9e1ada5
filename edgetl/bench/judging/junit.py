"""A comparison as JUnit XML, which Jenkins, GitLab and GitHub's readers show beside the tests."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

from edgetl.bench.files import check_folder
from edgetl.bench.judging.compare import Comparison, MetricChange, unjudged
from edgetl.bench.judging.screen import around, ratio_text, reason, requirement, shown
from edgetl.errors import BenchError, EdgetlError

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Writes one test case per configuration and scenario, with every number in its output.

    A case fails if a headline number became worse and that holds among all of them (exit code 1 of `edgetl bench compare`). It is an
    error if a headline number could not be judged because the machine was busy, if none could be judged at all, or if a requirement is not
    met (exit code 3); any other `cannot tell` passes. The elements are those of Jenkins' schema
    (https://github.com/jenkinsci/xunit-plugin, junit-10.xsd).

    Raises:
        BenchError: the file cannot be written.
    """
    cases: dict[tuple[str, str], list[MetricChange]] = {}
    for change in comparison.changes:
        cases.setdefault((change.configuration, change.scenario), []).append(change)
    for unmet in comparison.unmet:
        cases.setdefault((unmet.configuration, unmet.scenario), [])
    suite = _suite(comparison.names)
    for (configuration, scenario), changes in cases.items():
        _case(suite, comparison, configuration, scenario, changes)
    ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(around(comparison)))
    _put(suite, path)


def write_error(error: EdgetlError, names: tuple[str, str], path: str | os.PathLike[str]) -> None:
    """Writes that two records could not be compared: one test case with the error and its code.

    Raises:
        BenchError: the file cannot be written.
    """
    suite = _suite(names)
    case = ElementTree.SubElement(suite, "testcase", classname="edgetl bench compare", name="records", time="0")
    _say(case, "error", error.code, str(error))
    _put(suite, path)


def _suite(names: tuple[str, str]) -> ElementTree.Element:
    return ElementTree.Element("testsuite", {"name": _clean(" -> ".join(names)), "skipped": "0", "time": "0"})


def _case(suite: ElementTree.Element, comparison: Comparison, configuration: str, scenario: str, changes: list[MetricChange]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(configuration), name=_clean(scenario), time="0")
    blocking = [change for change in unjudged(comparison) if (change.configuration, change.scenario) == (configuration, scenario)]
    missing = [unmet for unmet in comparison.unmet if (unmet.configuration, unmet.scenario) == (configuration, scenario)]
    if worse := [change for change in changes if change.regressed]:
        _say(case, "failure", worse[0].verdict, "; ".join(_line(change, comparison) for change in worse))
    elif missing:
        _say(case, "error", missing[0].code, "; ".join(requirement(unmet, comparison) for unmet in missing))
    elif blocking:
        _say(case, "error", blocking[0].cause, reason(blocking[0], comparison))
    ElementTree.SubElement(case, "system-out").text = _clean("\n".join(_line(change, comparison) for change in changes))


def _say(case: ElementTree.Element, element: str, kind: str, text: str) -> None:
    ElementTree.SubElement(case, element, message=_clean(text), type=kind).text = _clean(text)


def _put(suite: ElementTree.Element, path: str | os.PathLike[str]) -> None:
    """Counts the cases and writes the file."""
    elements = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    counts = {name: str(len(suite.findall(element))) for name, element in elements.items()}
    suite.attrib.update(counts)
    suites = ElementTree.Element("testsuites", {"name": "edgetl bench compare", **counts})
    suites.append(suite)
    ElementTree.indent(suites)
    check_folder(Path(path))
    try:
        ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        message = f"{os.fspath(path)}: the verdicts cannot be written ({error.strerror}). Give --junit a folder that you may write to"
        raise BenchError(message, code="not-writable", path=os.fspath(path)) from error


def _line(change: MetricChange, comparison: Comparison) -> str:
    what = " ".join(part for part in (change.stage, change.metric) if part)
    numbers = f"{shown(change.before, change)} -> {shown(change.after, change)}, ratio {ratio_text(change)}"
    return f"{what}: {change.verdict}: {numbers}, n={change.n[0]} and {change.n[1]} ({reason(change, comparison)})"


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold (section 2.2), which a library's message may have."""
    return _FORBIDDEN.sub("?", text)
