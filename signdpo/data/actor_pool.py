"""Actors of Ray Data that make batch after batch: what they are asked for, and how they are spread over a stream."""

from __future__ import annotations

from typing import Any

import ray.data

from signdpo.config import Config
from signdpo.data.rows import Columns
from signdpo.data.stream import with_errors_kept
from signdpo.monitoring.hangs import BatchWatch, new_attempts


class BatchWorker:
    """An actor of Ray Data that loads what it works with once and then makes batch after batch, in time.

    Args:
        watch: over each batch.
        arguments: of `load`.
    """

    def __init__(self, watch: BatchWatch, *arguments: Any) -> None:
        self.watch = watch
        self.load(*arguments)

    def load(self, *arguments: Any) -> None:
        raise NotImplementedError

    def prepare(self, batch: Columns) -> None:
        """What may take any time, before the clock starts."""

    def work(self, batch: Columns) -> Columns:
        raise NotImplementedError

    def __call__(self, batch: Columns) -> Columns:
        self.prepare(batch)
        with self.watch.over(batch):
            return self.work(batch)


def on_actors(
    dataset: ray.data.Dataset,
    actor: type[BatchWorker],
    arguments: tuple[Any, ...],
    config: Config,
    attempts: Any | None = None,
    *,
    name: str | None = None,
) -> ray.data.Dataset:
    """Run an actor class over a stream, a block at a time, on the generators' share of the cluster.

    Args:
        dataset: of blocks of clips.
        actor: what is done to them.
        arguments: of its `load`.
        config: of the run.
        attempts: the driver's `BatchAttempts`, which a `Watchdog` reads; by default one that nobody reads.
        name: of the dataset on the dashboard; it begins with the run's.
    """
    least, most = config.resources.generators
    seconds = config.resources.generator_timeout_seconds
    watch = BatchWatch(new_attempts(seconds) if attempts is None else attempts, seconds)
    asked = config.resources.of_generator()
    # Not `map_batches`: where GPUs are asked for it wants a number of rows, and joins blocks to get it.
    made = dataset.map_batches_internal(
        actor,
        fn_constructor_args=(watch, *arguments),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=asked.pop("CPU"),
        num_gpus=asked.pop("GPU", None),
        resources=asked or None,
    )
    made.set_name(name)
    return with_errors_kept(made)
