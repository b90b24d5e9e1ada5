"""The words for findings, readiness, regression checks and explanations: short sentences, the number first and the reason after it.

A finding's words begin in lower case and have no full stop, so that they follow `warning: PHOTO: `.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetl.diagnostics.explanation import Reason
from edgetl.diagnostics.finding import Finding
from edgetl.diagnostics.forecast import LEAST, Action, Assessment
from edgetl.diagnostics.learning_curve import Range
from edgetl.diagnostics.regression import RegressionCheck

_LISTED = 3
_LEVELS = "brightness {brightness:.0f}, contrast {contrast:.0f} of 255 gray levels"
_FINDINGS: Mapping[str, str] = {
    "dark": f"too dark ({_LEVELS}): add light, expose longer, or uncover the lens",
    "overexposed": f"overexposed ({_LEVELS}): reduce the light or the exposure time",
    "low-contrast": f"almost no contrast ({_LEVELS}): is the lens covered or fogged?",
    "blurred": "blurred (sharpness {sharpness:.2f}, expected at least {expected:g}): hold still, focus, clean the lens",
    "blurred-beside-others": "blurred (sharpness {sharpness:.2f}, {low:.2f} to {high:.2f} in the {photos} photos before): hold still, "
    "focus, clean the lens",
    "too-small": "too small ({width}x{height} pixels, expected at least {expected}): go closer, or crop less",
    "unusual": "unlike the {photos} photos before ({what} {value:.3g}, {low:.3g} to {high:.3g} before): did the camera, the lens or the "
    "light change?",
    "near-duplicate": "nearly the same as {other}, {when} (similarity {similarity:.3f}): both count as one; move the camera or the object",
    "two-labels": "{why}, which is labelled {other!r}, not {label!r}: one of the two labels is wrong",
    "two-labels-in-group": "{photos} near-duplicate photos have {count} labels ({named}): only one label can be correct",
    "mislabelled": "looks like {looks_like!r} ({percent:.0f} %), not {label!r} ({own:.1f} %): check the label",
    "one-photo": "1 photo of {label!r}: add a second one to measure its accuracy",
    "few-views": "{photos} photos of {label!r} show {views} view{plural}: near-duplicates count once; photograph it from other sides",
    "imbalance": "{photos} photos of {largest!r}, more than {times} times as many as of {named}: photograph the smaller classes next",
    "no-photos": "no photos in the store: add photos of at least two classes",
    "one-class": "one class only ({photos} photos), so labels cannot be checked: add a second class",
    "not-trained": "labels were not checked: no head can be trained from these photos",
    "not-measured": "{unmeasured} of {photos} photos were added without measuring light and sharpness, so these are not checked",
}
_MEASURES = {
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "warmth": "warmth",
    "length": "length of the embedding",
    "density": "density of the embedding",
    "nearest": "similarity to the most similar photo",
}


def describe_finding(finding: Finding) -> str:
    """A possible problem with its numbers, and what to do; without the photo's name."""
    values, code = dict(finding.values), str(finding.code)
    if code == "blurred" and "low" in values:
        code = "blurred-beside-others"
    elif code == "unusual":
        values["what"] = _MEASURES[values["measure"]]
    elif code == "near-duplicate":
        values["when"] = "the photo before" if values["ago"] == 1 else f"{values['ago']} photos before"
    elif code == "mislabelled":
        values |= {"percent": 100 * values["probability"], "own": 100 * values["own_probability"]}
    elif code == "few-views":
        values["plural"] = "" if values["views"] == 1 else "s"
    elif code == "two-labels" and "photos" in values:
        code, values["count"] = "two-labels-in-group", len(values["labels"])
        values["named"] = ", ".join(f"{source} as {label!r}" for label, source in list(values["labels"].items())[:_LISTED])
    elif code == "two-labels":
        ((values["other"], source),) = values["labels"].items()
        alike = "taken in the same second as" if values["similarity"] is None else "nearly the same photo as"
        values["why"] = f"{alike} {source}" + ("" if values["similarity"] is None else f" (similarity {values['similarity']:.3f})")
    elif code == "imbalance":
        values["named"] = list_some([f"{label!r} ({count})" for label, count in values["smaller"].items()], _LISTED)
    return _FINDINGS[code].format(label=finding.label, **values)


