"""The regression check, against counting by hand."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetl.decoding import decode
from edgetl.diagnostics.regression import RegressionCheck, compare
from edgetl.diagnostics.text import advise_regression, describe_regression
from edgetl.diagnostics.training_record import TrainingRecord
from edgetl.heads import Fit, Learner
from edgetl.stats import Proportion
from edgetl.types import to_json

LEARNER = Learner(2)
LEARNER.add([1, 2, 3, 4], np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], ["a", "a", "b", "b"])
FIT = LEARNER.fit("ncm")


def fit(rows: list[tuple[int, str, str, int]], labels: str = "") -> Fit:
    """A fit with these (id, truth, predicted, burst) and nothing else of interest."""
    known = tuple(sorted({*labels, *(label for row in rows for label in row[1:3])}))
    ids, truth, predicted, bursts = zip(*rows) if rows else ((), (), (), ())
    head = dataclasses.replace(FIT.head, labels=known)
    ids, bursts = np.array(ids, np.int64), np.array(bursts, np.int64)
    held = np.full((len(ids), len(known)), -np.inf)
    held[np.arange(len(ids)), [known.index(label) for label in predicted]] = 0.0
    return dataclasses.replace(FIT, head=head, ids=ids, truth=truth, predicted=predicted, bursts=bursts, held=held)


def is_maybe_worse(check: RegressionCheck, label: str, allow: float, drawn: float) -> bool:
    """The rule of docs/evidence/regression-check.md, written again."""
    change = check.classes[label]
    net = change.before.hits - change.after.hits
    some = max(0.1, allow)
    return (net >= 2 and net / change.before.n > allow / 2 + 1e-9) or (net >= 1 and drawn > some) or (net >= 0 and drawn > 2 * some)


labels = st.sampled_from("abcd")
photos = st.dictionaries(st.integers(1, 60), st.tuples(labels, labels, st.integers(0, 12)), max_size=40)


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": 3},
        {"photos": "4"},
        {"last": None},
        {"runs": [[1]]},
        {"runs": [[1, 0.5]]},
        {"missed": {"x": 0}},
        {"missed": {"1": "a"}},
        {"more": 1},
    ],
)
def test_a_stored_record_of_other_types_is_an_error(damage: dict[str, object]) -> None:
    stored = to_json(TrainingRecord.from_fit(FIT))
    with pytest.raises(ValueError):
        decode(TrainingRecord, stored | damage)


@settings(max_examples=100, deadline=None)
@given(photos, photos, st.floats(0, 1))
def test_a_check_is_what_counting_photo_by_photo_and_group_by_group_gives(then, now, allow):
    last = max(then, default=-1)
    # A store gives every photo a new number, so one with a number from before either was there before or does not exist.
    now = {sample: row for sample, row in now.items() if sample in then or sample > last}
    before = fit([(sample, *row) for sample, row in then.items()])
    after = fit([(sample, *row) for sample, row in now.items()])
    record = decode(TrainingRecord, json.loads(json.dumps(to_json(TrainingRecord.from_fit(before)))))
    assert record == TrainingRecord.from_fit(before)
    check = compare(record, after, allow)

    same = [sample for sample in now if sample in then and then[sample][0] == now[sample][0]]
    assert check.relabelled == sum(sample in then and then[sample][0] != now[sample][0] for sample in now)
    assert check.forgotten == sum(sample not in now for sample in then)
    assert check.new == tuple(sorted(set(after.head.labels) - set(before.head.labels)))
    assert check.vanished == tuple(sorted(set(before.head.labels) - set(after.head.labels)))
    assert set(check.classes) == {now[sample][0] for sample in same}
    for label, change in check.classes.items():
        own = [sample for sample in same if now[sample][0] == label]
        bursts = {now[sample][2] for sample in own}
        for share, answers in ((change.before, then), (change.after, now)):
            right = 0
            for burst in bursts:
                hits = [answers[sample][1] == label for sample in own if now[sample][2] == burst]
                right += sum(hits) > len(hits) / 2
            assert (share.hits, share.n) == (right, len(bursts))
        assert change.photos == len(own)
        assert change.lost == sum(then[sample][1] == label != now[sample][1] for sample in own)
        assert change.won == sum(then[sample][1] != label == now[sample][1] for sample in own)
        net = change.before.hits - change.after.hits
        worse = net >= 3 and net / len(bursts) > allow + 1e-9
        new = [now[sample][1] for sample in own if now[sample][1] in check.new]
        assert change.drawn == (None if not check.new else (change.drawn[0], pytest.approx(len(new) / len(own))))
        assert not new or new.count(change.drawn[0]) == max(map(new.count, new))
        assert (label in check.worse) == worse
        assert (label in check.maybe_worse) == (not worse and is_maybe_worse(check, label, allow, len(new) / len(own)))
    was, are = (Counter((answers[sample][0], answers[sample][1]) for sample in same) for answers in (then, now))
    grown = {pair: count for pair, count in are.items() if pair[0] != pair[1] and count > was[pair]}
    assert {(pair.truth, pair.taken_for): pair.now for pair in check.confused} == grown
    json.dumps(to_json(check), allow_nan=False)
    states = ("worse" * bool(check.worse), "maybe-worse" * bool(check.maybe_worse), "same" * bool(check.classes), "not-compared")
    assert check.code == next(filter(None, states))
    assert bool(advise_regression(check, 3)) == bool(check.worse)
    assert describe_regression(check)


def test_a_class_that_loses_too_much_is_worse_with_its_rival_and_allowance():
    before = fit([(i, "cup", "cup", i) for i in range(20)] + [(100 + i, "pot", "pot", 100 + i) for i in range(5)])
    after = fit(
        [(i, "cup", "mug" if i < 5 else "cup", i) for i in range(20)]
        + [(100 + i, "pot", "pot", 100 + i) for i in range(5)]
        + [(200 + i, "mug", "mug", 200 + i) for i in range(5)]
    )
    check = compare(TrainingRecord.from_fit(before), after)
    assert check.worse == ("cup",)
    assert check.new == ("mug",)
    cup, (pair,) = check.classes["cup"], check.confused
    assert (cup.before, cup.after) == (Proportion(20, 20), Proportion(15, 20))
    assert (pair.truth, pair.taken_for, pair.now, check.rivals) == ("cup", "mug", 5, ("mug",))
    assert check.needed_allowance == 0.25
    assert compare(TrainingRecord.from_fit(before), after, check.needed_allowance).worse == ()
    assert describe_regression(check) == "'cup' fell from 100 to 75 % (n=20, 10 points are allowed); 5 are now taken for 'mug'"
    assert all(word in advise_regression(check, 7) for word in ("'cup' and 'mug'", "`edgetl head activate 7`", "--allow-loss 0.25`"))


def test_one_near_duplicate_group_is_not_evidence_whatever_its_size():
    before = fit([(i, "cup", "cup", i // 10) for i in range(120)])
    after = fit([(i, "cup", "mug" if i < 10 else "cup", i // 10) for i in range(120)], "mug")
    check = compare(TrainingRecord.from_fit(before), after)
    assert check.classes["cup"].lost == 10
    assert (check.code, check.worse, check.maybe_worse) == ("same", (), ())


def test_two_more_misclassified_of_twelve_may_be_worse():
    before = fit([(i, "cup", "cup", i) for i in range(12)] + [(50 + i, "pot", "pot", 50 + i) for i in range(12)])
    after = fit([(i, "cup", "mug" if i < 2 else "cup", i) for i in range(12)] + [(50 + i, "pot", "pot", 50 + i) for i in range(12)])
    check = compare(TrainingRecord.from_fit(before), after)
    assert (check.code, check.worse, check.maybe_worse) == ("maybe-worse", (), ("cup",))
    assert (check.classes["cup"].missed, check.confused[0].taken_for) == (2, "mug")
    assert describe_regression(check) == "'cup' may be worse: 2 more of 12 misclassified, most as 'mug' (too few photos to be sure)"
    assert advise_regression(check, 3) == ""


def test_photos_that_look_like_a_new_class_are_a_sign_before_any_is_lost():
    before = fit([(i, "cup", "cup", i) for i in range(12)])
    after = fit([(i, "cup", "cup", i) for i in range(12)] + [(20, "mug", "mug", 20)])
    share = np.full((13, 2), -np.log(4 / 1.0))
    share[:, 0] = np.log(3 / 4)
    after = dataclasses.replace(after, head=dataclasses.replace(after.head, temperature=1.0), held=share)
    check = compare(TrainingRecord.from_fit(before), after)
    assert (check.code, check.maybe_worse) == ("maybe-worse", ("cup",))
    assert check.classes["cup"].drawn == ("mug", pytest.approx(0.25))
    assert describe_regression(check) == "'cup' may be worse: looks about 25 % like 'mug' (n=12, too few photos to be sure)"


def test_a_record_of_two_thousand_photos_added_class_by_class_is_small():
    rows = [(i, "abcdefghij"[i // 200], "abcdefghij"[i // 200 if i % 10 else 0], i) for i in range(2000)]
    assert len(json.dumps(to_json(TrainingRecord.from_fit(fit(rows))))) < 4000


def test_a_real_training_with_a_look_alike_class_is_worse():
    random = np.random.default_rng(0)
    cup, pot = (random.normal(centre, 1, (25, 16)) for centre in (np.eye(16)[0] * 6, np.eye(16)[1] * 6))
    learner = Learner(16)
    learner.add(range(50), np.concatenate([cup, pot]).astype(np.float32), ["cup"] * 25 + ["pot"] * 25)
    before = TrainingRecord.from_fit(learner.fit())
    learner.add(range(50, 75), random.normal(np.eye(16)[0] * 6, 1, (25, 16)).astype(np.float32), ["mug"] * 25)
    check = compare(before, learner.fit())
    assert check.worse == ("cup",)
    assert {pair.taken_for for pair in check.confused if pair.truth == "cup"} == {"mug"}
    learner.remove(range(50, 75))
    undone = compare(before, learner.fit())
    assert undone.worse == ()
    assert (undone.code, undone.classes["cup"].loss) == ("same", 0)
