"""What a row is: its columns, their types, and the clip or the preferences that it stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.preferences import FRAMES, preference_columns

from signdpo.data.batches import PreferenceBatch
from signdpo.data.clips import read_parquet, write_parquet
from signdpo.data.rows import (
    PREFERENCE_SCHEMA,
    clip_table,
    clip_to_row,
    clips_of,
    keypoints_of,
    row_digest,
    rows_of,
    shorten_row,
    table_of,
)
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.skeleton.clip import Clip
from signdpo.skeleton.layout import NUM_JOINTS


def clip(frames: int = 3) -> Clip:
    keypoints = np.random.default_rng(frames).uniform(-1, 1, (frames, NUM_JOINTS, 3)).astype(np.float32)
    return Clip("a", "a word", keypoints, ("A", "WORD"), np.array([[0, 1], [1, 3]], np.int32), "anna")


def test_keypoints_are_a_copy_even_of_a_read_only_view() -> None:
    flat = np.zeros(NUM_JOINTS * 3, np.float16)
    flat.flags.writeable = False
    keypoints = keypoints_of(flat, 1)
    keypoints[:] = 1
    assert keypoints.dtype == np.float32
    assert not flat.any()


def test_clips_are_the_same_from_rows_and_from_columns() -> None:
    rows = clip_table([clip_to_row(clip(frames)) for frames in (3, 5)])
    columns = {name: rows[name].to_numpy() for name in ("keypoints", "num_frames")}
    for one, other, frames in zip(clips_of(rows.to_pylist()), clips_of(columns), (3, 5), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, clip(frames).keypoints.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("shape", ["whole", "sliced", "of two files", "of large lists", "empty"])
def test_rows_are_those_of_arrow_with_keypoints_as_views(shape: str, tmp_path: Path) -> None:
    one, other = (clip_table([clip_to_row(clip(frames)) for frames in lengths]) for lengths in ((3, 5, 2), (4,)))
    write_parquet(str(tmp_path / "clips.parquet"), one)
    table = {
        "whole": read_parquet(str(tmp_path / "clips.parquet")),
        "sliced": one.slice(1, 2),
        "of two files": pa.concat_tables([one, other]).take([3, 0, 2]),
        "of large lists": one.set_column(3, "keypoints", one["keypoints"].cast(pa.large_list(pa.float16()))),
        "empty": one.slice(0, 0),
    }[shape]
    rows, expected = rows_of(table), table.to_pylist()
    assert [row | {"keypoints": list(row["keypoints"])} for row in rows] == expected
    assert all(not isinstance(row["keypoints"], list) and not row["keypoints"].flags.owndata for row in rows)


def test_a_shortened_row_is_the_row_of_the_shortened_clip() -> None:
    shortened, expected = shorten_row(clip_to_row(clip(9)), 3), clip_to_row(clip(9).sampled(3))
    assert clip_table([shortened]).equals(clip_table([expected]))


def test_the_digest_sees_every_column() -> None:
    row = clip_to_row(clip())
    other_keypoints = row["keypoints"].copy()
    other_keypoints[0] += 1
    changes = {"id": "b", "text": "b", "signer": "b", "gloss": ["B"], "gloss_spans": [1], "keypoints": other_keypoints}
    digests = {row_digest({**row, column: value}) for column, value in changes.items()} | {row_digest(row)}
    assert len(digests) == len(changes) + 1


def test_a_preference_row_survives_storage() -> None:
    made = preference_columns(3)
    stored = table_of(made, PREFERENCE_SCHEMA)
    assert set(stored.column_names) == set(made)
    columns = {name: stored[name].to_numpy(zero_copy_only=False) for name in stored.column_names}
    assert table_of(columns, PREFERENCE_SCHEMA).equals(stored)


def test_a_column_of_another_type_is_named() -> None:
    with pytest.raises(TypeError, match=r"the column strengths is not of type list<.*float>: "):
        table_of(preference_columns(1, strengths=[object()]), PREFERENCE_SCHEMA)


@pytest.mark.parametrize("stored", [False, True])
def test_each_level_gets_its_own_values(stored: bool) -> None:
    columns = preference_columns(
        2,
        reference_logps=[np.arange(7, dtype=np.float32), np.arange(10, 17, dtype=np.float32)],
        valid=[np.array([True, False, True, False, True, False]), np.array([False] * 5 + [True])],
        redraws=[np.arange(4, dtype=np.int32), np.arange(4, 8, dtype=np.int32)],
    )
    if stored:
        table: pa.Table = table_of(columns, PREFERENCE_SCHEMA)
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    batch = PreferenceBatch.collate(columns)
    assert batch.reference_chosen.tolist() == [0, 10]
    assert [batch.reference_rejected[level].tolist() for level in LEVELS] == [[k, 10 + k] for k in range(1, 7)]
    assert [level for level in LEVELS if batch.valid[level][0]] == ["spatial_global", "temporal_global", "language"]
    assert [level for level in LEVELS if batch.valid[level][1]] == ["counterfactual"]
    assert batch.counterfactual_texts == ["a sign"]  # of the rows that have one
    assert [clip[0, 0, 0] for clip in batch.counterfactual_clips] == [1 + 9]
    assert batch.reference_counterfactual.tolist() == [-0.5]
    assert [batch.redraws[level].tolist() for level in SKELETON_LEVELS] == [[k, 4 + k] for k in range(4)]
    assert batch.operations["temporal_local"] == ["drop", "drop"]
    assert [clips[1][0, 0, 0] for clips in (batch.clips, *batch.rejected_clips.values())] == [1, 2, 3, 4, 5]
    assert batch.clips[0].shape == (FRAMES, NUM_JOINTS, 3)


@pytest.mark.parametrize("levels", [("temporal_global", "language"), None])
def test_levels_that_were_not_made_or_asked_for_are_not_there(levels: tuple[str, ...] | None) -> None:
    lacking = SKELETON_LEVELS if levels is None else ["spatial_global"]
    never_made = {f"keypoints_{level}": [np.array([], dtype=np.float16)] * 2 for level in lacking}
    if levels is None:
        never_made.pop("keypoints_temporal_global")
        never_made["reference_logps"] = [np.array([0, -1, -2, -3, -4, -5, np.nan], dtype=np.float32)] * 2
    batch = PreferenceBatch.collate(preference_columns(2, **never_made), levels)
    for by_level in (batch.reference_rejected, batch.reference_margins, batch.valid):
        assert list(by_level) == ["temporal_global", "language"]
    for by_skeleton in (batch.rejected_clips, batch.operations, batch.strengths, batch.redraws):
        assert list(by_skeleton) == ["temporal_global"]
    assert batch.reference_rejected["language"].tolist() == [-5, -5]
    assert batch.operations["temporal_global"] == ["reverse", "reverse"]


def test_a_level_without_scores_was_not_made() -> None:
    scores = [np.array([-1, -2, -3, -4, -5, np.nan, np.nan], dtype=np.float32)] * 2
    assert list(PreferenceBatch.collate(preference_columns(2, reference_logps=scores)).valid) == list(SKELETON_LEVELS)
