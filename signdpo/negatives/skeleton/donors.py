"""Donor clips: where operations get foreign handshapes and foreign signs from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signdpo.data.clips import read_shard, shard_files
from signdpo.data.rows import clips_of, rows_of, shorten_row
from signdpo.negatives.seeding import integer
from signdpo.seeding import derive_seed
from signdpo.text.units import folded

DONOR_SHARDS = 8  # read for the pool, at most: a pool from all shards of a large corpus would have to read all of it
COLUMNS = ["id", "text", "num_frames", "keypoints", "gloss_spans"]


@dataclass(frozen=True)
class DonorPool:
    """A choice of training clips, the same for every actor of a run: a clip's donor depends on no batch.

    Args:
        ids: of the clips.
        texts: their sentences.
        clips: `(frames_i, 69, 3)` float32 each.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    clips: Sequence[Tensor]

    @classmethod
    def load(cls, clips: str, *, count: int, seed: int, max_frames: int) -> DonorPool:
        """Draw up to `count` training clips of a clips directory, from a few of its shards."""
        files = shard_files(clips, "train")
        rng = np.random.default_rng(derive_seed(seed, "donors"))
        shards = [files[index] for index in rng.permutation(len(files))[:DONOR_SHARDS]]
        rows: list[dict[str, Any]] = []
        for place, shard in enumerate(shards):
            table = read_shard(clips, shard, COLUMNS)
            wanted = (count - len(rows)) // (len(shards) - place)  # an even share of what is still to be drawn
            drawn = rng.permutation(len(table))[:wanted]
            rows += [shorten_row(row, max_frames) for row in rows_of(table.take(drawn))]
        return cls(
            ids=[row["id"] for row in rows],
            texts=[row["text"] for row in rows],
            clips=[torch.from_numpy(clip) for clip in clips_of(rows)],
        )

    def draw(self, clip: str, text: str, rng: torch.Generator) -> Tensor | None:
        """A donor for a clip: never itself and never one whose sentence reads alike; None if there is no other."""
        if not self.ids:
            return None
        start = integer(rng, len(self.ids))
        for place in (*range(start, len(self.ids)), *range(start)):
            if self.ids[place] != clip and folded(self.texts[place]) != folded(text):
                return self.clips[place]
        return None


NO_DONORS = DonorPool(ids=(), texts=(), clips=())
