"""Turns: no more trials train at a time than the cluster holds.

Ray Tune limits what it suggests, not what it resumes: all trials that failed, or that ran when a search on a larger
cluster was cut off, start at once. Each waits here for its turn, so that their workers never take the last CPU.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial


class Turns:
    """So many trials have their turn at a time.

    Args:
        places: how many.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.training: set[str] = set()
        self.ended: set[str] = set()
        self.changed = asyncio.Condition()

    async def take(self, trial: str) -> None:
        """Return when it is this trial's turn, or when it has ended, which one that was killed while it waited has."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.training) < self.places or trial in self.ended)
            if trial not in self.ended:
                self.training.add(trial)

    async def end(self, trial: str) -> None:
        """Let another trial have this one's place."""
        async with self.changed:
            self.ended.add(trial)
            self.training.discard(trial)
            self.changed.notify_all()


TurnsActor = ray.remote(num_cpus=0)(Turns)


class EndTurns(Callback):
    """Tells the turns from the driver, which outlives them, that a trial has ended, in whatever way."""

    def __init__(self, turns: Any) -> None:
        self.turns = turns

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.turns.end.remote(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.turns.end.remote(trial.trial_id)
