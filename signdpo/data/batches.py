"""A batch of preference rows by name: nobody else needs to know which place of a column is which level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signdpo.data.rows import clips_of
from signdpo.levels import LEVELS, SKELETON_LEVELS


@dataclass(frozen=True)
class PreferenceBatch:
    """Preference rows, collated.

    Args:
        ids: of the clips.
        epochs: `(batch,)` int32, from 0.
        steps: `(batch,)` int64, from 0 over all epochs.
        texts: the chosen sentences.
        rejected_texts: the rejected ones; empty where none was found.
        clips: `(frames_i, 69, 3)` float32 each, the chosen clips.
        rejected_clips: skeleton level -> clips of the same lengths.
        reference_chosen: `(batch,)` float32 log-probabilities of the chosen pairs under the reference, in nats.
        reference_rejected: level -> `(batch,)` float32, those of the rejected pairs.
        reference_margins: level -> `(batch,)` float32, by which negatives were accepted.
        valid: level -> `(batch,)` bool; False masks the level in the loss.
        operations: skeleton level -> the operation applied to each clip.
        strengths: skeleton level -> `(batch,)` float32.
        redraws: skeleton level -> `(batch,)` int32, the times that the negative was drawn again.
        frame_salience: `(frames_i,)` float32 each.
        part_salience: `(batch, 4)` float32.
        reference_hashes: of the reference that scored each row.
        policy_versions: `(batch,)` int32, updates that the guide of the negatives had had.
        generators: the actor that made each row.
    """

    ids: list[str]
    epochs: np.ndarray
    steps: np.ndarray
    texts: list[str]
    rejected_texts: list[str]
    clips: list[np.ndarray]
    rejected_clips: Mapping[str, list[np.ndarray]]
    reference_chosen: np.ndarray
    reference_rejected: Mapping[str, np.ndarray]
    reference_margins: Mapping[str, np.ndarray]
    valid: Mapping[str, np.ndarray]
    operations: Mapping[str, list[str]]
    strengths: Mapping[str, np.ndarray]
    redraws: Mapping[str, np.ndarray]
    frame_salience: list[np.ndarray]
    part_salience: np.ndarray
    reference_hashes: list[str]
    policy_versions: np.ndarray
    generators: list[str]

    @classmethod
    def collate(cls, columns: Mapping[str, Any]) -> PreferenceBatch:
        """The columns of `PREFERENCE_SCHEMA`, as a generator made them or as they came out of Ray or a cache."""
        logps = np.stack(columns["reference_logps"])  # (batch, 6)
        return cls(
            ids=_texts(columns["id"]),
            epochs=np.asarray(columns["epoch"]),
            steps=np.asarray(columns["step"]),
            texts=_texts(columns["text"]),
            rejected_texts=_texts(columns["rejected_text"]),
            clips=clips_of(columns),
            rejected_clips={level: clips_of(columns, f"keypoints_{level}") for level in SKELETON_LEVELS},
            reference_chosen=logps[:, 0],
            reference_rejected=_by_level(LEVELS, logps[:, 1:]),
            reference_margins=_by_level(LEVELS, columns["reference_margins"]),
            valid=_by_level(LEVELS, columns["valid"]),
            operations={
                level: _texts(row[place] for row in columns["operations"])
                for place, level in enumerate(SKELETON_LEVELS)
            },
            strengths=_by_level(SKELETON_LEVELS, columns["strengths"]),
            redraws=_by_level(SKELETON_LEVELS, columns["redraws"]),
            frame_salience=[np.asarray(row, dtype=np.float32) for row in columns["salience_frames"]],
            part_salience=np.stack(columns["salience_parts"]),
            reference_hashes=_texts(columns["reference_hash"]),
            policy_versions=np.asarray(columns["policy_version"]),
            generators=_texts(columns["generator"]),
        )

    def __len__(self) -> int:
        return len(self.ids)


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values]


def _by_level(levels: tuple[str, ...], rows: Any) -> dict[str, np.ndarray]:
    """Rows of one value a level -> level -> `(batch,)`."""
    return dict(zip(levels, np.stack(rows).T, strict=True))
