"""The rows that flow: clips as they are stored and read, and the preferences that generators make of them.

Nothing here needs torch: Ray's own processes import it too.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from signdpo.levels import SKELETON_LEVELS
from signdpo.skeleton.clip import Clip, draw_frames, sample_frames, sampled_spans
from signdpo.skeleton.layout import CHANNELS, NUM_JOINTS

Columns = dict[str, Any]  # a batch of rows as Ray hands it over: name of a column -> its values, one a row

# Keypoints are flat: nested lists leave Arrow for pickled objects in Ray, and crawl.
KEYPOINTS: Final = pa.list_(pa.float16())

CLIP_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),  # of the clip, unique within its split
        ("text", pa.string()),  # the sentence that is signed: the chosen one of every pair
        ("num_frames", pa.int32()),  # frames that are stored
        ("keypoints", KEYPOINTS),  # num_frames * 69 joints * (x, y, confidence), in normalised coordinates
        ("gloss", pa.list_(pa.string())),  # the signs in order; empty if unknown
        ("gloss_spans", pa.list_(pa.int32())),  # first and past-the-last frame of each gloss; empty if unknown
        ("signer", pa.string()),  # empty if unknown
    ]
)

# A level that is not made (`negatives.levels`) has empty keypoints, NaN scores, and is not valid.
PREFERENCE_SCHEMA: Final = pa.schema(
    [
        *CLIP_SCHEMA,
        ("epoch", pa.int32()),  # from 0; each has negatives of its own
        ("step", pa.int64()),  # update that the row is for, from 0 over all epochs
        *((f"keypoints_{level}", KEYPOINTS) for level in SKELETON_LEVELS),  # of the non-preferred clips, as many
        ("rejected_text", pa.string()),  # the non-preferred sentence; empty if none was found
        ("keypoints_counterfactual", KEYPOINTS),  # of the clip in which other signs are signed; empty if there is none
        ("text_counterfactual", pa.string()),  # the sentence that is right for it, and preferred to `text` there
        ("reference_counterfactual", pa.float32()),  # log r of that pair
        ("reference_logps", pa.list_(pa.float32())),  # (7,) log r in nats a sentence: chosen, then rejected of `LEVELS`
        ("reference_margins", pa.list_(pa.float32())),  # (6,) log r(chosen) - log r(rejected) of `LEVELS`, as decided
        ("valid", pa.list_(pa.bool_())),  # (6,) of `LEVELS`: False masks the level in the loss
        ("operations", pa.list_(pa.string())),  # (4,) of `SKELETON_LEVELS`: the operation applied; "none" if none was
        ("strengths", pa.list_(pa.float32())),  # (4,) of `SKELETON_LEVELS`: in (0, 1]
        ("redraws", pa.list_(pa.int32())),  # (4,) of `SKELETON_LEVELS`: times that it was drawn again
        ("salience_frames", pa.list_(pa.float16())),  # (num_frames,) share of the meaning that each frame carries
        ("salience_parts", pa.list_(pa.float32())),  # (4,) share that each of `PARTS` carries
        ("reference_hash", pa.string()),  # of the weights of the reference that scored the row
        ("policy_version", pa.int32()),  # updates that the guide of the negatives had had; 0: the reference itself
        ("generator", pa.string()),  # the actor that made the row
    ]
)


def table_of(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """The columns of a schema as plain Arrow; others are left out.

    Raises:
        TypeError: naming a column whose values are not of its type.
    """
    arrays = []
    for field in schema:
        try:
            arrays.append(pa.array(columns[field.name], field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise TypeError(f"the column {field.name} is not of type {field.type}: {error}") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def clip_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of `clip_to_row` as a table of `CLIP_SCHEMA`."""
    return table_of({name: [row[name] for row in rows] for name in CLIP_SCHEMA.names}, CLIP_SCHEMA)


def clip_to_row(clip: Clip) -> dict[str, Any]:
    """The row of `CLIP_SCHEMA` of a normalised clip; keypoints are rounded to float16."""
    return {
        "id": clip.id,
        "text": clip.text,
        "num_frames": len(clip.keypoints),
        "keypoints": clip.keypoints.astype(np.float16).ravel(),
        "gloss": list(clip.gloss),
        "gloss_spans": [] if clip.gloss_spans is None else clip.gloss_spans.astype(np.int32).ravel(),
        "signer": clip.signer,
    }


def row_digest(row: Mapping[str, Any]) -> str:
    """A hash of everything in a row of `clip_to_row`; 32 hexadecimal digits."""
    texts = [row["id"], row["text"], row["signer"], *row["gloss"], str(np.asarray(row["gloss_spans"]).tolist())]
    digest = hashlib.blake2b(json.dumps(texts, ensure_ascii=False).encode(), digest_size=16)
    digest.update(row["keypoints"].tobytes())
    return digest.hexdigest()


def keypoints_of(keypoints: np.ndarray | Sequence[float], num_frames: int = -1) -> np.ndarray:
    """The `(num_frames, 69, 3)` float32 of a row's flat keypoints: a copy, since batches of Ray are read-only views."""
    return np.array(keypoints, dtype=np.float32).reshape(num_frames, NUM_JOINTS, CHANNELS)


def clips_of(rows: Mapping[str, Any] | Sequence[Mapping[str, Any]], column: str = "keypoints") -> list[np.ndarray]:
    """The clips `(num_frames_i, 69, 3)` float32 of rows.

    Args:
        rows: columns of a batch, or rows one by one.
        column: a column of keypoints.
    """
    if isinstance(rows, Mapping):
        return [keypoints_of(*row) for row in zip(rows[column], rows["num_frames"], strict=True)]
    return [keypoints_of(row[column], row["num_frames"]) for row in rows]


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows one by one, as `to_pylist` has them, but that keypoints stay float16 views of the table's memory.

    As Python's numbers, keypoints would take twenty times the memory and, for a dev split, most of the time of scoring.
    """
    columns = [_values_of(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values_of(column: pa.ChunkedArray) -> list[Any]:
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not lists or column.type.value_type != KEYPOINTS.value_type:
        return list(column.to_pylist())
    views = []
    for chunk in column.chunks:
        flat = chunk.values.to_numpy(zero_copy_only=True)
        views += [flat[begin:end] for begin, end in itertools.pairwise(chunk.offsets.to_numpy())]
    return views


def shorten_row(row: dict[str, Any], max_frames: int, rng: np.random.Generator | None = None) -> dict[str, Any]:
    """A stored row with at most `max_frames` frames, evenly spaced or, given `rng`, drawn at random; float16 stays."""
    if row["num_frames"] <= max_frames:
        return row
    stored = np.asarray(row["keypoints"], dtype=np.float16).reshape(row["num_frames"], NUM_JOINTS, CHANNELS)
    frames = sample_frames(len(stored), max_frames) if rng is None else draw_frames(len(stored), max_frames, rng)
    spans = sampled_spans(np.asarray(row["gloss_spans"], dtype=np.int32), frames)
    return row | {"num_frames": max_frames, "keypoints": stored[frames].ravel(), "gloss_spans": spans}
