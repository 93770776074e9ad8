"""What Ray's own processes unpickle: names without weight.

A training loop or an actor class travels through Ray Train's controller and Ray Data's coordinators, and each of them
imports the module it comes from. Torch and transformers cost 5 CPU seconds a process, so they are imported here only
where the work is done.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np
import ray
import ray.data

from signdpo.config import Config
from signdpo.monitoring.recorders import GenerationRecorder
from signdpo.pipeline.hangs import BatchWatch, new_board
from signdpo.pipeline.stream import with_errors_kept
from signdpo.storage import join
from signdpo.training.versions import Follower


def pretrain_worker(settings: dict[str, Any]) -> None:
    from signdpo.training.mle import train_mle

    train_mle(settings)


def perturber_worker(settings: dict[str, Any]) -> None:
    from signdpo.training.perturber import train_perturber

    train_perturber(settings)


def align_worker(settings: dict[str, Any]) -> None:
    from signdpo.dpo.loop import train_dpo

    train_dpo(settings)


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

    def prepare(self, batch: dict[str, np.ndarray]) -> None:
        """What may take any time, before the clock starts."""

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        raise NotImplementedError

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        self.prepare(batch)
        with self.watch.over(batch):
            return self.work(batch)


class GenerateNegatives(BatchWorker):
    """See `signdpo.negatives.generator.NegativeGenerator`; counts what it makes for the run of this name."""

    def load(self, *arguments: Any) -> None:
        from signdpo.negatives.generator import NegativeGenerator

        run, *of_generator = arguments
        self.generator = NegativeGenerator(*of_generator)
        self.recorder = GenerationRecorder(run)

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        began = time.monotonic()
        rows = self.generator(batch)
        self.recorder.record(rows, time.monotonic() - began)
        return rows


class FollowPolicy(GenerateNegatives):
    """Generates with the latest version of the policy as guide."""

    def load(self, follower: Follower, *arguments: Any) -> None:
        super().load(*arguments)
        self.follower = follower

    def prepare(self, batch: dict[str, np.ndarray]) -> None:
        published = self.follower.wait(int(batch["step"].min()))
        if published.version != self.generator.policy_version:
            # Weights die with the trainer that published them: the last version serves on.
            with suppress(ray.exceptions.RayError):
                self.generator.follow(published.version, published.fetch())


class CacheNegatives(GenerateNegatives):
    """Writes the preference rows of each block it is given to a Parquet file."""

    def load(self, folder: str, *arguments: Any) -> None:
        super().load(*arguments)
        self.folder = folder

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        from signdpo.corpora.clips import write_parquet
        from signdpo.pipeline.caching import part_name, plain_table

        name = part_name(batch["epoch"], batch["step"], batch["id"])
        write_parquet(join(self.folder, name), plain_table(super().work(batch)))
        return {"rows": np.array([len(batch["id"])])}


class MineHypotheses(BatchWorker):
    """See `signdpo.pipeline.translation.HypothesisMiner`."""

    def load(self, *arguments: Any) -> None:
        from signdpo.pipeline.translation import HypothesisMiner

        self.miner = HypothesisMiner(*arguments)

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        return self.miner(batch)


class Translate(BatchWorker):
    """See `signdpo.pipeline.translation.Translator`."""

    def load(self, *arguments: Any) -> None:
        from signdpo.pipeline.translation import Translator

        self.translator = Translator(*arguments)

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        return self.translator(batch)


def on_actors(
    dataset: ray.data.Dataset,
    actor: type[BatchWorker],
    arguments: tuple[Any, ...],
    config: Config,
    board: Any | None = None,
    *,
    name: str | None = None,
) -> ray.data.Dataset:
    """Run an actor class over a stream, a block at a time, on the generators' share of the cluster.

    Args:
        dataset: of blocks of clips.
        actor: what is done to them.
        arguments: of its `load`.
        config: of the run.
        board: a `HangBoard` of the driver's, that a `Watchdog` tells a person about; by default one that nobody reads.
        name: of the dataset on the dashboard; it begins with the run's.
    """
    least, most = config.resources.generators
    seconds = config.resources.generator_timeout_seconds
    watch = BatchWatch(new_board(seconds) if board is None else board, seconds)
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
