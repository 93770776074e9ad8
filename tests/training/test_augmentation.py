"""Augmentation of a training: anew in each epoch, the same in any batch, and never of the pairs of an alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.small_start import SmallStart
from support.two_workers import SENTENCES, columns_of

from signdpo.config import Config, lay_over
from signdpo.data.batches import ClipBatch, PreferenceBatch
from signdpo.dpo.objective import Objective
from signdpo.levels import LEVELS
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.training.dpo import PreferenceStep, preference_objective
from signdpo.training.mle import LikelihoodStep

STRENGTHS = {"mirror": 0.5, "rotation": 10.0, "frame_drop": 0.3, "joint_jitter": 0.01}
ON = {f"dpo.augmentation.{name}": strength for name, strength in STRENGTHS.items()}


def clip_columns(ids: list[str], epoch: int) -> dict[str, Any]:
    """Rows of clips whose content follows their names."""
    lengths = [20 + int(name) for name in ids]
    keypoints = [np.random.default_rng(length).uniform(-0.5, 0.5, length * 207) for length in lengths]
    return {
        "id": np.array(ids, dtype=object),
        "text": np.array(["a word"] * len(ids), dtype=object),
        "num_frames": np.array(lengths),
        "keypoints": [np.abs(clip).astype(np.float16) for clip in keypoints],
        "epoch": np.full(len(ids), epoch, dtype=np.int32),
        "step": np.zeros(len(ids), dtype=np.int64),
    }


def augmented(ids: list[str], epoch: int = 0, seed: int = 1) -> dict[str, bytes]:
    batch = ClipBatch.collate(clip_columns(ids, epoch))
    return {id_: clip.tobytes() for id_, clip in zip(batch.ids, batch.augmented(STRENGTHS, seed), strict=True)}


def test_a_clip_is_augmented_alike_in_any_batch_and_anew_in_each_epoch() -> None:
    names = [str(number) for number in range(8)]
    whole = augmented(names)
    assert whole == {**augmented(names[5:]), **augmented(names[4:1:-1]), **augmented(names[:2])}
    assert all(whole[name] != augmented(names, epoch=1)[name] for name in names)
    assert all(whole[name] != augmented(names, seed=2)[name] for name in names)


def test_without_operations_clips_are_as_they_are() -> None:
    batch = ClipBatch.collate(clip_columns(["1", "2"], 0))
    assert batch.augmented({}, 1) is batch.clips


def objective_of(policy: Policy, config: Config) -> tuple[Objective, PreferenceBatch]:
    columns = columns_of(policy, [[True] * len(LEVELS)] * len(SENTENCES))
    batch = PreferenceBatch.collate(columns, config.dpo.levels)
    policy.model.eval()
    return preference_objective(batch, PreferenceStep(policy.model), policy, config, policy.hash()), batch


def test_the_likelihood_is_of_augmented_clips_and_the_pairs_are_not(small_start: SmallStart) -> None:
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    config = lay_over(small_start.config, ON)
    plain, _ = objective_of(policy, small_start.config)
    changed, batch = objective_of(policy, config)
    assert changed.metrics.keys() == plain.metrics.keys()
    assert changed.weights == plain.weights
    for name, total in plain.metrics.items():
        if name != "nll":
            torch.testing.assert_close(torch.as_tensor(changed.metrics[name].sum), torch.as_tensor(total.sum))
    labels = tokenize(policy.tokenizer, batch.texts, max_tokens=64)
    step = LikelihoodStep(policy.model, label_smoothing=0.0).eval()
    clips = batch.augmented(STRENGTHS, config.alignment_seed)
    assert any(len(clip) < len(clean) for clip, clean in zip(clips, batch.clips, strict=True))
    expected = -step(*pad_clips(clips), labels)
    torch.testing.assert_close(changed.rows["nll"], expected.detach())
    torch.testing.assert_close(changed.terms["nll"].sum, expected.sum())
    assert changed.terms["nll"].count == int((labels != IGNORED).sum())
    assert not torch.allclose(changed.rows["nll"], plain.rows["nll"])


def test_the_gradient_goes_through_the_augmented_clips(small_start: SmallStart) -> None:
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    gradients = []
    for config in (small_start.config, lay_over(small_start.config, ON)):
        policy.model.zero_grad()
        objective_of(policy, config)[0].loss().backward()
        slopes = (each.grad for each in policy.model.parameters())
        gradients.append(torch.cat([slope.flatten() for slope in slopes if slope is not None]))
    assert gradients[0].shape == gradients[1].shape
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_without_the_likelihood_no_clip_is_augmented(
    small_start: SmallStart, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    calls: list[Any] = []
    augment = ClipBatch.augmented

    def counted(*given: Any) -> list[np.ndarray]:
        calls.append(given)
        return augment(*given)

    monkeypatch.setattr(ClipBatch, "augmented", counted)
    policy = Policy.load(small_start.directory / "pretrain" / "policy")
    objective_of(policy, lay_over(small_start.config, {**ON, "dpo.mle_weight": weight}))
    assert len(calls) == bool(weight)
