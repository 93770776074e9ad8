"""What a person reads while trials run: a line when one starts and ends, and scores now and then."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console

from signdpo.monitoring.progress import LOG_SECONDS
from signdpo.training.checkpoint import better
from signdpo.tuning.results import SCORE_NAMES, describe_settings, last_line
from signdpo.tuning.scores import EPOCH, EPOCHS, SCORE


class TrialLogger(Callback):
    """Prints what happens to trials.

    Args:
        console: where to.
        metric: the dev score of the search.
        total: trials in all.
    """

    def __init__(self, console: Console, metric: str, total: int) -> None:
        self.console, self.metric, self.total = console, metric, total
        self.choose = min if better(metric) == "min" else max
        self.best: float | None = None
        self.spoke = 0.0

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = 1 + [other.trial_id for other in trials].index(trial.trial_id)
        self._say(f"trial {trial.trial_id} ({number} of {self.total})  {describe_settings(trial.config)}")

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A score, if it is the best of the search so far or nothing was said for a while."""
        score = result[SCORE]
        best = score if self.best is None else self.choose(self.best, score)
        improved, self.best = best != self.best, best
        if improved or time.monotonic() - self.spoke > LOG_SECONDS:
            self._say(f"trial {trial.trial_id}  {self._standing(result)}")

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        last = trial.last_result
        end = "finished" if last[EPOCH] >= last[EPOCHS] else "stopped by the scheduler"
        self._say(f"trial {trial.trial_id}  {end}: {self._standing(last)}; {self._done(trials, trial)}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._say(f"trial {trial.trial_id}  failed: {last_line(trial.get_error())}; {self._done(trials, trial)}")

    def _standing(self, report: dict[str, Any]) -> str:
        return f"{SCORE_NAMES[self.metric]} {report[SCORE]:.2f} after epoch {report[EPOCH]} of {report[EPOCHS]}"

    def _done(self, trials: list[Trial], ended: Trial) -> str:
        done = 1 + sum(trial.is_finished() for trial in trials if trial is not ended)
        best = "" if self.best is None else f", best {self.best:.2f}"
        return f"{done} of {self.total} trials done{best}"

    def _say(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.console.print(f"  {line}", markup=False, soft_wrap=True)
