"""Slots: no more trials train at a time than the cluster holds.

Ray Tune limits what it suggests, not what it resumes: all trials that failed, or that ran when a search on a larger
cluster was cut off, start at once. Each waits here for a slot, so that their workers never take the last CPU.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial


class TrialSlots:
    """So many trials train at a time.

    Args:
        slots: how many.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.training: set[str] = set()
        self.ended: set[str] = set()
        self.changed = asyncio.Condition()

    async def take(self, trial: str) -> None:
        """Return when this trial has a slot, or when it has ended, which one that was killed while it waited has."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.training) < self.slots or trial in self.ended)
            if trial not in self.ended:
                self.training.add(trial)

    async def free(self, trial: str) -> None:
        """Let another trial have this one's slot."""
        async with self.changed:
            self.ended.add(trial)
            self.training.discard(trial)
            self.changed.notify_all()


TrialSlotsActor = ray.remote(num_cpus=0)(TrialSlots)


class FreeSlots(Callback):
    """Frees slots from the driver, which outlives trials, in whatever way they end."""

    def __init__(self, slots: Any) -> None:
        self.slots = slots

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.slots.free.remote(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.slots.free.remote(trial.trial_id)
