"""Head work runs on one BLAS thread and gives the others back."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from edgetl.heads import Learner
from edgetl.heads import learner as learner_module
from edgetl.heads.linalg.threads import _openblas, single_thread


def count() -> int:
    """Threads of the BLAS that numpy itself uses, as another library reads them."""
    mine = [info["num_threads"] for info in ThreadpoolController().info() if "numpy" in info["filepath"]]
    if not mine or _openblas() is None:
        pytest.skip("numpy's BLAS is not a bundled OpenBLAS here")
    return int(mine[0])


def test_the_block_has_one_thread_and_the_count_comes_back() -> None:
    with threadpool_limits(3):
        before = count()
        with single_thread():
            assert count() == 1
            with single_thread():
                assert count() == 1
            assert count() == 1
        assert count() == before
        with pytest.raises(ZeroDivisionError), single_thread():
            raise ZeroDivisionError
        assert count() == before


def test_two_trainings_at_once_end_with_the_count_they_began_with() -> None:
    with threadpool_limits(3):
        before, inside, leave = count(), threading.Event(), threading.Event()

        def other() -> None:
            with single_thread():
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        with single_thread():
            thread.start()
            assert inside.wait(10)
        assert count() == 1
        leave.set()
        thread.join()
        assert count() == before


def test_a_fit_runs_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, choose = [], learner_module.choose
    monkeypatch.setattr(learner_module, "choose", lambda *arguments: seen.append(count()) or choose(*arguments))
    with threadpool_limits(3):
        learner = Learner(4)
        learner.add(np.arange(8), np.random.default_rng(0).standard_normal((8, 4)), ["a", "b"] * 4)
        learner.fit()
    assert seen == [1]
