"""The texts of `add`, `forget`, `doctor` and `store merge`: which photos came, went, or look wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl.cli.output import training
from edgetl.cli.output.common import failures, findings_in_full, kinds, listed, number, relative, short, warnings_in_full
from edgetl.tables import render

if TYPE_CHECKING:
    from edgetl.diagnostics import Diagnosis
    from edgetl.session.reports import AddReport, AssessReport, ForgetReport
    from edgetl.store.merge import MergeReport

_SHORT, _LABEL_ERRORS = 20, 3


def add_brief(report: AddReport, assessment: AssessReport | None, store: str) -> list[str]:
    """At most six lines: what became of the photos, what the store holds, problems, and what to do next."""
    counts, kept = report.counts, report.number("kept")
    changed = len(report.photos) - report.number("known") - kept
    others = [f"{report.number(status)} {status}" for status in ("known", "relabelled") if report.number(status)]
    what = f"Added {number(report.number('added'), 'photo')} in {report.seconds:.1f} s"
    lines = [f"{what} ({', '.join(others)})." if others else f"{what}.", _holdings(counts)]
    if assessment is not None:
        lines.append(training.accuracy(assessment.accuracy, assessment.assessment).replace("Accuracy:", "Expected accuracy:", 1))
    lines += _failures(report, verbose=False)
    if kept:
        lines.append(f"warning: {number(kept, 'photo')} stay in the class that the store has (-v); --relabel moves them.")
    if report.findings:
        lines.append(f"warning: possible problems: {kinds(report.findings)} (-v).")
    if assessment is not None:
        return [*lines, *training.next_step(assessment.assessment)]
    if changed and counts:
        enough = f"edgetl train -s {store}" if sum(counts.values()) > 1 else "add a second photo"
        return [*lines, f"next: {enough}" if len(counts) > 1 else f"next: add another class, or {enough}"]
    return lines


def add_in_full(report: AddReport, assessment: AssessReport | None, store: str) -> list[str]:
    """The table of classes, every photo that moved, every problem."""
    if assessment is None:
        touched = {photo.label for photo in report.photos}
        rows = [(label, count) for label, count in report.counts.items() if len(report.counts) < _SHORT or label in touched]
        lines = [render(("class", "photos"), rows), ""]
    else:
        lines = [*training.per_class(assessment.assessment), ""]
    moved = [photo for photo in report.photos if photo.status == "relabelled"]
    brief = add_brief(report, assessment, store)
    lines += [line for line in brief if not line.startswith(("warning: ", "next: "))]
    lines += [f"relabelled: {photo.source}: {photo.previous} -> {photo.label}" for photo in moved]
    lines += [f"kept: {photo.source}: {photo.previous}, not {photo.label}" for photo in report.photos if photo.status == "kept"]
    lines += findings_in_full([*report.findings, *(assessment.findings if assessment else ())])
    lines += _failures(report, verbose=True)
    if assessment is not None:
        from edgetl.diagnostics.text import describe_forecast

        lines += [*warnings_in_full(assessment.warnings), describe_forecast(assessment.assessment)]
    return [*lines, *(line for line in brief if line.startswith("next: "))]


def _failures(report: AddReport, *, verbose: bool) -> list[str]:
    """The photos that were not used: an error if no photo was."""
    lines = failures([(photo.source, photo.reason) for photo in report.failed], verbose=verbose)
    return lines if report.photos else [line.replace("warning: ", "error: ", 1) for line in lines]


def _holdings(counts: Mapping[str, int]) -> str:
    if not counts:
        return "The store holds no photo."
    least = min(counts, key=lambda label: counts[label])
    fewest = f" Fewest: {short(least)}, {counts[least]}." if len(counts) > 1 else ""
    return f"The store holds {number(sum(counts.values()), 'photo')} of {number(len(counts), 'class', 'classes')}.{fewest}"


def forget(report: ForgetReport, *, vacuum: bool, verbose: bool) -> list[str]:
    """What was removed, the proof, and which head is active."""
    removed, left = sum(report.removed.values()), sum(report.counts.values())
    lines = [f"Forgot {number(removed, 'photo')} of {listed(list(report.removed))}; {number(left, 'photo')} remain."]
    if verbose:
        rows = [(label, count, report.counts.get(label, 0)) for label, count in report.removed.items()]
        lines = [render(("class", "forgotten", "left"), rows), "", *lines]
    if report.traces:
        lines.append(f"warning: {report.traces} pieces are left while another program reads the file; the next change erases them.")
    else:
        lines.append(
            "No photo or embedding of them is left in the file" + (f", which shrank by {report.freed / 1e3:.0f} kB." if vacuum else ".")
        )
    if report.head_id is None:
        return [*lines, "No head is active now.", "next: add photos, then edgetl train"]
    lines.append(f"Head {report.head_id} is active, trained without them.")
    if verbose and report.difference is not None:
        lines.append(f"Its logits differ by at most {report.difference:.1e} from those of a head trained only on what remains.")
    return lines


def doctor(report: Diagnosis, *, label_errors: int, verbose: bool) -> list[str]:
    """What may be wrong with the photos and labels of a store."""
    classes = number(len(report.classes), "class", "classes")
    labels = f"{number(len(report.label_errors), 'label')} may be wrong" if report.label_errors else "no label looks wrong"
    if not report.photos:
        return ["The store is empty.", "next: edgetl add PHOTOS -l CLASS"]
    lines = [f"{number(report.photos, 'photo')} of {classes}: {labels}."]
    if verbose:
        lines += ["", render(("class", "photos", "views"), [(health.label, health.photos, health.groups) for health in report.classes])]
        if report.label_errors:
            rows = [
                (place, error.source, error.label, error.looks_like, f"{error.score:.3f}")
                for place, error in enumerate(report.label_errors[:label_errors], 1)
            ]
            lines += ["", render(("", "photo", "label", "looks like", "score"), rows)]
        lines += findings_in_full([*report.findings, *report.notes])
    else:
        lines += [
            f"{Path(error.source).name}: labelled {short(error.label)}, looks like {short(error.looks_like)} ({error.score:.2f})"
            for error in report.label_errors[:_LABEL_ERRORS]
        ]
        lines += [f"warning: possible problems: {kinds(report.findings)} (-v)."] if report.findings else []
        lines += findings_in_full(report.notes[:1]) if not report.findings else []
    if report.label_errors:
        lines.append("next: correct: edgetl add -l CLASS PHOTO; remove: edgetl forget --photo PHOTO")
    return lines


def merge(report: MergeReport, path: str, *, verbose: bool) -> list[str]:
    """What the new store holds, and where the stores disagreed."""
    classes, photos = number(len(report.counts), "class", "classes"), sum(report.counts.values())
    lines = [f"{path}: {number(photos, 'photo')} of {classes} from {number(len(report.stores), 'store')}."]
    if verbose:
        lines = [
            render(("store", "photos", "new in it"), [(relative(source.store), source.photos, source.added) for source in report.stores]),
            "",
            render(("class", "photos"), list(report.counts.items())),
            "",
            *lines,
        ]
    if report.duplicates:
        lines.append(f"{number(report.duplicates, 'photo')} {'was' if report.duplicates == 1 else 'were'} in several stores.")
    if report.renamed:
        lines.append("Renamed: " + ", ".join(f"{old} to {new}" for old, new in report.renamed.items()) + ".")
    conflicts = [
        f"warning: {conflict.kept.source} is {conflict.kept.label} in {relative(conflict.kept.store)} (kept), "
        f"{conflict.dropped.label} in {relative(conflict.dropped.store)}"
        for conflict in report.conflicts
    ]
    if len(conflicts) > 1 and not verbose:
        conflicts = [f"warning: {len(conflicts)} photos have two labels; the first store's were kept (-v)."]
    return [*lines, *conflicts, f"next: edgetl train -s {path}"]
