"""A policy that has learned a little, in seconds, and clips of its corpus as files that nobody has labelled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from signdpo.config import Config, load_config
from signdpo.corpora.registry import open_source
from signdpo.data.clips import prepare_clip
from signdpo.data.rows import clip_to_row, clips_of
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import build_policy
from support.small_runs import SMALL

CLIPS = 12


@dataclass(frozen=True)
class Trained:
    """A policy's folder in that of a run, which has a configuration, and raw clips of its corpus.

    Args:
        run: with `config.yaml` and `align/policy`.
        config: of the run.
        clips: id -> keypoints `(frames, 69, 3)` as recorded.
    """

    run: Path
    config: Config
    clips: dict[str, np.ndarray]

    @property
    def policy(self) -> str:
        return str(self.run / "align" / "policy")

    def write(self, folder: Path, *ids: str) -> Path:
        """Some of the clips as `.npz` files, by default all."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ids or self.clips:
            np.savez(folder / f"{name}.npz", keypoints=self.clips[name])
        return folder


def make_trained(run: Path) -> Trained:
    """Trained on its clips until they get different sentences."""
    config = load_config(None, [*SMALL, "evaluation.max_new_tokens=12", "corpus.max_frames=32", "pretrain.dropout=0"])
    (run / "config.yaml").write_text(config.to_yaml())
    source = open_source(config.corpus)
    read = [source.read(entry) for entry in source.entries("train")]
    texts = [clip.text for clip in read]
    policy = build_policy(config, texts)
    clips = clips_of([clip_to_row(prepare_clip(clip, config.corpus.max_frames)) for clip in read[:CLIPS]])
    keypoints, mask = pad_clips(clips)
    labels = tokenize(policy.tokenizer, texts[:CLIPS], max_tokens=64)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=5e-3)
    policy.model.train()
    for _ in range(100):
        loss = -policy.model.logps(policy.model.encode(keypoints, mask), labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    policy.model.eval()
    policy.save(run / "align" / "policy")
    return Trained(run, config, {clip.id: clip.keypoints for clip in read[:CLIPS]})
