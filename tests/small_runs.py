"""A run of every stage in seconds: what it is configured to be, and what a test is given of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signdpo.config import Config

# A corpus and a policy so small that every stage takes seconds.
SMALL = [
    "corpus.synthetic.train_clips=72",
    "corpus.synthetic.dev_clips=12",
    "corpus.synthetic.test_clips=12",
    "policy.encoder.temporal_channels=16",
    "policy.encoder.spatial_channels=[8]",
    "policy.encoder.joint_dim=8",
    "policy.language_model.d_model=32",
    "policy.language_model.d_ff=64",
    "pretrain.epochs=2",
    "pretrain.batch_size=24",
    "negatives.perturber.mine_clips=32",
    "negatives.perturber.d_model=32",
    "negatives.perturber.epochs=1",
    "negatives.perturber.copy_epochs=1",
    "negatives.perturber.batch_size=16",
    "negatives.perturber.min_chrf=0",
    "negatives.perturber.min_fluency=-100",
    "negatives.perturber.known_words=false",
    "negatives.perturber.max_length_ratio=100",
    "negatives.hardness.min_margin=-1",  # an untrained policy notices next to nothing
    "dpo.epochs=2",
    "dpo.batch_size=16",
    "dpo.checkpoint_every=5",
    "dpo.lr=0.001",
    "evaluation.max_new_tokens=8",
    "resources.generators=[1, 1]",
    "evaluation.bootstrap_samples=50",
]


@dataclass(frozen=True)
class SmallRun:
    """A whole run on the synthetic corpus, and what it printed."""

    config: Config
    directory: Path
    outputs: dict[str, dict[str, Any]]
    printed: str
