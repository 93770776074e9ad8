"""Which counterfactuals are kept, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signdpo.counterfactuals.maker import Counterfactual

# Rows and their counterfactuals -> `(n,)` log r of the counterfactuals' sentences, of the clips' own, and the tokens of
# the former.
Score = Callable[[list[int], list[Counterfactual]], tuple[Tensor, Tensor, Tensor]]


def keep_likely(
    drawn: Sequence[Counterfactual | None], score: Score, *, min_logp: float
) -> tuple[list[Counterfactual | None], Tensor, Tensor]:
    """Keep those whose sentences the reference finds likely: most of the others nobody would say.

    Args:
        drawn: of each clip, or None.
        score: scores under the reference.
        min_logp: least log-probability a token, in nats.

    Returns:
        Those that are kept, and under their clips `(batch,)` the log-probabilities of their sentences and of the clips'
        own; NaN where none was drawn.
    """
    kept, scores = list(drawn), torch.full((2, len(drawn)), torch.nan)
    rows = [row for row, each in enumerate(drawn) if each is not None]
    if rows:
        scores[0, rows], scores[1, rows], lengths = score(rows, [each for each in drawn if each is not None])
        for row, likely in zip(rows, (scores[0, rows] / lengths >= min_logp).tolist(), strict=True):
            kept[row] = kept[row] if likely else None
    return kept, scores[0], scores[1]


def counterfactual_columns(kept: Sequence[Counterfactual | None], preferred: Tensor) -> dict[str, Any]:
    """Their columns of `PREFERENCE_SCHEMA`.

    Args:
        kept: of each clip, or None.
        preferred: `(batch,)` log-probabilities of their sentences.
    """
    nothing = np.zeros(0, dtype=np.float16)
    keypoints = (nothing if each is None else each.keypoints.astype(np.float16).ravel() for each in kept)
    return {
        "keypoints_counterfactual": list(keypoints),
        "text_counterfactual": np.array(["" if each is None else each.text for each in kept]),
        "reference_counterfactual": preferred.numpy(),
    }
