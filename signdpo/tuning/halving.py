"""ASHA by epoch: trials that do worse than others did after as many epochs are stopped early (arXiv 1810.05934)."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from signdpo.tuning.scores import EPOCH, EPOCHS


class Halving(ASHAScheduler):
    """Ray's ASHA, which never stops a trial that has done its last epoch: that one is about to save its policy.

    Args:
        epochs: of the longest trial.
        grace_epochs: no trial is stopped before.
        keep_one_in: at each rung, this share of the trials goes on.
    """

    def __init__(self, *, epochs: int, grace_epochs: int, keep_one_in: int) -> None:
        super().__init__(
            time_attr=EPOCH,
            max_t=epochs,
            grace_period=min(grace_epochs, epochs),
            reduction_factor=keep_one_in,
            stop_last_trials=False,
        )

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        return str(TrialScheduler.CONTINUE if result[EPOCH] >= result[EPOCHS] else decision)
