"""Preference rows that no generator made, for tests that care for a few of their columns."""

from typing import Any

import numpy as np

from signdpo.levels import SKELETON_LEVELS

FRAMES = 2


def preference_columns(count: int, **given: Any) -> dict[str, Any]:
    """The columns of `PREFERENCE_SCHEMA`; each of `given` replaces one."""
    clips = [np.full(FRAMES * 207, row, dtype=np.float16) for row in range(count)]
    return {
        "id": np.array([f"clip-{row}" for row in range(count)], dtype=object),
        "text": np.array(["a word"] * count, dtype=object),
        "num_frames": np.full(count, FRAMES, dtype=np.int32),
        "keypoints": clips,
        "gloss": [np.array([], dtype=object)] * count,
        "gloss_spans": [np.array([], dtype=np.int32)] * count,
        "signer": np.array([""] * count),
        "epoch": np.zeros(count, dtype=np.int32),
        "step": np.zeros(count, dtype=np.int64),
        **{f"keypoints_{level}": [clip + place + 1 for clip in clips] for place, level in enumerate(SKELETON_LEVELS)},
        "rejected_text": np.array(["another word"] * count),
        "keypoints_counterfactual": [clip + 9 for clip in clips],
        "text_counterfactual": np.array(["a sign"] * count),
        "reference_counterfactual": np.full(count, -0.5, dtype=np.float32),
        "reference_logps": list(np.tile(np.arange(0, -7, -1, dtype=np.float32), (count, 1))),
        "reference_margins": list(np.tile(np.arange(1, 7, dtype=np.float32), (count, 1))),
        "valid": [np.array([True] * 6)] * count,
        "operations": [["rotate", "none", "reverse", "drop"]] * count,
        "strengths": [np.full(4, 0.5, dtype=np.float32)] * count,
        "redraws": [np.zeros(4, dtype=np.int32)] * count,
        "salience_frames": [np.full(FRAMES, 1 / FRAMES, dtype=np.float16)] * count,
        "salience_parts": [np.full(4, 0.25, dtype=np.float32)] * count,
        "reference_hash": np.array(["r0"] * count),
        "policy_version": np.zeros(count, dtype=np.int32),
        "generator": np.array(["g0"] * count),
        **given,
    }