def describe_forecast(assessment: Assessment) -> str:
    """The accuracy to expect, in one sentence."""
    goal, photos = f"{100 * assessment.target:g} %", min(row.groups for row in assessment.per_class.values())
    if len(assessment.per_class) == 1:
        return "One class: add a second one to measure the accuracy."
    if assessment.twice is None or assessment.fourfold is None:
        return f"Too few photos for a forecast: {photos} of a class, {LEAST} are needed."
    if assessment.outlook == "reached":
        return f"Above {goal}: enough photos."
    if assessment.outlook == "likely":
        return f"Likely above {goal}, but only {photos} photos of a class: add about {assessment.action.each} to be sure."
    if assessment.outlook == "far":
        return f"{_interval(assessment.fourfold)} with four times the photos of every class: {goal} is unlikely."
    return f"{_interval(assessment.twice)} with twice the photos of every class."


def describe_action(action: Action) -> str:
    """What to photograph next."""
    these, each = list_all(action.classes), f"{action.each} more" + (" each" if len(action.classes) != 1 else "")
    if action.code == "none":
        return "no more photos are needed"
    if action.code == "alike":
        return f"check the labels of {these}: they look the same"
    if action.code == "few":
        return f"photograph {these}, {each}: the fewest photos"
    if action.code == "confused":
        return f"photograph {these}, {each}: confused most often"
    return f"photograph every class, {each}" + (f"; {list_all(action.confused)} are confused most often" if action.confused else "")


def describe_regression(check: RegressionCheck) -> str:
    """What a training changed for the earlier classes, without a full stop."""
    if check.code == "not-compared":
        return "nothing to compare: no photo was in both trainings under the same label"
    if check.code == "worse":
        return "; ".join(_describe_loss(check, label) for label in check.worse)
    if check.code == "maybe-worse":
        more = f" (and {len(check.maybe_worse) - 1} more)" if len(check.maybe_worse) > 1 else ""
        return _describe_doubt(check, check.maybe_worse[0]) + more
    worst = min(check.classes, key=lambda label: (-check.classes[label].loss, label))
    change = check.classes[worst]
    if change.loss <= 0:
        return f"no earlier class lost accuracy ({len(check.classes)} classes, n={sum(row.before.n for row in check.classes.values())})"
    return f"no earlier class is clearly worse; {worst!r} lost most, {change.missed} of {change.before.n}"


def advise_regression(check: RegressionCheck, head_id: int) -> str:
    """What to do about a head that made a class worse; empty if it did not."""
    if not check.worse:
        return ""
    return (
        f"Head {head_id} is saved but not activated; the earlier head still answers. "
        f"Photograph {list_all([*check.worse, *check.rivals][:4])} where they look alike, and train again. "
        f"To use it anyway: `edgetl head activate {head_id}`, or `edgetl train --allow-loss {check.needed_allowance:g}`."
    )


def _describe_loss(check: RegressionCheck, label: str) -> str:
    change = check.classes[label]
    fell = f"{label!r} fell from {100 * change.before.value:.0f} to {100 * change.after.value:.0f} % (n={change.before.n}, "
    fell += f"{100 * check.allow_loss:g} points are allowed)"
    return fell + next((f"; {pair.now} are now taken for {pair.taken_for!r}" for pair in check.confused if pair.truth == label), "")


def _describe_doubt(check: RegressionCheck, label: str) -> str:
    change = check.classes[label]
    if change.missed > 0:
        rival = next((f", most as {pair.taken_for!r}" for pair in check.confused if pair.truth == label), "")
        return f"{label!r} may be worse: {change.missed} more of {change.before.n} misclassified{rival} (too few photos to be sure)"
    rival, share = change.drawn or ("", 0.0)
    return f"{label!r} may be worse: looks about {100 * share:.0f} % like {rival!r} (n={change.before.n}, too few photos to be sure)"


