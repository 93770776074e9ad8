"""The metrics of a training: each step once, on disk while it goes, told again where it is done again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from signdpo.training.step_metrics import StepFollower, StepMetrics


def rows(loss: float, *steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "loss": loss} for step in steps]


def test_steps_that_are_done_again_are_replaced(tmp_path: Path) -> None:
    metrics = StepMetrics(str(tmp_path))
    metrics.write(1, rows(1.0, 1, 2, 3))
    metrics.write(4, rows(2.0, 4, 5))  # whose checkpoint was lost
    assert metrics.read(last=3) == rows(1.0, 1, 2, 3)
    metrics.write(4, rows(3.0, 4, 5))
    assert metrics.read() == [*rows(1.0, 1, 2, 3), *rows(3.0, 4, 5)]
    assert metrics.read(after=4) == rows(3.0, 5)
    assert metrics.last_step() == 5


def test_steps_after_the_checkpoint_that_training_goes_on_from_are_forgotten(tmp_path: Path) -> None:
    metrics = StepMetrics(str(tmp_path))
    for first in (1, 4, 7):
        metrics.write(first, rows(1.0, first, first + 1, first + 2))
    metrics.forget(after=3)  # the checkpoints of steps 6 and 9 are damaged
    metrics.write(4, rows(2.0, 4, 5, 6, 7, 8))  # and the next comes later than theirs
    assert metrics.read() == [*rows(1.0, 1, 2, 3), *rows(2.0, 4, 5, 6, 7, 8)]


def test_the_driver_is_told_of_each_step_and_again_of_those_that_are_done_again(tmp_path: Path) -> None:
    metrics, seen = StepMetrics(str(tmp_path)), []
    metrics.write(1, rows(1.0, 1, 2))  # by an earlier driver, up to the checkpoint of step 2
    follower = StepFollower(metrics, start=2, on_row=seen.append, warn=pytest.fail)
    follower.poll = 0.02
    with follower:
        metrics.write(3, rows(2.0, 3, 4))
        wait_for(lambda: len(seen) == 2)
        metrics.write(3, rows(2.0, 3, 4, 5))
        wait_for(lambda: len(seen) == 3)
        metrics.forget(after=2)  # the workers died, and went back to the checkpoint of step 2
        wait_for(lambda: follower.told == 2)
        metrics.write(3, rows(3.0, 3, 4, 5, 6))
    assert seen == [*rows(2.0, 3, 4, 5), *rows(3.0, 3, 4, 5, 6)]


def test_storage_that_refuses_for_a_while_is_told_of_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, told, refusing = StepMetrics(str(tmp_path)), list[str](), threading.Event()
    metrics.write(1, rows(1.0, 1))
    read = metrics.read

    def sometimes(**options: Any) -> list[dict[str, Any]]:
        if refusing.is_set():
            return read(**options)
        raise OSError("not now")

    monkeypatch.setattr(metrics, "read", sometimes)
    seen: list[dict[str, Any]] = []
    follower = StepFollower(metrics, start=0, on_row=seen.append, warn=told.append)
    follower.poll = 0.02
    with follower:
        wait_for(lambda: bool(told))
        refusing.set()
    assert seen == rows(1.0, 1)
    assert "could not be read (not now)" in told[0]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
