"""Minimal pairs as they are stored, a line each, and the share of them that a system gets right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from signdpo.evaluation.significance import Measurement
from signdpo.evaluation.systems import margins_of
from signdpo.evaluation.training_sentences import share

TIE: Final = 1e-3  # nats: closer log-probabilities are equal, whatever batches they were computed in; half a point


def pair_lines(rows: Iterable[Mapping[str, Any]], systems: Sequence[str]) -> str:
    """JSON lines of the rows that `signdpo.evaluation.translation.Translator` made.

    Each has the `id` of the clip, the `kind` of pair, the `foil` (wrong sentence, or operation that distorted the clip)
    and `margins`: system -> log p of the right one less log p of the wrong one, in nats.
    """
    return "".join(
        json.dumps(
            {
                "id": row["id"],
                "kind": kind,
                "foil": row["foils"][place],
                "margins": {system: round(row[margins_of(system)][place], 4) for system in systems},
            },
            ensure_ascii=False,
        )
        + "\n"
        for row in rows
        for place, kind in enumerate(row["kinds"])
    )


def measure_pairs(lines: str, ids: Sequence[str], system: str) -> dict[str, Measurement]:
    """Kind of pair -> the share of its pairs in which a system finds the right one likelier, to be resampled by clips.

    Args:
        lines: of `pair_lines`.
        ids: clips of the split, in the order of other measurements.
        system: whose margins count.
    """
    place_of = {clip: place for place, clip in enumerate(ids)}
    counts: dict[str, np.ndarray] = {}
    for line in lines.splitlines():
        pair = json.loads(line)
        margin = pair["margins"][system]
        right = 0.5 if abs(margin) <= TIE else float(margin > 0)
        counts.setdefault(pair["kind"], np.zeros((len(ids), 2)))[place_of[pair["id"]]] += right, 1
    return {kind: share(statistics) for kind, statistics in sorted(counts.items())}
