"""A damaged store: forgetting is exact or an error, one bad row stops nobody, and what is whole can be checked, repaired and saved."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pictures import coloured
from raising import raises

from edgetl import Classifier, StoredClassifier
from edgetl.cli import main
from edgetl.errors import StoreCorrupt, StoreError, StoreLocked
from edgetl.store import Store, care

LABELS = ("red", "green", "blue")


@pytest.fixture
def path(classifier: Classifier, tmp_path: Path) -> Path:
    """A closed store with ten photos of each of three classes and a head."""
    classifier.add_many([(coloured(label, seed), label) for label in LABELS for seed in range(10)])
    classifier.train()
    classifier.close()
    return tmp_path / "parts.db"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[StoredClassifier]:
    with Classifier.open_store(path) as stored:
        yield stored


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return [row for statement in statements for row in db.execute(statement)]


def labels_in_table(path: Path) -> dict[str, int]:
    """Photos per class, from the rows alone."""
    return {str(label): int(str(count)) for label, count in sql(path, "SELECT label, COUNT(*) FROM sample NOT INDEXED GROUP BY +label")}


def pages_of(path: Path, name: str) -> list[int]:
    """Where the pages of an index or table begin, bytes; without SQLite's own list, from the root page on."""
    ((root, size),) = sql(path, f"SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = '{name}'")
    size, content, pages, waiting = int(str(size)), path.read_bytes(), [], [int(str(root))]
    while waiting:
        start = (waiting.pop() - 1) * size
        pages.append(start)
        if content[start] in (2, 5):  # an inner page of an index or table: a child in front of each cell, and the last one
            count = int.from_bytes(content[start + 3 : start + 5], "big")
            waiting.append(int.from_bytes(content[start + 8 : start + 12], "big"))
            for cell in range(count):
                at = start + int.from_bytes(content[start + 12 + 2 * cell : start + 14 + 2 * cell], "big")
                waiting.append(int.from_bytes(content[at : at + 4], "big"))
    return pages


