"""The batches of one training worker, in step order, with the time spent waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ray.train


class StreamOrderError(RuntimeError):
    """The stream skipped or repeated a step: some clips would be lost or trained on twice."""


class StepBatches:
    """Iterates a dataset shard whose blocks each hold one or more whole batches of a schedule.

    Args:
        name: of the dataset given to the trainer.
        start_step: steps before it are already trained on and are dropped.
        on_wait: told the seconds after each wait for a block.
        prefetch: blocks fetched ahead.
    """

    def __init__(self, name: str, *, start_step: int, on_wait: Callable[[float], None], prefetch: int = 2) -> None:
        self.shard = ray.train.get_dataset_shard(name)
        self.next_step = start_step
        self.on_wait = on_wait
        self.prefetch = prefetch
        self.waited = 0.0
        self.since = time.monotonic()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches as columns of numpy values.

        Raises:
            StreamOrderError: if a step is missing, or comes twice.
        """
        batches = iter(self.shard.iter_batches(batch_size=None, prefetch_batches=self.prefetch))
        while True:
            began = time.monotonic()
            batch = next(batches, None)
            waited = time.monotonic() - began
            self.waited += waited
            self.on_wait(waited)
            if batch is None:
                return
            steps = np.asarray(batch["step"])
            for step in np.unique(steps).tolist():
                if step < self.next_step:
                    continue
                if step > self.next_step:
                    raise StreamOrderError(f"step {step} arrived, expected {self.next_step}")
                self.next_step += 1
                rows = np.flatnonzero(steps == step)
                yield {name: column[rows] for name, column in batch.items()}

    def wait_share(self) -> float:
        """The share of time spent waiting since the last call."""
        now = time.monotonic()
        share = self.waited / max(now - self.since, 1e-9)
        self.waited, self.since = 0.0, now
        return share
