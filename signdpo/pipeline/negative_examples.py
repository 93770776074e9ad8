"""Negatives of a run made again, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray

from signdpo.config import ConfigError
from signdpo.data.batches import PreferenceBatch
from signdpo.data.clips import read_clips
from signdpo.data.rows import rows_of, shorten_row
from signdpo.levels import COUNTERFACTUAL
from signdpo.negatives.generator import NegativeGenerator
from signdpo.negatives.skeleton.negative import UNCHANGED
from signdpo.pipeline.actors import GeneratorArguments
from signdpo.report.negatives import NegativeExample
from signdpo.run_context import RunContext

NEIGHBOURS = 4  # clips of like length, of which the one to show is chosen


def negative_examples(
    context: RunContext,
    reference_hash: str,
    *,
    split: str = "train",
    ids: Sequence[str] = (),
    count: int = 3,
    epoch: int = 0,
) -> list[NegativeExample]:
    """The negatives of a few clips; those of training clips are the very ones that an epoch trains on.

    With `negatives.policy=current` they are those that version 0 of the policy, the reference, guides.

    Args:
        context: of a run whose baseline and perturber are there.
        reference_hash: of the baseline.
        split: of the clips.
        ids: of the clips; without any, `count` clips evenly spaced from short ones to long ones, and there of a few
            neighbours the first of those with the fewest levels left out: what is left out is not much to look at.
        count: how many, without `ids`.
        epoch: whose negatives.

    Raises:
        ConfigError: if there is no clip of an id.
    """
    config = context.config
    groups = _candidates(context, split, ids, count)
    rows = [shorten_row(row, config.corpus.max_frames) for group in groups for row in group]
    asked = config.resources.of_generator()
    make = _generate.options(num_cpus=asked.pop("CPU"), num_gpus=asked.pop("GPU", None), resources=asked)
    arguments = GeneratorArguments(
        config, context.baseline, reference_hash, context.perturber, context.clips, context.segments
    )
    batch = PreferenceBatch.collate(ray.get(make.remote(arguments, rows, epoch)))
    examples = (_example(batch, row) for row in range(len(rows)))
    return [min([next(examples) for _ in group], key=lambda example: len(example.left_out)) for group in groups]


def _candidates(context: RunContext, split: str, ids: Sequence[str], count: int) -> list[list[dict[str, Any]]]:
    """Clips in groups; one of each is shown."""
    clips = read_clips(context.path("clips"), split)
    if not ids:
        # Shards hold clips of like length, so the first clips are the shortest.
        groups = min(count, clips.num_rows)
        size = min(NEIGHBOURS, clips.num_rows // groups)
        starts = np.linspace(0, clips.num_rows - size, groups).astype(int).tolist()
        return [rows_of(clips.slice(start, size)) for start in starts]
    where = {clip: place for place, clip in enumerate(clips["id"].to_pylist())}
    unknown = [clip for clip in ids if clip not in where]
    if unknown:
        raise ConfigError(f"there is no clip {unknown[0]} in split {split}; one that exists is {next(iter(where))}")
    return [rows_of(clips.slice(where[clip], 1)) for clip in ids]


@ray.remote
def _generate(arguments: GeneratorArguments, rows: list[dict[str, Any]], epoch: int) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["epoch"] = np.full(len(rows), epoch, dtype=np.int32)
    columns["step"] = np.zeros(len(rows), dtype=np.int64)  # of no training
    return NegativeGenerator(**vars(arguments))(columns)


def _example(batch: PreferenceBatch, row: int) -> NegativeExample:
    operations = {level: names[row] for level, names in batch.operations.items()}
    margins = {level: float(values[row]) for level, values in batch.reference_margins.items()}
    valid = batch.valid.get(COUNTERFACTUAL, np.zeros(len(batch), dtype=bool))
    place = int(valid[:row].sum())  # of those that have one
    return NegativeExample(
        id=batch.ids[row],
        text=batch.texts[row],
        rejected_text=batch.rejected_texts[row],
        keypoints=batch.clips[row],
        perturbed={level: clips[row] for level, clips in batch.rejected_clips.items()},
        frame_salience=batch.frame_salience[row],
        part_salience=batch.part_salience[row],
        operations={level: operation for level, operation in operations.items() if operation != UNCHANGED},
        reference_margins={level: margin for level, margin in margins.items() if np.isfinite(margin)},
        left_out=[level for level, kept in batch.valid.items() if not kept[row]],
        counterfactual=batch.counterfactual_clips[place] if valid[row] else None,
        counterfactual_text=batch.counterfactual_texts[place] if valid[row] else "",
    )
