"""Before and after a training, against counting by hand."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetl.diagnostics.regression import Change, Record, compare
from edgetl.heads import Fit, Learner
from edgetl.types import to_json

LEARNER = Learner(2)
LEARNER.add([1, 2, 3, 4], np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], ["a", "a", "b", "b"])
FIT = LEARNER.fit("ncm")


def fit(rows: list[tuple[int, str, str, int]], labels: str = "") -> Fit:
    """A fit with these (id, truth, predicted, burst) and nothing else of interest."""
    known = tuple(sorted({*labels, *(label for row in rows for label in row[1:3])}))
    ids, truth, said, bursts = zip(*rows) if rows else ((), (), (), ())
    head = dataclasses.replace(FIT.head, labels=known)
    ids, bursts = np.array(ids, np.int64), np.array(bursts, np.int64)
    held = np.full((len(ids), len(known)), -np.inf)
    held[np.arange(len(ids)), [known.index(label) for label in said]] = 0.0
    return dataclasses.replace(FIT, head=head, ids=ids, truth=truth, predicted=said, bursts=bursts, held=held)


def doubtful(change: Change, label: str, allow: float, drawn: float) -> bool:
    """The rule of docs/evidence/regression-check.md, written once more."""
    one = change.classes[label]
    net = one.before.hits - one.after.hits
    some = max(0.1, allow)
    return (net >= 2 and net / one.before.n > allow / 2 + 1e-9) or (net >= 1 and drawn > some) or (net >= 0 and drawn > 2 * some)


labels = st.sampled_from("abcd")
photos = st.dictionaries(st.integers(1, 60), st.tuples(labels, labels, st.integers(0, 12)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(photos, photos, st.floats(0, 1))
def test_a_change_is_what_counting_photo_by_photo_and_burst_by_burst_gives(then, now, allow):
    last = max(then, default=-1)
    # A store gives every photo a new number, so one with a number from before either was there before or does not exist.
    now = {sample: row for sample, row in now.items() if sample in then or sample > last}
    before = fit([(sample, *row) for sample, row in then.items()])
    after = fit([(sample, *row) for sample, row in now.items()])
    record = Record.from_json(json.loads(json.dumps(to_json(Record.of(before)))))
    assert record == Record.of(before)
    change = compare(record, after, allow)

    same = [sample for sample in now if sample in then and then[sample][0] == now[sample][0]]
    assert change.relabelled == sum(sample in then and then[sample][0] != now[sample][0] for sample in now)
    assert change.forgotten == sum(sample not in now for sample in then)
    assert change.new == tuple(sorted(set(after.head.labels) - set(before.head.labels)))
    assert change.vanished == tuple(sorted(set(before.head.labels) - set(after.head.labels)))
    assert set(change.classes) == {now[sample][0] for sample in same}
    for label, one in change.classes.items():
        own = [sample for sample in same if now[sample][0] == label]
        bursts = {now[sample][2] for sample in own}
        for share, answers in ((one.before, then), (one.after, now)):
            right = 0
            for burst in bursts:
                hits = [answers[sample][1] == label for sample in own if now[sample][2] == burst]
                right += sum(hits) > len(hits) / 2
            assert (share.hits, share.n) == (right, len(bursts))
        assert one.photos == len(own)
        assert one.lost == sum(then[sample][1] == label != now[sample][1] for sample in own)
        assert one.won == sum(then[sample][1] != label == now[sample][1] for sample in own)
        net = one.before.hits - one.after.hits
        worse = net >= 3 and net / len(bursts) > allow + 1e-9
        new = [now[sample][1] for sample in own if now[sample][1] in change.new]
        assert one.drawn == (None if not change.new else (one.drawn[0], pytest.approx(len(new) / len(own))))
        assert not new or new.count(one.drawn[0]) == max(map(new.count, new))
        assert (label in change.harmful) == worse
        assert (label in change.doubtful) == (not worse and doubtful(change, label, allow, len(new) / len(own)))
    was, are = (Counter((answers[sample][0], answers[sample][1]) for sample in same) for answers in (then, now))
    grown = {pair: count for pair, count in are.items() if pair[0] != pair[1] and count > was[pair]}
    assert {(pair.truth, pair.taken_for): pair.now for pair in change.confused} == grown
    json.dumps(to_json(change), allow_nan=False)
    states = ("worse" * bool(change.harmful), "maybe-worse" * bool(change.doubtful), "same" * bool(change.classes), "nothing")
    assert change.code == next(filter(None, states))
    assert bool(change.advice(3)) == bool(change.harmful)
    assert change.reason


def test_a_class_that_loses_too_much_is_named_with_its_numbers_its_rival_and_the_way_out():
    before = fit([(i, "cup", "cup", i) for i in range(20)] + [(100 + i, "pot", "pot", 100 + i) for i in range(5)])
    after = fit(
        [(i, "cup", "mug" if i < 5 else "cup", i) for i in range(20)]
        + [(100 + i, "pot", "pot", 100 + i) for i in range(5)]
        + [(200 + i, "mug", "mug", 200 + i) for i in range(5)]
    )
    change = compare(Record.of(before), after)
    assert change.harmful == ("cup",)
    assert change.new == ("mug",)
    assert change.reason == "'cup' fell from 100 to 75 % (n=20; 25 points, 10 are allowed); 5 are now called 'mug'"
    advice = change.advice(7)
    assert "`edgetl head activate 7`" in advice
    assert "'cup' and 'mug'" in advice
    allowed = float(advice.split("--allow-loss ")[1].split("`")[0])
    assert compare(Record.of(before), after, allowed).harmful == ()


def test_one_group_of_near_duplicates_is_not_evidence_however_many_frames_it_has():
    before = fit([(i, "cup", "cup", i // 10) for i in range(120)])
    after = fit([(i, "cup", "mug" if i < 10 else "cup", i // 10) for i in range(120)], "mug")
    change = compare(Record.of(before), after)
    assert change.classes["cup"].lost == 10
    assert (change.code, change.harmful, change.doubtful) == ("same", (), ())


def test_two_more_missed_of_twelve_may_be_worse_and_the_head_is_used():
    before = fit([(i, "cup", "cup", i) for i in range(12)] + [(50 + i, "pot", "pot", 50 + i) for i in range(12)])
    after = fit([(i, "cup", "mug" if i < 2 else "cup", i) for i in range(12)] + [(50 + i, "pot", "pot", 50 + i) for i in range(12)])
    change = compare(Record.of(before), after)
    assert (change.code, change.harmful, change.doubtful) == ("maybe-worse", (), ("cup",))
    assert change.reason == "'cup' may be worse now: 2 more of 12 missed, most of them called 'mug'; too few to be sure"
    assert change.advice(3) == ""


def test_photos_that_look_like_a_new_class_are_a_sign_before_any_is_missed():
    before = fit([(i, "cup", "cup", i) for i in range(12)])
    after = fit([(i, "cup", "cup", i) for i in range(12)] + [(20, "mug", "mug", 20)])
    share = np.full((13, 2), -np.log(4 / 1.0))
    share[:, 0] = np.log(3 / 4)
    after = dataclasses.replace(after, head=dataclasses.replace(after.head, temperature=1.0), held=share)
    change = compare(Record.of(before), after)
    assert (change.code, change.doubtful) == ("maybe-worse", ("cup",))
    assert change.classes["cup"].drawn == ("mug", pytest.approx(0.25))
    assert "about 25 % of it looks like 'mug'" in change.reason


def test_a_record_of_two_thousand_photos_taught_class_by_class_is_small():
    rows = [(i, "abcdefghij"[i // 200], "abcdefghij"[i // 200 if i % 10 else 0], i) for i in range(2000)]
    assert len(json.dumps(to_json(Record.of(fit(rows))))) < 4000


def test_a_real_training_with_a_look_alike_class_is_held_back():
    random = np.random.default_rng(0)
    cup, pot = (random.normal(centre, 1, (25, 16)) for centre in (np.eye(16)[0] * 6, np.eye(16)[1] * 6))
    learner = Learner(16)
    learner.add(range(50), np.concatenate([cup, pot]).astype(np.float32), ["cup"] * 25 + ["pot"] * 25)
    before = Record.of(learner.fit())
    learner.add(range(50, 75), random.normal(np.eye(16)[0] * 6, 1, (25, 16)).astype(np.float32), ["mug"] * 25)
    change = compare(before, learner.fit())
    assert change.harmful == ("cup",)
    assert {pair.taken_for for pair in change.confused if pair.truth == "cup"} == {"mug"}
    learner.remove(range(50, 75))
    undone = compare(before, learner.fit())
    assert undone.harmful == ()
    assert undone.reason.startswith("no old class lost accuracy")
