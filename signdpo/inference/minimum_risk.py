"""Minimum Bayes risk: of several translations the one that is most like all the others (Eikema and Aziz, 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sacrebleu.metrics import CHRF

_CHRF: Final = CHRF()


def expected_chrf(candidates: Sequence[str], weights: Sequence[float]) -> np.ndarray:
    """The chrF that each candidate may expect if the right sentence is one of them: `(candidates,)`, 0 to 100.

    Args:
        candidates: translations of one clip; the same may come several times, as samples do.
        weights: how probable each of them is; they need not add up to 1.
    """
    places: dict[str, int] = {}
    where = np.array([places.setdefault(candidate, len(places)) for candidate in candidates])  # (candidates,)
    distinct = list(places)
    mass = np.bincount(where, weights=np.asarray(weights, dtype=np.float64))
    chrf = np.array([[_CHRF.sentence_score(one, [other]).score for other in distinct] for one in distinct])
    return (chrf @ (mass / mass.sum()))[where]
