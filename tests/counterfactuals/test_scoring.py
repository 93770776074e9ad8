"""Which counterfactuals are kept, and how often they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from signdpo.counterfactuals.maker import Counterfactual
from signdpo.counterfactuals.scoring import draw_likely


def made(text: str) -> Counterfactual:
    return Counterfactual(np.zeros((4, 69, 3), dtype=np.float32), text)


# Row -> the log-probability of two tokens at each attempt; None: nothing could be drawn.
LIKELIHOODS: dict[int, list[float | None]] = {
    0: [-1.0, 0.0, 0.0],  # likely at once
    1: [-9.0, None, -1.5],  # at the third attempt
    2: [-9.0, -8.0, -7.0],  # never
    3: [None, None, None],
}


def draw(rows: list[int], attempt: int) -> list[Counterfactual | None]:
    values = [(row, LIKELIHOODS[row][attempt]) for row in rows]
    return [None if value is None else made(f"{row} {value}") for row, value in values]


def score(rows: list[int], drawn: list[Counterfactual]) -> tuple[Tensor, Tensor, Tensor]:
    values = torch.tensor([float(each.text.split()[1]) for each in drawn])
    return values, values - 1, torch.full((len(drawn),), 2)


@pytest.mark.parametrize(("redraws", "kept"), [(0, [0]), (1, [0]), (2, [0, 1])])
def test_what_is_too_unlikely_is_drawn_again(redraws: int, kept: list[int]) -> None:
    found, preferred, replaced = draw_likely(4, draw, score, min_logp=-1.0, redraws=redraws, noise=1e-3)
    assert [row for row, each in enumerate(found) if each is not None] == kept
    last = [LIKELIHOODS[row][: redraws + 1] for row in range(4)]
    expected = [next((value for value in reversed(values) if value is not None), float("nan")) for values in last]
    expected[0] = -1.0  # not drawn again
    assert preferred.tolist() == pytest.approx(expected, nan_ok=True)
    assert (preferred - replaced).tolist() == pytest.approx([1.0, 1.0, 1.0, float("nan")], nan_ok=True)


@pytest.mark.parametrize("row", LIKELIHOODS)
def test_what_becomes_of_a_row_does_not_depend_on_the_others(row: int) -> None:
    def draw_alone(rows: list[int], attempt: int) -> list[Counterfactual | None]:
        return draw([row for _ in rows], attempt)

    together, logps, _ = draw_likely(4, draw, score, min_logp=-1.0, redraws=2, noise=1e-3)
    (alone,), (logp,), _ = draw_likely(1, draw_alone, score, min_logp=-1.0, redraws=2, noise=1e-3)
    assert (alone is None) == (together[row] is None)
    assert logp.item() == pytest.approx(logps[row].item(), nan_ok=True)


def test_nothing_is_scored_where_nothing_was_drawn() -> None:
    def fail(rows: list[int], drawn: list[Counterfactual]) -> tuple[Tensor, Tensor, Tensor]:
        raise AssertionError("scored")

    found, preferred, _ = draw_likely(
        2, lambda rows, attempt: [None] * len(rows), fail, min_logp=-1.0, redraws=3, noise=1e-3
    )
    assert found == [None, None]
    assert preferred.isnan().all()


def test_what_noise_would_decide_is_measured_alone() -> None:
    alone = []

    def noisy(rows: list[int], drawn: list[Counterfactual]) -> tuple[Tensor, Tensor, Tensor]:
        if len(rows) == 1:
            alone.extend(rows)
        values = torch.tensor([-2.0 if len(rows) == 1 else -2.0005, -5.0])[: len(rows)]
        return values, values, torch.full((len(rows),), 2)

    found, preferred, _ = draw_likely(
        2, lambda rows, attempt: [made("new")] * len(rows), noisy, min_logp=-1.0, redraws=0, noise=1e-3
    )
    assert alone == [0]
    assert [each is not None for each in found] == [True, False]
    assert preferred[0] == -2.0
