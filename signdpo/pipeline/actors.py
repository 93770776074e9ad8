"""What Ray's own processes unpickle: names without weight.

A training loop or an actor class travels through Ray Train's controller and Ray Data's coordinators, and each of them
imports the module it comes from. Torch and transformers cost 5 CPU seconds a process, so they are imported here only
where the work is done.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from signdpo.config import Config
from signdpo.counterfactuals.maker import SEGMENT_SCHEMA
from signdpo.data.actor_pool import BatchWorker
from signdpo.data.batches import PreferenceBatch
from signdpo.data.cache import part_name
from signdpo.data.clips import write_parquet
from signdpo.data.rows import PREFERENCE_SCHEMA, Columns, clips_of, table_of
from signdpo.monitoring.recorders import GenerationRecorder
from signdpo.storage.files import join
from signdpo.training.versions import Follower


def mle_worker(given: dict[str, Any]) -> None:
    from signdpo.training.mle import train_mle

    train_mle(given["settings"], given["run"])


def language_worker(given: dict[str, Any]) -> None:
    from signdpo.training.language import train_language

    train_language(given["settings"], given["run"])


def perturber_worker(given: dict[str, Any]) -> None:
    from signdpo.training.perturber import train_perturber

    train_perturber(given["settings"], given["run"])


def align_worker(given: dict[str, Any]) -> None:
    from signdpo.training.dpo import train_dpo

    train_dpo(given["settings"], given["run"])


@dataclass(frozen=True)
class GeneratorArguments:
    """Arguments of `signdpo.negatives.generator.NegativeGenerator`, which explains them."""

    config: Config
    reference: str
    reference_hash: str
    perturber: str
    clips: str
    segments: str


class GenerateNegatives(BatchWorker):
    """See `signdpo.negatives.generator.NegativeGenerator`; counts what it makes for the run of this name."""

    def load(self, run: str, arguments: GeneratorArguments) -> None:
        from signdpo.negatives.generator import NegativeGenerator

        self.generator = NegativeGenerator(**vars(arguments))
        self.recorder = GenerationRecorder(run)

    def work(self, batch: Columns) -> Columns:
        began = time.monotonic()
        rows = self.generator(batch)
        seconds, made = time.monotonic() - began, PreferenceBatch.collate(rows)
        self.recorder.record_time(len(made), seconds)
        for level, valid in made.valid.items():
            self.recorder.record_level(level, valid, made.reference_margins[level], made.redraws.get(level))
        return rows


class FollowPolicy(GenerateNegatives):
    """Generates with the latest version of the policy as guide."""

    def load(self, follower: Follower, run: str, arguments: GeneratorArguments) -> None:  # type: ignore[override]
        super().load(run, arguments)
        self.follower = follower

    def prepare(self, batch: Columns) -> None:
        published = self.follower.wait(int(batch["step"].min()))
        if published.version != self.generator.policy_version:
            # Weights die with the trainer that published them: the last version serves on.
            with suppress(ray.exceptions.RayError):
                self.generator.follow(published.version, published.fetch())


class CacheNegatives(GenerateNegatives):
    """Writes the preference rows of each block it is given to a Parquet file."""

    def load(self, folder: str, run: str, arguments: GeneratorArguments) -> None:  # type: ignore[override]
        super().load(run, arguments)
        self.folder = folder

    def work(self, batch: Columns) -> Columns:
        name = part_name(batch["epoch"], batch["step"], batch["id"])
        write_parquet(join(self.folder, name), table_of(super().work(batch), PREFERENCE_SCHEMA))
        return {"rows": np.array([len(batch["id"])])}


class FindSegments(BatchWorker):
    """See `signdpo.counterfactuals.finder.SegmentFinder`."""

    def load(self, *arguments: Any) -> None:
        from signdpo.counterfactuals.finder import SegmentFinder

        self.finder = SegmentFinder(*arguments)

    def work(self, batch: Columns) -> pa.Table:
        ids, texts = ([str(value) for value in batch[name]] for name in ("id", "text"))
        rows = self.finder(ids, texts, clips_of(batch))
        return table_of({name: [row[name] for row in rows] for name in SEGMENT_SCHEMA.names}, SEGMENT_SCHEMA)


class MineHypotheses(BatchWorker):
    """See `signdpo.negatives.sentence.mining.HypothesisMiner`."""

    def load(self, *arguments: Any) -> None:
        from signdpo.negatives.sentence.mining import HypothesisMiner

        self.miner = HypothesisMiner(*arguments)

    def work(self, batch: Columns) -> Columns:
        return self.miner(batch)


class Translate(BatchWorker):
    """See `signdpo.evaluation.translation.Translator`."""

    def load(self, *arguments: Any) -> None:
        from signdpo.evaluation.translation import Translator

        self.translator = Translator(*arguments)

    def work(self, batch: Columns) -> Columns:
        return self.translator(batch)
