"""The default runtime: measured on a clock of the test's own, kept per machine and bundle, and never required."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pictures import encoded, picture

from edgetl import Bundle
from edgetl.embedding.choice import VariantChoice, known_choice
from edgetl.embedding.embedder import Embedder
from edgetl.errors import SelfTestFailed
from edgetl.machine import libraries
from edgetl.runtimes import default_threads, fake, fastest, planted
from edgetl.types import Embeddings, Pixels

LATENCIES = {"fake-a": 12.5, "fake-b": 7.9, "fake-c": 8.3}


class Clock:
    """A clock that moves a microsecond with every reading."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1000
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.delenv("EDGETL_RUNTIME", raising=False)
    fake_clock = Clock()
    monkeypatch.setattr(fastest, "clock", fake_clock)
    monkeypatch.setattr(planted, "perf_counter_ns", fake_clock)
    monkeypatch.setattr(fake, "perf_counter_ns", fake_clock)
    return fake_clock


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(path: Path, **milliseconds: float) -> Bundle:
    """A bundle of fake variants, each of which takes as long as it is told."""
    latencies = {name.replace("_", "-"): {"shape": "constant", "ms": taken} for name, taken in milliseconds.items()}
    return fake.write_bundle(str(path), encoded(picture(seed=9)), latencies=latencies)


