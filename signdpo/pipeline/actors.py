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


class GenerateNegatives:
    """See `signdpo.negatives.generator.NegativeGenerator`; counts what it makes for the run of this name."""

    def __init__(self, run: str, *arguments: Any) -> None:
        from signdpo.negatives.generator import NegativeGenerator

        self.work = NegativeGenerator(*arguments)
        self.recorder = GenerationRecorder(run)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        began = time.monotonic()
        rows = self.work(batch)
        self.recorder.record(rows, time.monotonic() - began)
        return rows


class FollowPolicy(GenerateNegatives):
    """Generates with the latest version of the policy as guide."""

    def __init__(self, follower: Follower, run: str, *arguments: Any) -> None:
        super().__init__(run, *arguments)
        self.follower = follower

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        published = self.follower.wait(int(batch["step"].min()))
        if published.version != self.work.policy_version:
            # Weights die with the trainer that published them: the last version serves on.
            with suppress(ray.exceptions.RayError):
                self.work.follow(published.version, published.fetch())
        return super().__call__(batch)


class CacheNegatives:
    """Writes the preference rows of each block it is given to a Parquet file."""

    def __init__(self, folder: str, run: str, *arguments: Any) -> None:
        self.folder, self.make = folder, GenerateNegatives(run, *arguments)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        from signdpo.corpora.clips import write_parquet
        from signdpo.pipeline.caching import part_name, plain_table

        name = part_name(batch["epoch"], batch["step"], batch["id"])
        write_parquet(join(self.folder, name), plain_table(self.make(batch)))
        return {"rows": np.array([len(batch["id"])])}


class MineHypotheses:
    """See `signdpo.pipeline.translation.HypothesisMiner`."""

    def __init__(self, *arguments: Any) -> None:
        from signdpo.pipeline.translation import HypothesisMiner

        self.work = HypothesisMiner(*arguments)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        return self.work(batch)


class Translate:
    """See `signdpo.pipeline.translation.Translator`."""

    def __init__(self, *arguments: Any) -> None:
        from signdpo.pipeline.translation import Translator

        self.work = Translator(*arguments)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        return self.work(batch)


def on_actors(
    dataset: ray.data.Dataset, actor: type, arguments: tuple[Any, ...], config: Config, *, name: str | None = None
) -> ray.data.Dataset:
    """Run an actor class over a stream, a block at a time, on the generators' share of the cluster.

    Args:
        dataset: the stream.
        actor: its class; the operator and its actors bear its name.
        arguments: of its constructor.
        config: how many actors, and what each takes.
        name: of the dataset on the dashboard; it begins with the run's.
    """
    resources = config.resources
    least, most = resources.generators
    made = dataset.map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=resources.cpus_per_generator,
        num_gpus=resources.gpus_per_generator or None,
    )
    made.set_name(name)
    return made
