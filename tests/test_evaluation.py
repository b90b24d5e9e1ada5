"""An evaluation against counting each photo by hand."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edgetl.cli.output import print_evaluation
from edgetl.session.evaluation import Answer, evaluate
from edgetl.stats import Proportion
from edgetl.types import to_json

KNOWN, REJECTS, NEW = ["cup", "mug"], ["background"], ["plate"]
answers = st.builds(Answer, st.sampled_from(KNOWN + REJECTS + NEW), st.sampled_from(KNOWN), st.booleans())


@given(st.lists(answers, max_size=30))
def test_every_photo_is_counted_once_in_the_cell_that_it_belongs_to(photos: list[Answer]) -> None:
    report = evaluate(photos, KNOWN, REJECTS, [], 0)
    own = [photo for photo in photos if photo.truth in KNOWN]
    assert report.accuracy.hits + report.wrong.hits + report.rejected.hits == len(own)
    assert {report.accuracy.n, report.wrong.n, report.rejected.n, report.best_guess.n} == {len(own)}
    assert report.accuracy.hits == sum(photo.truth == photo.best and not photo.rejected for photo in own)
    assert report.rejected.hits == sum(photo.rejected for photo in own)
    assert report.best_guess.hits == sum(photo.truth == photo.best for photo in own)
    others = [photo for photo in photos if photo.truth not in KNOWN]
    assert report.unknown_rejected == Proportion(sum(photo.rejected for photo in others), len(others))
    for truth, row in zip(report.labels, report.confusion):
        given = [(photo.best, photo.rejected) for photo in photos if photo.truth == truth]
        assert row == (*(given.count((label, False)) for label in report.labels), sum(rejected for _, rejected in given))
    assert len(report.warnings) == any(photo.truth in NEW for photo in photos)
    json.dumps(to_json(report))


def test_a_known_photo_that_is_rejected_as_unknown_is_not_correct() -> None:
    photos = [Answer("cup", "cup", False)] * 563 + [Answer("cup", "cup", True)] * 4 + [Answer("cup", "mug", False)] * 33
    report = evaluate(photos, KNOWN, REJECTS, [], 0)
    assert (report.accuracy.hits, report.best_guess.hits, report.rejected.hits, report.wrong.hits) == (563, 567, 4, 33)


def test_the_command_prints_the_counts_the_classes_and_the_confusions(capsys) -> None:
    photos = (
        [Answer("cup", "cup", False)] * 8 + [Answer("cup", "mug", False)] * 2 + [Answer("mug", "mug", True), Answer("mug", "mug", False)]
    )
    photos += [Answer("plate", "cup", False), Answer("plate", "mug", True)]
    print_evaluation(evaluate(photos, KNOWN, REJECTS, [], 0), matrix=True)
    assert capsys.readouterr().out.splitlines() == [
        "accuracy 75.0 % [46.8, 91.1] n=12",
        "9 correct, 2 wrong label, 1 rejected as unknown",
        "classes not trained: 1 of 2 rejected (good), 1 got a label (bad)",
        "",
        "class  correct  wrong  unknown  of",
        "-----  -------  -----  -------  --",
        "cup          8      2        0  10",
        "mug          1      0        1   2",
        "plate        -      1        1   2",
        "2 'cup' called 'mug'",
        "1 'plate' called 'cup'",
        "",
        "true \\ given  background  cup  mug  plate  (unknown)",
        "------------  ----------  ---  ---  -----  ---------",
        "background             0    0    0      0          0",
        "cup                    0    8    2      0          0",
        "mug                    0    0    1      0          1",
        "plate                  0    1    0      0          1",
    ]
