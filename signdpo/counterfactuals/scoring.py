"""Which counterfactuals are kept, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signdpo.counterfactuals.maker import Counterfactual

# Rows and an attempt -> a counterfactual of each row, or None.
Draw = Callable[[list[int], int], Sequence[Counterfactual | None]]
# Rows and their counterfactuals -> `(n,)` log r of the counterfactuals' sentences, of the clips' own, and the tokens of
# the former.
Score = Callable[[list[int], list[Counterfactual]], tuple[Tensor, Tensor, Tensor]]


def draw_likely(
    count: int, draw: Draw, score: Score, *, min_logp: float, redraws: int, noise: float
) -> tuple[list[Counterfactual | None], Tensor, Tensor]:
    """Counterfactuals whose sentences the reference finds likely: most of the others nobody would say.

    Args:
        count: of rows.
        draw: draws them; another attempt draws others.
        score: scores them under the reference.
        min_logp: least log-probability a token, in nats.
        redraws: how often one that is too unlikely is drawn again, at most.
        noise: by how much a log-probability may differ between batches. One so near to `min_logp` that this decides is
            measured again with the clip alone.

    Returns:
        Of each row one or None, and of the last that was drawn `(count,)` the log-probabilities, under its clip, of its
        sentence and of that of the clip it was made of; NaN where none was drawn.
    """
    kept: list[Counterfactual | None] = [None] * count
    scores = torch.full((2, count), torch.nan)
    waiting = list(range(count))
    for attempt in range(redraws + 1):
        drawn = [(row, each) for row, each in zip(waiting, draw(waiting, attempt), strict=True) if each is not None]
        if not drawn:
            continue  # another attempt may find what this one did not, whatever becomes of the rows beside it
        preferred, replaced, lengths = score([row for row, _ in drawn], [each for _, each in drawn])
        for place, (row, each) in enumerate(drawn):
            least = min_logp * float(lengths[place])
            if abs(float(preferred[place]) - least) < noise:
                preferred[place], replaced[place] = (values[0] for values in score([row], [each])[:2])
            scores[:, row] = torch.stack([preferred[place], replaced[place]])
            if float(preferred[place]) >= least:
                kept[row] = each
        waiting = [row for row in waiting if kept[row] is None]
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
