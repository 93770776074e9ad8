"""What generators, training workers and Ray Train's controller count while they work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import ray.train
from ray.train import UserCallback

from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.monitoring.metrics import (
    CLIPS_GENERATED,
    GENERATION_SECONDS,
    NEGATIVES_ACCEPTED,
    NEGATIVES_GENERATED,
    NEGATIVES_REDRAWN,
    REFERENCE_MARGIN,
    RESTARTS,
    WAIT_SECONDS,
)


class GenerationRecorder:
    """Counts what one generator makes.

    Args:
        run: name of the run.
    """

    def __init__(self, run: str) -> None:
        self.clips, self.seconds = CLIPS_GENERATED.create(run=run), GENERATION_SECONDS.create(run=run)
        self.generated, self.accepted = NEGATIVES_GENERATED.create(run=run), NEGATIVES_ACCEPTED.create(run=run)
        self.redrawn, self.margins = NEGATIVES_REDRAWN.create(run=run), REFERENCE_MARGIN.create(run=run)

    def record(self, rows: Mapping[str, Any], seconds: float) -> None:
        """Count a batch.

        Args:
            rows: preference rows as columns: `valid` and `reference_margins`, five a row, `redraws`, four a row.
            seconds: that it took to make them.
        """
        valid, margins = np.stack(rows["valid"]), np.stack(rows["reference_margins"])  # (batch, 5)
        redraws = np.stack(rows["redraws"])  # (batch, 4)
        self.clips.inc(len(valid))
        self.seconds.observe(seconds)
        for place, level in enumerate(LEVELS):
            label = {"level": level}
            self.generated.inc(len(valid), label)
            _count(self.accepted, int(valid[:, place].sum()), label)
            for margin in margins[:, place].tolist():
                self.margins.observe(max(margin, 0.0), label)
        for place, level in enumerate(SKELETON_LEVELS):
            _count(self.redrawn, int(redraws[:, place].sum()), {"level": level})


def _count(counter: Any, amount: int, label: dict[str, str]) -> None:
    """Ray's counters refuse to grow by nothing."""
    if amount > 0:
        counter.inc(amount, label)


def wait_counter(labels: Mapping[str, str]) -> Callable[[float], None]:
    """Counts the seconds that this training worker waits.

    Args:
        labels: `run` and `stage`.
    """
    counter = WAIT_SECONDS.create(**labels, rank=str(ray.train.get_context().get_world_rank()))

    def count(seconds: float) -> None:
        if seconds > 0:
            counter.inc(seconds)

    return count


class CountRestarts(UserCallback):
    """Counts in Ray Train's controller how often training workers failed.

    Args:
        labels: `run` and `stage`.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = dict(labels)

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
        RESTARTS.create(**self.labels).inc()
