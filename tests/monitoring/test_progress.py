"""The metrics of a run: each step once, and on disk while it goes."""

import time
from pathlib import Path
from typing import Any

import pytest

from signdpo.monitoring import progress
from signdpo.monitoring.progress import TrainingLog, read_metrics

pytestmark = pytest.mark.usefixtures("ray_cluster")


def rows(loss: float, *steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "loss": loss} for step in steps]


def test_metrics_are_on_disk_before_the_end_and_each_step_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.2)
    uri, seen = str(tmp_path / "metrics.jsonl"), []
    log = TrainingLog(uri, rows=rows(1.0, 1, 2), on_row=seen.append, warn=pytest.fail)
    report = log.callbacks()[0].after_report
    with log:
        for row in rows(2.0, 3, 4, 5):
            report(None, [row], None)
        deadline = time.monotonic() + 20
        while len(read_metrics(uri)) < 5:  # all that a killed driver leaves behind
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for row in rows(3.0, 4, 5, 6):  # the workers went back to step 3
            report(None, [row], None)
        deadline = time.monotonic() + 20
        while len(seen) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        log.replace(rows(4.0, 6))
    assert read_metrics(uri) == [*rows(1.0, 1, 2), *rows(2.0, 3), *rows(3.0, 4, 5), *rows(4.0, 6)]