def flip(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


@pytest.mark.parametrize("flips", [60, pytest.param(800, marks=pytest.mark.slow)])
def test_with_a_damaged_index_forget_is_exact_or_an_error(path: Path, tmp_path: Path, flips: int) -> None:
    pages = [page for name in ("sample_label", "sqlite_autoindex_sample_1") for page in pages_of(path, name)]
    chance, whole, errors = random.Random(0), path.read_bytes(), 0
    damaged = tmp_path / "damaged.db"
    for _ in range(flips):
        damaged.write_bytes(whole)
        flip(damaged, chance.choice(pages) + chance.randrange(4096), chance.randrange(8))
        try:
            with opened(damaged) as stored:
                report = stored.forget(label="green")
        except StoreError:
            errors += 1
            assert labels_in_table(damaged) == {"red": 10, "green": 10, "blue": 10}
            continue
        assert labels_in_table(damaged) == report.counts == {"red": 10, "blue": 10}
        assert (report.removed, report.traces) == ({"green": 10}, 0)
    assert errors > 0


def test_a_wrong_entry_in_the_index_is_an_error_until_it_is_repaired(path: Path) -> None:
    before = labels_in_table(path)
    (page,) = pages_of(path, "sample_label")
    content = path.read_bytes()
    flip(path, content.index(b"green", page), 1)
    for label in LABELS:
        with opened(path) as stored, raises(StoreCorrupt, part="index"):
            stored.forget(label=label)
    assert labels_in_table(path) == before
    assert "index" in care.verify(path).damaged
    assert care.repair(path).damaged == ()
    with opened(path) as stored:
        assert stored.forget(label="green").counts == {"red": 10, "blue": 10}


def test_one_damaged_row_stops_neither_training_nor_forgetting_of_other_classes(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sql(path, "UPDATE sample SET embedding = zeroblob(length(embedding)) WHERE id = 15")
    with opened(path) as stored:
        report = stored.train()
        assert sum(row.photos for row in report.assessment.per_class.values()) == 29
        assert stored.explain_sample(1).label == "red"
        stored.diagnose()
        stored.review()
        assert stored.forget(label="blue").counts == {"red": 10, "green": 10}
        with raises(StoreCorrupt, part="sample", row=15):
            stored.store.label(15)
        assert stored.forget(label="green").removed == {"green": 10}
    assert sum("sample 15" in record.message for record in caplog.records) == 1
    assert care.verify(path).damaged == ()


@pytest.mark.parametrize("flips", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_found_or_harmless_and_salvage_keeps_the_rest(path: Path, tmp_path: Path, flips: int) -> None:
    whole, chance = path.read_bytes(), random.Random(1)
    damaged, saved = tmp_path / "damaged.db", tmp_path / "saved.db"
    for _ in range(flips):
        damaged.write_bytes(whole)
        flip(damaged, chance.randrange(4096, len(whole)), chance.randrange(8))
        saved.unlink(missing_ok=True)
        health = care.verify(damaged)
        try:
            result = care.salvage(damaged, saved)
        except StoreCorrupt:  # the model's own row, or the list of tables
            continue
        assert result.samples >= 30 - 4  # a page holds few rows, so one bit takes few of them
        assert health.damaged or result.samples == 30
        assert care.verify(saved).damaged == ()
        with opened(saved) as stored:
            stored.train()
            assert set(stored.counts) == set(LABELS)


def test_salvage_keeps_numbers_heads_and_background(path: Path, tmp_path: Path) -> None:
    sql(path, "UPDATE sample SET label = 'green' WHERE id = 3", "DELETE FROM preview WHERE id = 4")
    result = care.salvage(path, tmp_path / "saved.db")
    assert (result.samples, result.lost, result.heads, result.active) == (29, (3,), 1, 1)
    with opened(tmp_path / "saved.db") as stored, opened(path) as before:
        assert stored.store.ids().tolist() == [number for number in range(1, 31) if number != 3]
        assert stored.heads() == before.heads()
        assert stored.store.preview(4) == b""
        assert stored.store.preview(5) == before.store.preview(5) != b""
        np.testing.assert_array_equal(stored.store.background(), before.store.background())
        assert [event.what for event in stored.events()] == ["salvage"]
    with raises(StoreError, "target-exists"):
        care.salvage(path, tmp_path / "saved.db")


def test_a_backup_of_a_store_in_use_is_whole(path: Path, tmp_path: Path, bundle: Path) -> None:
    with Classifier.open(bundle, path) as writer:
        writer.add(coloured("red", 50), "red")  # still in the journal
        health = care.back_up(path, tmp_path / "copy.db")
    assert (health.samples, health.damaged) == (31, ())
    with opened(tmp_path / "copy.db") as stored:
        assert stored.counts["red"] == 11
    with raises(StoreError, "target-exists"):
        care.back_up(path, tmp_path / "copy.db")
    sql(path, "UPDATE sample SET label = 'green' WHERE id = 3")
    with raises(StoreCorrupt, damaged=["sample 3"]):
        care.back_up(path, tmp_path / "damaged.db")


def test_the_commands_check_repair_save_and_copy(path: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(main, ["store", *words, "--json"])
        return done.exit_code, json.loads(done.stdout)

    assert run("verify", "-s", str(path)) == (0, {"path": str(path), "samples": 30, "heads": 1, "damaged": []})
    assert run("backup", "-s", str(path), "-o", str(tmp_path / "copy.db"))[0] == 0
    sql(path, "UPDATE sample SET label = 'green' WHERE id = 3")
    assert run("verify", "-s", str(path))[1]["damaged"] == ["sample 3"]
    assert run("repair", "-s", str(path))[0] == 1
    assert run("salvage", "-s", str(path), "-o", str(tmp_path / "saved.db"))[1]["lost"] == [3]
    with opened(path):
        code, answer = run("repair", "-s", str(path))
    assert (code, answer["error"]["code"]) == (1, StoreLocked.code)  # type: ignore[index]
    for verb in ("verify", "repair"):
        assert run(verb, "-s", str(tmp_path / "missing.db"))[0] == 1


def test_a_store_and_a_head_file_are_for_their_owner(path: Path, tmp_path: Path) -> None:
    with opened(path) as stored:
        stored.export_head(tmp_path / "head.safetensors")
        stored.relabel(1, "green")
        for name in ("parts.db", "parts.db-wal", "parts.db-shm", "parts.db.lock", "head.safetensors"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


@pytest.mark.parametrize("change", ["deleted", "renamed", "replaced"])
def test_a_store_that_is_gone_while_it_is_open_takes_no_photo(classifier: Classifier, tmp_path: Path, change: str) -> None:
    classifier.add(coloured("red", 0), "red")
    path = tmp_path / "parts.db"
    shutil.copyfile(path, tmp_path / "copy.db")
    actions: dict[str, Callable[[], object]] = {
        "deleted": path.unlink,
        "renamed": lambda: path.rename(tmp_path / "elsewhere.db"),
        "replaced": lambda: (tmp_path / "copy.db").replace(path),
    }
    actions[change]()
    with raises(StoreError, "store-replaced"):
        classifier.add(coloured("red", 1), "red")
    with raises(StoreError, "store-replaced"):
        classifier.train()


def test_a_reader_that_hangs_does_not_delay_the_writer(classifier: Classifier, tmp_path: Path) -> None:
    classifier.add(coloured("red", 0), "red")
    with classifier.store._connection.reading() as db:
        pass
    db.execute("PRAGMA busy_timeout=3600000")  # who waits for the reader never comes back
    with Store.open(tmp_path / "parts.db", None, read_only=True) as reader, reader.snapshot():
        reader.counts()
        for number in range(12):
            with classifier.store.transaction("filling the journal") as _:
                classifier.store.keep_derived(f"filler {number}", os.urandom(2**20))
        classifier.add(coloured("red", 1), "red")
        assert (tmp_path / "parts.db-wal").stat().st_size > 4 * 2**20
        assert reader.counts() == {"red": 1}
    classifier.add(coloured("red", 2), "red")
    assert (tmp_path / "parts.db-wal").stat().st_size == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_another_user_reads_a_store_without_write_permission(path: Path, bundle: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders let nobody else in
    try:
        folder.chmod(0o755)
        store = folder / "parts.db"
        shutil.copyfile(path, store)
        store.chmod(0o644)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.setgid(65534)
            os.setuid(65534)
            with contextlib.suppress(BaseException), Store.open(store, None, read_only=True) as stored:
                os.write(writer, json.dumps(stored.counts()).encode())
                os.utime(store)  # not allowed
            os._exit(0)
        os.waitpid(child, 0)
        assert json.loads(os.read(reader, 1000)) == dict.fromkeys(LABELS, 10)
        os.close(reader)
        os.close(writer)
        assert [file.name for file in folder.iterdir()] == ["parts.db"]
    finally:
        shutil.rmtree(folder)


def test_an_exported_head_is_on_the_disk_before_it_has_its_name(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted(handle: int) -> None:
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    with opened(path) as stored:
        monkeypatch.setattr(os, "fsync", noted)
        monkeypatch.setattr(Path, "replace", renamed)
        stored.export_head(tmp_path / "head.safetensors")
    assert order == ["head.safetensors.new", "rename", tmp_path.name]
