"""A run of every stage in seconds: what it is configured to be, and what a test is given of it."""

from __future__ import annotations

import gzip
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signdpo.config import Config
from signdpo.levels import LEVELS
from signdpo.pipeline.stage import Results
from signdpo.pipeline.stages.pretrain import Pretrain

# A corpus and a policy so small that every stage takes seconds.
SMALL = [
    "corpus.synthetic.train_clips=72",
    "corpus.synthetic.dev_clips=12",
    "corpus.synthetic.test_clips=12",
    "policy.encoder.temporal_channels=16",
    "policy.encoder.spatial_channels=[8]",
    "policy.encoder.joint_dim=8",
    "policy.encoder.temporal_strides=[2, 2]",  # more than one block over time
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
    "negatives.hardness.unit=sentence",
    "negatives.hardness.skeleton.min_margin=-1",  # an untrained policy notices next to nothing
    "negatives.counterfactual.min_mass=0",  # nor does it look anywhere in particular
    "negatives.counterfactual.min_logp=-100",
    *(f"dpo.weights.{level}=0.01" for level in LEVELS),  # the default teaches the counterfactual level alone
    "dpo.epochs=2",
    "dpo.batch_size=16",
    "dpo.checkpoint_every=5",
    "dpo.lr=0.001",
    "dpo.dropout=false",  # so that step zero is the reference, and losses are equal to the bit
    "pretrain.score_every=1",
    "dpo.select_by=eval_nll",  # BLEU-4 is 0 all the time, and of equal checkpoints the earliest is kept
    "evaluation.max_new_tokens=8",
    "resources.generators=[1, 1]",
    "evaluation.bootstrap_samples=50",
]


@dataclass(frozen=True)
class SmallRun:
    """A whole run on the synthetic corpus, and what it printed."""

    config: Config
    directory: Path
    outputs: Results
    printed: str

    @property
    def reference_hash(self) -> str:
        return self.outputs[Pretrain].policy_hash


def uni_sign_corpus(root: Path) -> Path:
    """24 + 4 + 4 clips of a moving right hand; the first two training clips are damaged."""
    rng = np.random.default_rng(0)
    (root / "pose_format").mkdir(parents=True)
    for split, count in (("train", 24), ("dev", 4), ("test", 4)):
        labels = {}
        for index in range(count):
            name = f"{split}_{index}"
            words = rng.choice(["cat", "dog", "sees", "the", "red", "house", "runs", "home"], size=4)
            labels[name] = {
                "name": name,
                "gloss": [],
                "text": f"{' '.join(words)} {index}",
                "video_path": f"{name}.mp4",
            }
            frames = [rng.uniform(0.3, 0.7, (1, 133, 2)) for _ in range(12)]
            pose = {"keypoints": frames, "scores": [np.ones((1, 133)) for _ in frames]}
            (root / "pose_format" / f"{name}.pkl").write_bytes(pickle.dumps(pose))
        (root / f"labels.{split}").write_bytes(gzip.compress(pickle.dumps(labels)))
    whole = (root / "pose_format" / "train_0.pkl").read_bytes()
    (root / "pose_format" / "train_0.pkl").write_bytes(whole[: len(whole) // 2])
    frames = [np.full((1, 133, 2), np.nan) for _ in range(12)]
    broken = {"keypoints": frames, "scores": [np.ones((1, 133)) for _ in frames]}
    (root / "pose_format" / "train_1.pkl").write_bytes(pickle.dumps(broken))
    return root
