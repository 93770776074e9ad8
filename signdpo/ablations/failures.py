"""How wrong sentences differ from their references, and how far two perturbers' ways of being wrong lie apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import CHRF

from signdpo.text.units import Operation, align, folded, split_units

STATISTICS = ("length_ratio", "chrf", "substituted", "omitted", "inserted")


def failure_statistics(references: Sequence[str], sentences: Sequence[str]) -> dict[str, np.ndarray]:
    """Statistics of each wrong sentence against its reference, `(sentences,)` float64 each.

    Units are words and Chinese characters, punctuation left out; edits are the fewest that turn the reference into the
    sentence.

    Returns:
        `length_ratio`: units of the sentence a unit of the reference; `chrf`: character n-gram F-score, 0 to 100;
        `substituted`, `omitted`, `inserted`: edits a unit of the reference.
    """
    chrf = CHRF()
    rows = []
    for reference, sentence in zip(references, sentences, strict=True):
        old, new = ([unit for unit in split_units(text) if folded(unit)] for text in (reference, sentence))
        edits = [edit.operation for edit in align(old, new)]
        length = max(len(old), 1)
        kinds = (Operation.SUBSTITUTE, Operation.OMIT, Operation.INSERT)
        score = chrf.sentence_score(sentence, [reference]).score
        rows.append((len(new) / length, score, *(edits.count(kind) / length for kind in kinds)))
    return dict(zip(STATISTICS, np.array(rows, dtype=np.float64).reshape(-1, len(STATISTICS)).T, strict=True))


def wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Wasserstein-1 distance of two samples: the area between their cumulative distributions."""
    values = np.sort(np.concatenate([first, second]))
    heights = [np.searchsorted(np.sort(sample), values[:-1], side="right") / len(sample) for sample in (first, second)]
    return float(np.sum(np.abs(heights[0] - heights[1]) * np.diff(values)))


def distances(real: dict[str, np.ndarray], imitated: dict[str, np.ndarray]) -> dict[str, float]:
    """Wasserstein-1 distance of each statistic in standard deviations of the real failures, and their `mean`."""
    each = {name: wasserstein(real[name], imitated[name]) / max(float(real[name].std()), 1e-9) for name in STATISTICS}
    return {**each, "mean": float(np.mean(list(each.values())))}
