"""Clips on Ray Data: whole batches, in order, one to each worker."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import load_config
from signdpo.corpora.ingest import ingest
from signdpo.corpora.registry import open_source
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore, ScheduledDataConfig
from signdpo.skeleton.clip import sample_frames

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("clips")
    sizes = [f"corpus.synthetic.{split}_clips={count}" for split, count in (("train", 40), ("dev", 5), ("test", 5))]
    corpus = load_config(None, [*sizes, "corpus.shard_rows=16"]).corpus
    ingest(open_source(corpus), str(directory), corpus)
    return directory


def test_store_lists_the_clips_as_they_are_on_disk(clips: Path) -> None:
    store = ClipStore.load(str(clips), "dev", "test", max_frames=256)
    on_disk = [row for split in ("dev", "test") for row in read_clips(clips, split).to_pylist()]
    assert store.ids == [row["id"] for row in on_disk]
    assert store.num_frames.tolist() == [row["num_frames"] for row in on_disk]


@pytest.mark.parametrize("workers", [1, 2])
def test_each_worker_gets_its_part_of_every_step_in_order(clips: Path, workers: int) -> None:
    store = ClipStore.load(str(clips), "train", max_frames=256)
    schedule = Schedule(store.num_frames, epochs=2, batch_size=12, workers=workers, seed=1, steps_per_block=2)
    shards = ScheduledDataConfig().configure({"train": store.stream(schedule.blocks())}, workers)

    def rows_of(shard: dict[str, Any]) -> list[tuple[int, str]]:
        blocks = shard["train"].iter_batches(batch_size=None)
        return [row for block in blocks for row in zip(np.asarray(block["step"]).tolist(), block["id"], strict=True)]

    with ThreadPoolExecutor(workers) as pool:  # a split begins when all workers ask for it
        seen = list(pool.map(rows_of, shards))
    for rank_rows in seen:
        steps = [step for step, _ in rank_rows]
        assert steps == sorted(steps)
        assert sorted(set(steps)) == list(range(schedule.steps))
    for step, parts in enumerate(schedule.parts):
        planned = {store.ids[row] for part in parts for row in part.rows}
        assert {clip for rows in seen for at, clip in rows if at == step} == planned


def test_rows_come_unchanged_from_disk(clips: Path) -> None:
    store = ClipStore.load(str(clips), "train", max_frames=256)
    schedule = Schedule(store.num_frames, epochs=1, batch_size=12, workers=1, seed=1)
    on_disk = {row["id"]: row for row in read_clips(clips, "train").to_pylist()}
    for row in store.stream(schedule.blocks()).take_all():
        assert row["text"] == on_disk[row["id"]]["text"]
        np.testing.assert_array_equal(row["keypoints"], np.array(on_disk[row["id"]]["keypoints"], dtype=np.float16))


def frames_of(store: ClipStore, epochs: int, draw_seed: int | None) -> dict[tuple[str, int], np.ndarray]:
    schedule = Schedule(store.num_frames, epochs=epochs, batch_size=12, workers=1, seed=1)
    rows = store.stream(schedule.blocks(), draw_seed=draw_seed).take_all()
    return {(row["id"], row["epoch"]): np.asarray(row["keypoints"]).reshape(-1, 207) for row in rows}


def test_clips_stored_longer_are_shortened_evenly_or_drawn_anew_each_epoch(clips: Path) -> None:
    whole = ClipStore.load(str(clips), "dev", max_frames=256)
    stored = frames_of(whole, 1, None)
    limit = min(whole.num_frames) - 2
    store = ClipStore.load(str(clips), "dev", max_frames=limit)
    assert set(store.num_frames.tolist()) == {limit}
    even, drawn, again = frames_of(store, 2, None), frames_of(store, 2, 7), frames_of(store, 2, 7)
    for (clip, epoch), frames in even.items():
        np.testing.assert_array_equal(frames, stored[clip, 0][sample_frames(len(stored[clip, 0]), limit)])
        np.testing.assert_array_equal(drawn[clip, epoch], again[clip, epoch])
        assert drawn[clip, epoch].shape == frames.shape
    assert any((drawn[clip, 0] != drawn[clip, 1]).any() for clip in store.ids)
