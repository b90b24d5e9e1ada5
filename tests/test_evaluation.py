"""An evaluation against counting each photo by hand."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edgetl.cli.output.answers import evaluate
from edgetl.session.evaluation import LabelledAnswer, count
from edgetl.stats import Proportion
from edgetl.types import to_json

KNOWN, REJECTS, NEW = ["cup", "mug"], ["background"], ["plate"]
answers = st.builds(LabelledAnswer, st.sampled_from(KNOWN + REJECTS + NEW), st.sampled_from(KNOWN), st.booleans())


@given(st.lists(answers, max_size=30))
def test_every_photo_is_counted_once_in_the_cell_that_it_belongs_to(photos: list[LabelledAnswer]) -> None:
    report = count(photos, KNOWN, REJECTS, [], 0)
    own = [photo for photo in photos if photo.truth in KNOWN]
    assert report.accuracy.hits + report.wrong.hits + report.rejected.hits == len(own)
    assert {report.accuracy.n, report.wrong.n, report.rejected.n, report.best_guess.n} == {len(own)}
    assert report.accuracy.hits == sum(photo.truth == photo.best and not photo.rejected for photo in own)
    assert report.rejected.hits == sum(photo.rejected for photo in own)
    assert report.best_guess.hits == sum(photo.truth == photo.best for photo in own)
    others = [photo for photo in photos if photo.truth not in KNOWN]
    assert report.unknown_rejected == Proportion(sum(photo.rejected for photo in others), len(others))
    for truth, row in zip(report.labels, report.confusion):
        cells = [(photo.best, photo.rejected) for photo in photos if photo.truth == truth]
        assert row == (*(cells.count((label, False)) for label in report.labels), sum(rejected for _, rejected in cells))
    assert sum(report.untrained.values()) == sum(photo.truth in NEW for photo in photos)
    json.dumps(to_json(report))


def test_a_known_photo_that_is_rejected_as_unknown_is_not_correct() -> None:
    counts = {LabelledAnswer("cup", "cup", False): 563, LabelledAnswer("cup", "cup", True): 4, LabelledAnswer("cup", "mug", False): 33}
    photos = [answer for answer, number in counts.items() for _ in range(number)]
    report = count(photos, KNOWN, REJECTS, [], 0)
    assert (report.accuracy.hits, report.best_guess.hits, report.rejected.hits, report.wrong.hits) == (563, 567, 4, 33)


def test_eval_advises_what_to_do_only_if_many_known_photos_are_rejected() -> None:
    for rejected, advised in ((1, False), (30, True)):
        photos = [LabelledAnswer("cup", "cup", number < rejected) for number in range(40)]
        lines = evaluate(count(photos, KNOWN, REJECTS, [], 0), verbose=False)
        assert any("--unknown lenient" in line for line in lines) == advised
