"""What generators, training workers and Ray Train's controller count while they work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import ray.train
from ray.train import UserCallback

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

    def record_time(self, clips: int, seconds: float) -> None:
        """Count a batch of clips, and the time that it took to make their negatives."""
        self.clips.inc(clips)
        self.seconds.observe(seconds)

    def record_level(self, level: str, valid: np.ndarray, margins: np.ndarray, redraws: np.ndarray | None) -> None:
        """Count the negatives of a level.

        Args:
            level: name of the level.
            valid: `(batch,)` bool, whether each was accepted.
            margins: `(batch,)` reference margins, in nats.
            redraws: `(batch,)` times that each was drawn again; None for sentences.
        """
        label = {"level": level}
        self.generated.inc(len(valid), label)
        _count(self.accepted, int(valid.sum()), label)
        for margin in margins.tolist():
            self.margins.observe(max(margin, 0.0), label)
        if redraws is not None:
            _count(self.redrawn, int(redraws.sum()), label)


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