@pytest.fixture
def three(tmp_path: Path) -> Bundle:
    return written(tmp_path / "three.edgetl", **{name.replace("-", "_"): taken for name, taken in LATENCIES.items()})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many candidates each measurement had."""
    counts: list[int] = []
    real = fastest.compare

    def compare(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
        counts.append(len(candidates))
        return real(candidates)

    monkeypatch.setattr(fastest, "compare", compare)
    return counts


def test_the_fastest_variant_is_measured_once_and_is_the_choice_from_then_on(three: Bundle, cache: Path, measured: list[int]) -> None:
    first, second = Embedder.open(three, threads=1), Embedder.open(three, threads=1)
    assert [first.variant.name, second.variant.name] == ["fake-b", "fake-b"]
    assert (measured, len(list(cache.iterdir()))) == ([3], 1)
    times = pytest.approx(LATENCIES, abs=0.05)
    assert (first.choice.code, first.choice.milliseconds, first.choice.not_saved) == ("fastest-measured", times, "")
    assert (second.choice.code, second.choice.milliseconds) == ("fastest-known", times)
    assert known_choice(three) is None
    Embedder.open(three, threads=default_threads())
    known = known_choice(three)
    assert known is not None
    assert (known.variant, known.code) == ("fake-b", "fastest-known")
    assert first.fingerprint == three.fingerprint(three.variant("fake-b"))


def test_a_choice_reads_in_one_line() -> None:
    measured = VariantChoice("b", "fastest-measured", {"a": 12.51, "b": 7.9, "c": 8.3}, "HOME is not set")
    assert str(measured) == "b: fastest here, 7.9 ms (c 8.3, a 12.5; measured now, not saved: HOME is not set)"
    assert str(VariantChoice("a", "store")) == "a: the store was made with it"


def test_a_tie_goes_to_the_first_in_the_order_of_preference(tmp_path: Path, cache: Path) -> None:
    assert Embedder.open(written(tmp_path / "tie.edgetl", fake_a=8.2, fake_b=8.0), threads=1).variant.name == "fake-a"
    assert Embedder.open(written(tmp_path / "no-tie.edgetl", fake_a=8.6, fake_b=8.0), threads=1).variant.name == "fake-b"


def test_candidates_take_turns_and_a_clear_loser_is_dropped_early(clock: Clock) -> None:
    order: list[str] = []

    def taking(name: str, milliseconds: float) -> Callable[[], None]:
        def infer() -> None:
            order.append(name)
            clock.now += int(1e6 * milliseconds)

        return infer

    times = fastest.compare({"a": taking("a", 10), "b": taking("b", 11), "c": taking("c", 30)})
    assert times == pytest.approx({"a": 10, "b": 11, "c": 30}, abs=0.01)
    assert [order.count(name) - 3 for name in "abc"] == [16, 16, 8]
    assert order[9:15] == ["a", "b", "c", "c", "b", "a"]


def test_one_slow_answer_of_the_fastest_changes_nothing(clock: Clock) -> None:
    taken = {"a": iter([10.0] * 19), "b": iter([8.0] * 5 + [500.0] + [8.0] * 13)}

    def infer(name: str) -> None:
        clock.now += int(1e6 * next(taken[name]))

    assert fastest.first(fastest.compare({name: lambda name=name: infer(name) for name in taken})) == "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"key": {}, "milliseconds": {}}', b"KEPT[:-40]", b"NAN", b"ONE", b"STRANGER"],
)
def test_a_damaged_result_is_measured_again_and_replaced(three: Bundle, cache: Path, measured: list[int], content: bytes) -> None:
    Embedder.open(three, threads=1)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    kept = json.loads(whole)
    damaged = {
        b"KEPT[:-40]": whole[:-40],
        b"NAN": json.dumps({**kept, "milliseconds": dict.fromkeys(kept["milliseconds"], float("nan"))}).encode(),
        b"ONE": json.dumps({**kept, "milliseconds": {"fake-a": 1.0}}).encode(),
        b"STRANGER": json.dumps({**kept, "milliseconds": {**kept["milliseconds"], "fake-x": 1.0}}).encode(),
    }
    file.write_bytes(damaged.get(content, content))
    assert Embedder.open(three, threads=1).variant.name == "fake-b"
    assert measured == [3, 3]
    assert json.loads(file.read_bytes())["key"] == kept["key"]
    assert Embedder.open(three, threads=1).variant.name == "fake-b"
    assert measured == [3, 3]


def test_another_library_version_machine_thread_count_or_bundle_is_measured_again(
    three: Bundle, tmp_path: Path, cache: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Embedder.open(three, threads=1)
    Embedder.open(three, threads=2)
    Embedder.open(written(tmp_path / "other.edgetl", fake_a=5.0, fake_b=9.0), threads=1)
    assert measured == [3, 3, 2]
    with monkeypatch.context() as patched:
        patched.setattr(libraries, "installed", lambda: {"onnxruntime": "9.9"})
        Embedder.open(three, threads=1)
    with monkeypatch.context() as patched:
        patched.setattr("edgetl.machine.processor.name", lambda: "another processor")
        Embedder.open(three, threads=1)
    assert measured == [3, 3, 2, 3, 3]
    Embedder.open(three, threads=1)
    assert len(measured) == 5
    assert len(list(cache.iterdir())) == 5


@pytest.mark.parametrize("place", ["", "file/below", "/proc/none"])
def test_without_a_cache_folder_it_is_measured_every_time(
    three: Bundle, tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EDGETL_CACHE", str(tmp_path / place) if place.startswith("file") else place)
    choices = [Embedder.open(three, threads=1).choice for _ in range(2)]
    assert measured == [3, 3]
    assert all((choice.variant, choice.code) == ("fake-b", "fastest-measured") and choice.not_saved for choice in choices)


def test_a_store_keeps_its_variant_and_nothing_is_measured(three: Bundle, cache: Path, measured: list[int]) -> None:
    for name in LATENCIES:
        store = three.fingerprint(three.variant(name))
        assert Embedder.open(three, threads=1, store=store).variant.name == name
    assert Embedder.open(three, threads=1, variant="fake-a").variant.name == "fake-a"
    assert Embedder.open(three, threads=1, runtime="fake").variant.name == "fake-a"
    assert measured == []
    assert not cache.exists()


class WrongWhereQuick(fake.Model):
    """The fastest variant computes something else here."""

    def embed(self, batch: Pixels) -> Embeddings:
        embeddings = super().embed(batch)
        assert self._planted is not None
        return embeddings[:, ::-1].copy() if self._planted._nanoseconds < 8e6 else embeddings


def test_a_candidate_that_fails_the_self_test_is_skipped_with_its_error(
    three: Bundle, cache: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fake, "Model", WrongWhereQuick)
    assert Embedder.open(three, threads=1).variant.name == "fake-c"
    assert measured == [2]
    (skipped,) = [record.args[0] for record in caplog.records if record.levelno == logging.WARNING]  # type: ignore[index]  # a tuple
    assert (skipped.variant, skipped.error.code) == ("fake-b", "self-test-embedding-differs")


class Wrong(fake.Model):
    """Every variant computes something else here."""

    def embed(self, batch: Pixels) -> Embeddings:
        return super().embed(batch)[:, ::-1].copy()


def test_if_every_candidate_fails_the_self_test_that_is_the_error(three: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(Wrong, "close", lambda self: closed.append(self), raising=False)
    monkeypatch.setattr(fake, "Model", Wrong)
    with pytest.raises(SelfTestFailed):
        Embedder.open(three, threads=1)
    assert len(closed) == 3
    assert not cache.exists()


def test_the_losers_are_closed(three: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[fake.Model] = []
    monkeypatch.setattr(fake.Model, "close", lambda self: closed.append(self))
    embedder = Embedder.open(three, threads=1)
    assert len(closed) == 2
    assert embedder.runtime not in closed


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_CACHE_HOME": "/cache", "HOME": "/home/ada"}, "/cache/edgetl"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/ada"}, "/home/ada/.cache/edgetl"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/edgetl"),
        ({"EDGETL_CACHE": "own", "XDG_CACHE_HOME": "/cache", "HOME": "/home/ada"}, "own"),
        ({"EDGETL_CACHE": "", "XDG_CACHE_HOME": "/cache", "HOME": "/home/ada"}, None),
        ({}, None),
    ],
)
def test_results_lie_in_the_users_cache_folder(variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDGETL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder = fastest.folder()
    assert (None if folder is None else str(folder)) == expected


def test_without_home_and_with_the_c_locale_a_new_store_opens(three: Bundle, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "EDGETL_CACHE")}
    code = "import sys; from edgetl import Classifier; print(Classifier.open(*sys.argv[1:], threads=1).embedder.choice.not_saved)"
    command = [sys.executable, "-c", code, str(three.path), str(tmp_path / "new.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**environment, "LANG": "C", "LC_ALL": "C"})
    assert done.stdout == "HOME is not set\n"
