"""What Ray's own processes unpickle: names without weight.

A training loop or an actor class travels through Ray Train's controller and Ray Data's coordinators, and each of them
imports the module it comes from. Torch and transformers cost 5 CPU seconds a process, so they are imported here only
where the work is done.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import ray
import ray.data

from signdpo.config import Config
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
    """See `signdpo.negatives.generator.NegativeGenerator`."""

    def __init__(self, *arguments: Any) -> None:
        from signdpo.negatives.generator import NegativeGenerator

        self.work = NegativeGenerator(*arguments)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        return self.work(batch)


class FollowPolicy(GenerateNegatives):
    """Generates with the latest version of the policy as guide."""

    def __init__(self, follower: Follower, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.follower = follower

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        published = self.follower.wait(int(batch["step"].min()))
        if published.version != self.work.policy_version:
            # Weights die with the trainer that published them: the last version serves on.
            with suppress(ray.exceptions.RayError):
                self.work.follow(published.version, published.fetch())
        return self.work(batch)


class CacheNegatives:
    """Writes the preference rows of each block it is given to a Parquet file."""

    def __init__(self, folder: str, *arguments: Any) -> None:
        self.folder, self.make = folder, GenerateNegatives(*arguments)

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


def on_actors(dataset: ray.data.Dataset, actor: type, arguments: tuple[Any, ...], config: Config) -> ray.data.Dataset:
    """Run an actor class over a stream, a block at a time, on the generators' share of the cluster."""
    least, most = config.resources.generators
    asked = config.resources.of_generator()
    # Not `map_batches`: where GPUs are asked for it wants a number of rows, and joins blocks to get it.
    return dataset.map_batches_internal(
        actor,
        fn_constructor_args=arguments,
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=asked.pop("CPU"),
        num_gpus=asked.pop("GPU", None),
        resources=asked or None,
    )
