"""What a trial tells the search while it trains; light, since Ray Train's controller imports it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ray.tune.integration.ray_train import TuneReportCallback

from signdpo.training.checkpoint import better

SCORE = "score"  # of a trial: its best so far, which is that of the policy it keeps
EPOCH = "epoch"  # finished ones, what rungs are counted in
EPOCHS = "epochs"  # that a trial has in all


def report(score: float | None, step: int, epoch_steps: Sequence[int]) -> dict[str, Any]:
    """A row for Ray Tune: the best dev score so far, the step, and how many epochs are finished of how many."""
    return {SCORE: score, "step": step, EPOCH: bisect_right(epoch_steps, step), EPOCHS: len(epoch_steps)}


class ReportScores(TuneReportCallback):
    """Sends the reports that carry a dev score to Ray Tune.

    Args:
        metric: the dev score that trials are compared by.
        epoch_steps: steps done at the end of each epoch.
        best: score of a checkpoint from before an interruption.
    """

    def __init__(self, metric: str, epoch_steps: Sequence[int], best: float | None) -> None:
        super().__init__()
        self.metric, self.best, self.epoch_steps = metric, best, list(epoch_steps)
        self.choose = min if better(metric) == "min" else max

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        row = metrics[0]
        if self.metric in row:
            value = float(row[self.metric])
            self.best = value if self.best is None else self.choose(self.best, value)
            super().after_report(run_context, [report(self.best, row["step"], self.epoch_steps)], checkpoint)