_DIRECTIONS = {
    "brightness": ("darker", "brighter", "brightness {value:.0f}, usually {low:.0f} to {high:.0f}"),
    "contrast": ("less contrast", "more contrast", "contrast {value:.0f}, usually {low:.0f} to {high:.0f}"),
    "sharpness": ("more blurred", "sharper", "sharpness {value:.2f}, usually {low:.2f} to {high:.2f}"),
    "warmth": ("bluer", "redder", "warmth {value:.3f}, usually {low:.3f} to {high:.3f}"),
}
_ADVICE = {
    "brightness": ("Add light or expose longer.", "Shade it or expose shorter."),
    "contrast": ("Check for fog, glare or a dirty lens.", "Check for hard shadows or a lamp in the picture."),
    "sharpness": ("Clean the lens, hold still, focus.", "Check whether the training photos are blurred."),
    "warmth": (
        "Check for daylight, a cold lamp or another white balance.",
        "Check for evening light, a warm lamp or another white balance.",
    ),
}


def describe_reason(reason: Reason) -> str:
    """What explains a prediction, with its numbers, without a full stop."""
    values = reason.values
    if reason.code == "input-differs":
        return _describe_difference(values)
    if reason.code == "few-photos":
        counts = " and ".join(f"{count} of {label!r}" for label, count in values["groups"].items())
        return f"too few photos for a reliable answer: {counts} (near-duplicates count once)"
    if reason.code == "two-classes":
        return "looks like two classes: " + " and ".join(
            f"{label!r} {100 * probability:.0f} % ({values['neighbours'][label]} of the {values['n']} most similar photos)"
            for label, probability in values["probabilities"].items()
        )
    if reason.code == "clear":
        return (
            f"clearly {values['label']!r}: {100 * values['probability']:.0f} %, "
            f"{100 * values['margin']:.0f} points ahead of the next class; "
            f"{values['same']} of the {values['n']} most similar photos are {values['label']!r}"
        )
    if "limit" in values:
        usual = f"usually {values['usual']:.2f}, and {100 * values['share']:g} % are below {values['limit']:.2f} (n={values['n']})"
        return f"unlike every training photo: similarity {values['cosine']:.2f} to the nearest; {usual}"
    if values["rejected"] == "reject-class":
        return f"looks like the reject class {values['label']!r}"
    return "rejected as an unknown object: unlike the training photos"


def advise_reason(reason: Reason) -> str:
    """What to do about it, in whole sentences; empty for `clear`."""
    values = reason.values
    if reason.code == "input-differs":
        advice = [_ADVICE[measure][row["higher"]] for measure, row in values["measures"].items()]
        camera = ["Check whether the camera or its settings changed."] if values["size"] else []
        return " ".join([*advice, *camera, "If photos will look like this from now on, add some of every class."])
    if reason.code == "few-photos":
        missing = " and ".join(f"{label!r} (at least {values['needed'] - count} more)" for label, count in values["groups"].items())
        return f"Add photos of {missing} from other sides, and train again."
    if reason.code == "two-classes":
        near = [label for label, count in values["neighbours"].items() if count]  # a class that no similar photo has needs none
        these = " and ".join(map(repr, near or values["probabilities"]))
        return f"Check the labels of the photos below; if they are correct, add photos of {these} where they look alike, this one too."
    if reason.code == "unfamiliar":
        return "If it is something new, add it as a class of its own or as 'unknown'; otherwise add photos of its class that look like it."
    return ""


def _describe_difference(values: Mapping[str, Any]) -> str:
    parts = []
    for measure, row in values["measures"].items():
        lower, higher, numbers = _DIRECTIONS[measure]
        parts.append(f"{higher if row['higher'] else lower} ({numbers.format(**row)}, n={values['n']})")
    if size := values["size"]:
        usual = f"{size['count']} of {values['n']} have {size['usual'][0]} x {size['usual'][1]}"
        parts.append(f"{size['width']} x {size['height']} pixels, as no training photo ({usual})")
    return "differs from the training photos: " + "; ".join(parts)


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def list_all(labels: Sequence[str]) -> str:
    """Quoted class names for a sentence: 'a', 'b' and 'c'."""
    names = list(map(repr, labels))
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def list_some(names: Sequence[str], most: int) -> str:
    """Names for a sentence; of many, the first ones."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _interval(share: Range) -> str:
    """The median, and the 80 % interval rounded outwards to whole percents."""
    low, middle, high = (100 * end for end in share)
    return f"About {middle:.0f} % (80 % interval {int(low)} to {min(100, -int(-high // 1))} %)"
