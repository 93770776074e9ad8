"""What generators are given, made in seconds and without Ray: clips, a policy that hardly knows them, a perturber."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from signdpo.config import Config, load_config
from signdpo.corpora import ingest
from signdpo.corpora.registry import open_source
from signdpo.counterfactuals.finder import SegmentFinder
from signdpo.counterfactuals.maker import FILE
from signdpo.data.clips import read_clips, write_parquet
from signdpo.data.rows import clips_of
from signdpo.models.policy import Policy, build_policy
from signdpo.negatives.sentence.perturber import LanguagePerturber
from signdpo.negatives.sentence.selection import TEXT_FILE, TrainingText
from signdpo.pipeline.stages.segments import few_donors
from support.small_runs import SMALL


@dataclass(frozen=True)
class SmallStart:
    """The folders of a run that has come as far as its alignment.

    Args:
        config: configuration of the small run.
        directory: with `clips`, `pretrain/policy` and `perturber/model`, as in a run directory.
        reference_hash: hash of the policy.
    """

    config: Config
    directory: Path
    reference_hash: str


def make_small_start(directory: Path) -> SmallStart:
    config = load_config(None, SMALL)
    clips = str(directory / "clips")
    with pytest.MonkeyPatch.context() as patch:  # shards are made one after the other, here
        patch.setattr(
            ingest, "_write_shards", lambda shards, *where: (ingest.make_shard(each, *where) for each in shards)
        )
        ingest.ingest(open_source(config.corpus), clips, config.corpus)
    texts = read_clips(clips, "train", columns=["text"])["text"].to_pylist()
    policy = build_policy(config, texts)
    policy.save(directory / "pretrain" / "policy")
    perturber = directory / "perturber" / "model"
    torch.manual_seed(config.seed)
    limit = config.policy.max_text_tokens
    LanguagePerturber.fresh(policy.tokenizer, config.negatives.perturber, max_tokens=limit).save(perturber)
    (perturber / TEXT_FILE).write_text(TrainingText.of(texts).to_json())
    rows = read_clips(clips, "train").to_pylist()
    found = SegmentFinder(config, str(directory / "pretrain" / "policy"), texts)(
        [row["id"] for row in rows], texts, clips_of(rows)
    )
    write_parquet(str(directory / "segments" / FILE), few_donors(found, 16, config.seed))
    return SmallStart(config, directory, Policy.load(directory / "pretrain" / "policy").hash())
