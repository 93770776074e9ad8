"""One optimiser step: the same gradient by any number of workers, and none where it is not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing
from support.small_start import SmallStart
from support.two_workers import SENTENCES, state_of, step_on, work

from signdpo.dpo.objective import likelihood_objective
from signdpo.levels import LEVELS
from signdpo.models.policy import Policy
from signdpo.training.state import MOST_FAULTS


def valid_rows(*rows: int) -> list[list[bool]]:
    """The skeleton levels have these rows, the language level has all."""
    return [[row in rows] * (len(LEVELS) - 2) + [True, row in rows] for row in range(len(SENTENCES))]


def test_two_workers_take_the_step_of_one(small_start: SmallStart, tmp_path: Path) -> None:
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    policy.save(tmp_path)
    cases = [valid_rows(0, 1, 2, 3), valid_rows(0, 1, 2, 3, 7), valid_rows(0, 2, 3, 5, 6), valid_rows()]
    torch.multiprocessing.spawn(work, (tmp_path, small_start.config, cases), nprocs=2)
    found = torch.load(tmp_path / "found.pt", weights_only=False)
    for valid, (gradient, metrics) in zip(cases, found, strict=True):
        alone, expected = step_on(tmp_path, small_start.config, valid, slice(0, 8), group=False)
        assert np.linalg.norm(gradient - alone) <= 1e-5 * np.linalg.norm(alone)
        assert metrics == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert "losses/language" in found[-1][1]
    assert "losses/spatial_local" not in found[-1][1]  # unknown, where there was no pair


def test_a_step_that_is_not_finite_is_named_and_skipped(small_start: SmallStart, tmp_path: Path) -> None:
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    state = state_of(policy, tmp_path)
    state.optimizer.param_groups[0]["lr"] = 1.0
    before, statistics = policy.hash(), next(iter(policy.model.buffers()))

    def step(values: list[float]) -> dict[str, object]:
        scale = next(policy.model.parameters()).sum() * 0 + 1
        objective = likelihood_objective(torch.tensor(values) * scale, torch.ones(2))
        return state.update(objective, ["a", "b"], clip_grad_norm=1.0)

    statistics.data.fill_(float("nan"))  # as the forward pass of a bad clip leaves them
    row = step([-1.0, float("nan")])
    assert row["fault"] == "nll of b"
    assert "loss" not in row
    assert policy.hash() == before
    assert state.step == 1
    assert "fault" not in step([-1.0, -2.0])
    for _ in range(MOST_FAULTS):
        assert not state.has_failed
        step([float("-inf"), -1.0])
    assert state.has_failed


def test_a_gradient_that_is_not_finite_names_the_clips(small_start: SmallStart, tmp_path: Path) -> None:
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    state = state_of(policy, tmp_path)
    zero = next(policy.model.parameters()).flatten()[0] * 0
    objective = likelihood_objective(-torch.sqrt(zero).expand(3), torch.ones(3))  # 0, with an infinite slope
    assert state.update(objective, ["a", "b", "c"], clip_grad_norm=1.0)["fault"] == "the gradient of a, b, c"


def test_weights_that_are_not_finite_are_no_checkpoint(small_start: SmallStart, tmp_path: Path) -> None:
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    state = state_of(policy, tmp_path)
    next(policy.model.parameters()).data.fill_(float("inf"))
    state.report({"step": 1, "epoch": 0}, checkpoint=True)
    assert state.has_failed
    assert state.committed_step == 0
    assert state.metrics.read()[0]["fault"] == "the weights"
