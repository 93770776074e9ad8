"""Stream rows through generators with little room for objects: `fill_the_store.py DIRECTORY`.

Prints `rows=N ahead=N`: how many came, and how many batches the generators were ahead of a slow trainer, at most. With
RAY_local_fs_capacity_threshold=0 Ray takes the disk for full. A process of its own, since it needs a Ray of its own.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import ray
import ray.data

from signdpo.config import load_config
from signdpo.data.actor_pool import BatchWorker, on_actors
from signdpo.data.clips import Manifest, SplitSummary, write_manifest, write_shard
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore, ScheduledDataConfig
from signdpo.pipeline.errors import explain

SHARDS, SHARD_ROWS, FRAMES = 10, 128, 200  # 100 MiB of keypoints
STORE_BYTES = 80 * 1024**2
COPIES = 4  # of the keypoints in a row that a generator has made
SLOW_BATCHES, BATCH_SECONDS = 20, 0.5


def write_clips(directory: str) -> None:
    rng = np.random.default_rng(0)
    row: dict[str, Any] = {"text": "x", "num_frames": FRAMES, "gloss": [], "gloss_spans": [], "signer": ""}
    files = [f"part-{shard}.parquet" for shard in range(SHARDS)]
    for shard, file in enumerate(files):
        keypoints = rng.random((SHARD_ROWS, FRAMES * 207)).astype(np.float16)
        rows = [row | {"id": f"{shard}-{index}", "keypoints": clip} for index, clip in enumerate(keypoints)]
        write_shard(f"{directory}/train/{file}", rows)
    size: dict[str, Any] = {"clips": SHARDS * SHARD_ROWS, "shortest": FRAMES, "median": FRAMES, "longest": FRAMES}
    splits = {"train": SplitSummary(quarantined=0, files=files, **size)}
    write_manifest(directory, Manifest(language="en", source="", layout="", content_hash="", splits=splits))


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1

    def read(self) -> int:
        return self.count


class CopyKeypoints(BatchWorker):
    def load(self, made: Any) -> None:
        self.made = made

    def work(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        ray.get(self.made.add.remote())
        return batch | {f"keypoints_{copy}": batch["keypoints"] for copy in range(COPIES)}


def stream(directory: str) -> None:
    made: Any = Counter.remote()  # type: ignore[attr-defined]
    store = ClipStore.load(directory, "train", max_frames=FRAMES)
    schedule = Schedule(store.num_frames, epochs=1, batch_size=16, workers=1, seed=1)
    rows = on_actors(store.stream(schedule.blocks()), CopyKeypoints, (made,), load_config())
    (shard,) = ScheduledDataConfig().configure({"train": rows}, 1)
    seen: list[str] = []
    ahead = 0
    for step, batch in enumerate(shard["train"].iter_batches(batch_size=None, prefetch_batches=2), start=1):
        seen.extend(batch["id"])
        if step <= SLOW_BATCHES:
            time.sleep(BATCH_SECONDS)
        ahead = max(ahead, ray.get(made.read.remote()) - step)
    print(f"rows={len(set(seen))} ahead={ahead}", flush=True)


def main() -> None:
    write_clips(sys.argv[1])
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=4, object_store_memory=STORE_BYTES, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        stream(sys.argv[1])
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        print(f"error: {known.message}", flush=True)


if __name__ == "__main__":
    main()
