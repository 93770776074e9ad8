"""Which clips make up which batch: decided before a run starts, so that a stream can stop and go on anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BUCKET_BATCHES = 16  # clips are sorted by length within so many batches: little padding, still well mixed


@dataclass(frozen=True)
class Item:
    """One block of the stream: what one worker trains on in one step.

    Args:
        epoch: from 0.
        step: from 0, over all epochs.
        rows: indices of clips.
    """

    epoch: int
    step: int
    rows: np.ndarray


class Schedule:
    """Every clip exactly once an epoch, in batches of like length, split evenly over the workers.

    The order depends on the seed, the epoch and the clips' lengths alone. The workers' blocks of a step follow each
    other, larger ones first, and differ by one row at most: Ray's splitter, which gives the next block to the worker
    that has had the fewest rows, then gives each worker one block a step.

    Args:
        num_frames: `(clips,)` length of each clip in frames.
        epochs: passes over the clips.
        batch_size: clips a step, over all workers.
        workers: in the training group.
        seed: of the run.
        shuffle: False keeps the clips in order of length, for evaluation.
    """

    def __init__(
        self, num_frames: np.ndarray, *, epochs: int, batch_size: int, workers: int, seed: int, shuffle: bool = True
    ) -> None:
        if len(num_frames) < workers:
            raise ValueError(f"{len(num_frames)} clips cannot be split over {workers} workers")
        self.items: list[Item] = []
        self.epoch_steps: list[int] = []  # steps done at the end of each epoch
        step = 0
        for epoch in range(epochs):
            rng = np.random.default_rng([seed, epoch]) if shuffle else None
            for batch in _batches(num_frames, batch_size, workers, rng):
                self.items.extend(Item(epoch, step, rows) for rows in np.array_split(batch, workers))
                step += 1
            self.epoch_steps.append(step)
        self.workers = workers
        self.steps = step

    def from_step(self, step: int) -> list[Item]:
        """The blocks of the steps from `step` on."""
        return self.items[step * self.workers :]


def _batches(num_frames: np.ndarray, size: int, workers: int, rng: np.random.Generator | None) -> list[np.ndarray]:
    clips = len(num_frames)
    order = np.arange(clips) if rng is None else rng.permutation(clips)
    bucket = clips if rng is None else BUCKET_BATCHES * size
    buckets = (order[begin : begin + bucket] for begin in range(0, clips, bucket))
    sorted_order = np.concatenate([rows[np.argsort(num_frames[rows], kind="stable")] for rows in buckets])
    batches = [sorted_order[begin : begin + size] for begin in range(0, clips, size)]
    if len(batches) > 1 and len(batches[-1]) < workers:  # too small to give every worker a row
        batches[-2:] = [np.concatenate(batches[-2:])]
    if rng is not None:
        batches = [batches[index] for index in rng.permutation(len(batches))]
    return batches
