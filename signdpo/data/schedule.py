"""Which clips make up which batch: decided before a run starts, so that a stream can stop and go on anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signdpo.seeding import derive_seed

BUCKET_BATCHES = 16  # clips are sorted by length within so many batches: little padding, still well mixed


@dataclass(frozen=True)
class Block:
    """One block of the stream: what one worker trains on in one step, or in a few that follow each other.

    Args:
        rows: `(clips,)` indices of clips, the steps after each other.
        epochs, steps: `(clips,)` of each row, from 0; steps count over all epochs.
    """

    rows: np.ndarray
    epochs: np.ndarray
    steps: np.ndarray


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
        steps_per_block: more than one where a step is so short that handing over each block would cost as much.
    """

    def __init__(
        self,
        num_frames: np.ndarray,
        *,
        epochs: int,
        batch_size: int,
        workers: int,
        seed: int,
        shuffle: bool = True,
        steps_per_block: int = 1,
    ) -> None:
        if len(num_frames) < workers:
            raise ValueError(f"{len(num_frames)} clips cannot be split over {workers} workers")
        self.steps_per_block = steps_per_block
        chosen = {"clips": len(num_frames), "epochs": epochs, "batch_size": batch_size, "seed": seed}
        self.choices = {name: str(value) for name, value in chosen.items()}
        self.parts: list[list[Block]] = []  # step -> the rows of each worker
        self.epoch_steps: list[int] = []  # steps done at the end of each epoch
        for epoch in range(epochs):
            rng = np.random.default_rng([seed, epoch]) if shuffle else None
            for batch in _batches(num_frames, batch_size, workers, rng):
                step = len(self.parts)
                self.parts.append([_block(rows, epoch, step) for rows in np.array_split(batch, workers)])
            self.epoch_steps.append(len(self.parts))

    @property
    def steps(self) -> int:
        return len(self.parts)

    def identity(self, clips: Sequence[str]) -> dict[str, str]:
        """What a checkpoint remembers of the schedule, so that its step still means the same rows.

        Args:
            clips: ids, in the order of `num_frames`.

        Returns:
            What a person set, by name, and as `rows` a hash of the rows of every step, which also tells two versions of
            this module apart. How many workers share a step is left out: another number may go on.
        """
        digest = hashlib.blake2b("\x1f".join(clips).encode(errors="backslashreplace"), digest_size=8)
        for step in self.parts:
            rows = np.concatenate([block.rows for block in step])
            digest.update(len(rows).to_bytes(4, "little") + rows.astype("<i8").tobytes())
        return self.choices | {"rows": digest.hexdigest()}

    def blocks(self, from_step: int = 0) -> list[Block]:
        """The blocks of the steps from `from_step` on, the workers' blocks of the same steps next to each other."""
        blocks: list[Block] = []
        for begin in range(from_step, self.steps, self.steps_per_block):
            together = zip(*self.parts[begin : begin + self.steps_per_block], strict=True)
            blocks.extend(_joined(parts) for parts in together)
        return blocks


def _block(rows: np.ndarray, epoch: int, step: int) -> Block:
    return Block(rows, np.full(len(rows), epoch, dtype=np.int32), np.full(len(rows), step, dtype=np.int64))


def _joined(parts: tuple[Block, ...]) -> Block:
    return Block(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "epochs", "steps")))


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


def held_out_rows(ids: list[str], share: float, seed: int) -> np.ndarray:
    """Which training clips pre-training leaves out, so that the policy fails on some that it may use: `(clips,)` bool.

    Decided clip by clip from its id: another clip more or less changes nothing for the others.
    """
    return np.array([derive_seed(seed, "held out", clip) / 2**63 < share for clip in ids], dtype=bool)
