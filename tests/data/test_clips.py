"""Clips survive storage; manifests and quarantines say what happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from signdpo.data.clips import (
    Manifest,
    Quarantined,
    SplitSummary,
    prepare_clip,
    read_clips,
    read_quarantine,
    shard_uri,
    write_manifest,
    write_quarantine,
    write_shard,
)
from signdpo.data.rows import CLIP_SCHEMA, clip_to_row, keypoints_of
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.layout import NUM_JOINTS


def clip(id_: str = "a", frames: int = 3) -> Clip:
    keypoints = np.random.default_rng(frames).uniform(-1, 1, (frames, NUM_JOINTS, 3)).astype(np.float32)
    keypoints[..., 2] = 1
    return Clip(id_, "a word", keypoints, ("A", "WORD"), np.array([[0, 1], [1, 3]], np.int32), "anna")


def store(directory: str, split: str, **shards: Clip) -> None:
    """Shards of one clip each, in the order of the arguments."""
    for key, stored in shards.items():
        write_shard(shard_uri(directory, split, key), [clip_to_row(stored)])
    files = [f"part-{key}.parquet" for key in shards]
    summary = SplitSummary(clips=len(shards), quarantined=0, files=files, shortest=3, median=3, longest=3)
    write_manifest(directory, Manifest(language="en", source="", layout="", content_hash="", splits={split: summary}))


def test_a_stored_clip_comes_back_rounded_to_half_precision(tmp_path: Path) -> None:
    store(str(tmp_path), "train", only=clip())
    row = read_clips(tmp_path, "train").to_pylist()[0]
    keypoints = keypoints_of(row["keypoints"], row["num_frames"])
    np.testing.assert_array_equal(keypoints, clip().keypoints.astype(np.float16).astype(np.float32))
    assert (row["id"], row["text"], row["signer"]) == ("a", "a word", "anna")
    assert (row["gloss"], row["gloss_spans"]) == (["A", "WORD"], [0, 1, 1, 3])


def test_shards_are_plain_parquet_of_the_clip_schema(tmp_path: Path) -> None:
    uri = shard_uri(str(tmp_path), "train", "0a")
    write_shard(uri, [clip_to_row(clip())])
    assert uri.endswith("/train/part-0a.parquet")
    assert pq.read_schema(uri).equals(CLIP_SCHEMA)
    assert [path.name for path in (tmp_path / "train").iterdir()] == ["part-0a.parquet"]


@pytest.mark.parametrize("where", ["{tmp_path}", "file://{tmp_path}", "memory://signdpo-clips"])
def test_a_split_is_read_in_the_order_of_its_shards_from_any_storage(tmp_path: Path, where: str) -> None:
    directory = where.format(tmp_path=tmp_path)
    store(directory, "dev", z=clip("a"), a=clip("b"), c=clip("c"))
    table = read_clips(directory, "dev", columns=["id", "num_frames"])
    assert table.to_pydict() == {"id": ["a", "b", "c"], "num_frames": [3, 3, 3]}


def test_a_missing_split_names_the_job_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dev: make them with jobs/prepare\.py"):
        read_clips(tmp_path, "dev")


def test_a_prepared_clip_is_short_and_normalised() -> None:
    prepared = prepare_clip(clip(frames=20), max_frames=5)
    assert prepared.keypoints.shape == (5, NUM_JOINTS, 3)
    body = prepared.keypoints[:, :9, :2]
    assert max(np.ptp(body[..., 0]), np.ptp(body[..., 1])) == pytest.approx(2, abs=1e-5)


def test_a_clip_without_a_visible_body_is_refused() -> None:
    unseen = clip()
    unseen.keypoints[:, :9, 2] = 0.3
    with pytest.raises(BadClipError, match="the body is not visible"):
        prepare_clip(unseen, max_frames=5)


def test_the_quarantine_keeps_any_text(tmp_path: Path) -> None:
    records = [
        Quarantined("我", "train", "a\nb\u2028", 'a "reason"'),
        Quarantined("lone \ud800 surrogate", "dev", "", ""),
    ]
    write_quarantine(str(tmp_path), records)
    assert read_quarantine(str(tmp_path)) == records
