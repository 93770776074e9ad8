"""From pickles to Parquet, on one CPU and without Ray."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np

from signdpo.benchmarks.measurement import SEED, Figures, make_pose, seconds_of
from signdpo.config import CorpusConfig
from signdpo.corpora.ingest import make_shard
from signdpo.corpora.planning import list_entries, plan_shards
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import SPLITS


def ingest(clips: int, frames: int) -> Figures:
    """Read, check, normalise and store clips, in this process."""
    generator = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pose_format").mkdir()
        size = 0
        for split in SPLITS:
            count = clips if split == "train" else 1
            labels = {f"{split}{n}": {"text": "a sentence", "video_path": f"{split}{n}.mp4"} for n in range(count)}
            (root / f"labels.{split}").write_bytes(pickle.dumps(labels))
            for id_ in labels:
                size += (root / "pose_format" / f"{id_}.pkl").write_bytes(pickle.dumps(make_pose(generator, frames)))
        corpus = CorpusConfig(kind="uni_sign", root=folder)
        source = open_source(corpus)
        shards, _ = plan_shards(source, corpus, list_entries(source, corpus.limit).whole())
        listing = seconds_of(source.entries, SPLITS)
        reading = seconds_of(source.read, (entry for shard in shards for entry in shard.entries))
        storing = seconds_of(lambda shard: make_shard(shard, source, f"{folder}/out"), shards)
    return {
        "clips": clips,
        "frames": frames,
        "pickles, MB": size / 1e6,
        "listing, s": listing,
        "reading, clips/s": (clips + 2) / reading,
        "reading and storing, clips/s": (clips + 2) / storing,
    }
