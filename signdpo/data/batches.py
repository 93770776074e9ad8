"""A batch of preference rows by name: nobody else needs to know which place of a column is which level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from signdpo.data.rows import clips_of, keypoints_of
from signdpo.levels import COUNTERFACTUAL, LEVELS, SKELETON_LEVELS
from signdpo.seeding import derive_seed
from signdpo.skeleton.augmentation import augment


@dataclass(frozen=True)
class ClipBatch:
    """Clip rows of a schedule, collated.

    Args:
        ids: of the clips.
        epochs: `(batch,)` int32, from 0.
        steps: `(batch,)` int64, from 0 over all epochs.
        texts: their sentences.
        clips: `(frames_i, 69, 3)` float32 each.
    """

    ids: list[str]
    epochs: np.ndarray
    steps: np.ndarray
    texts: list[str]
    clips: list[np.ndarray]

    @classmethod
    def collate(cls, columns: Mapping[str, Any]) -> Self:
        """The columns of clip rows with those of their schedule."""
        return cls(**cls._own_columns(columns))

    @classmethod
    def _own_columns(cls, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "ids": _texts(columns["id"]),
            "epochs": np.asarray(columns["epoch"]),
            "steps": np.asarray(columns["step"]),
            "texts": _texts(columns["text"]),
            "clips": clips_of(columns),
        }

    def __len__(self) -> int:
        return len(self.ids)

    def augmented(self, strengths: Mapping[str, float], seed: int) -> list[np.ndarray]:
        """The clips changed by operations of `signdpo.skeleton.augmentation`, anew in each epoch.

        What becomes of a clip depends on `seed`, its epoch and its id, so not on the batch or on the worker.

        Args:
            strengths: operation -> strength; without any the clips are as they are.
            seed: of the run.
        """
        if not strengths:
            return self.clips
        rows = zip(self.clips, self.epochs.tolist(), self.ids, strict=True)
        return [augment(clip, strengths, derive_seed(seed, epoch, id_, "augmentation")) for clip, epoch, id_ in rows]


@dataclass(frozen=True)
class PreferenceBatch(ClipBatch):
    """Preference rows, collated: clips with the chosen sentences, and what is made of them.

    Mappings by level have the levels that were asked for.

    Args:
        rejected_texts: the rejected sentences; empty where none was found.
        counterfactual_clips: `(frames_i, 69, 3)` float32 of each row whose counterfactual is valid.
        counterfactual_texts: their sentences, preferred there to those of `texts`.
        reference_counterfactual: their log-probabilities under the reference.
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

    rejected_texts: list[str]
    counterfactual_clips: list[np.ndarray]
    counterfactual_texts: list[str]
    reference_counterfactual: np.ndarray
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
    def collate(cls, columns: Mapping[str, Any], levels: Sequence[str] | None = None) -> Self:
        """The columns of `PREFERENCE_SCHEMA`, as a generator made them or as they came out of Ray or a cache.

        Args:
            columns: name -> its values, one a row.
            levels: those that are asked for, which must have been made; None: all that were made.
        """
        logps = np.stack(columns["reference_logps"])  # (batch, 6)
        if levels is None:
            levels = [level for level in SKELETON_LEVELS if len(columns[f"keypoints_{level}"][0])]
            others = [level for level in LEVELS if level not in SKELETON_LEVELS]
            levels += [level for level in others if not np.isnan(logps[:, 1 + LEVELS.index(level)]).all()]
        skeletons = [level for level in SKELETON_LEVELS if level in levels]

        def by_level(known: Sequence[str], rows: Any) -> dict[str, np.ndarray]:
            """Rows of one value a level -> level -> `(batch,)`."""
            table = zip(known, np.stack(rows).T, strict=True)
            return {level: column for level, column in table if level in levels}

        valid = by_level(LEVELS, columns["valid"])
        there = np.flatnonzero(valid.get(COUNTERFACTUAL, np.zeros(0, dtype=bool)))
        return cls(
            **cls._own_columns(columns),
            rejected_texts=_texts(columns["rejected_text"]),
            counterfactual_clips=[keypoints_of(columns["keypoints_counterfactual"][row]) for row in there],
            counterfactual_texts=[str(columns["text_counterfactual"][row]) for row in there],
            reference_counterfactual=np.asarray(columns["reference_counterfactual"])[there],
            rejected_clips={level: clips_of(columns, f"keypoints_{level}") for level in skeletons},
            reference_chosen=logps[:, 0],
            reference_rejected=by_level(LEVELS, logps[:, 1:]),
            reference_margins=by_level(LEVELS, columns["reference_margins"]),
            valid=valid,
            operations={
                level: _texts(row[SKELETON_LEVELS.index(level)] for row in columns["operations"]) for level in skeletons
            },
            strengths=by_level(SKELETON_LEVELS, columns["strengths"]),
            redraws=by_level(SKELETON_LEVELS, columns["redraws"]),
            frame_salience=[np.asarray(row, dtype=np.float32) for row in columns["salience_frames"]],
            part_salience=np.stack(columns["salience_parts"]),
            reference_hashes=_texts(columns["reference_hash"]),
            policy_versions=np.asarray(columns["policy_version"]),
            generators=_texts(columns["generator"]),
        )


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values]
