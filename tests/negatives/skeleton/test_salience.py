"""Salience: what it counts, what it leaves out, and that it finds what was planted."""

import pytest
import torch
from torch import Tensor

from signdpo.config import SalienceConfig, load_config
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy, build_policy
from signdpo.negatives.skeleton import salience
from signdpo.negatives.skeleton.salience import Salience, aggregate, measure_salience

TEXTS = ["my mother bought a coat.", "the dog sleeps.", "where does your friend see a book?"]
EVERY_RULE = [
    {},
    {"layers": "all"},
    {"heads": "max"},
    {"tokens": "mean"},
    {"weighting": "none"},
    {"weighting": "gradient"},
    {"parts": "freeze"},
    {"parts": "gradient"},
]


@pytest.fixture(scope="module")
def policy() -> Policy:
    tiny = [
        "policy.encoder.temporal_channels=16",
        "policy.encoder.spatial_channels=[8]",
        "policy.encoder.temporal_strides=[2, 2]",
        "policy.language_model.d_model=32",
        "policy.language_model.d_ff=64",
        "policy.prompt=the dog",
    ]
    policy = build_policy(load_config(None, tiny), TEXTS)
    policy.model.eval().requires_grad_(False)
    return policy


def clips_of(*lengths: int) -> list[Tensor]:
    clips = [torch.rand(length, 69, 3, generator=torch.Generator().manual_seed(length)) for length in lengths]
    for clip in clips:
        clip[1, 20:40] = 0.0  # joints that were not seen
    return clips


def measured(policy: Policy, clips: list[Tensor], texts: list[str], **rule: str) -> Salience:
    labels = tokenize(policy.tokenizer, texts, max_tokens=32)
    return measure_salience(
        policy.model, *pad_clips(clips), labels, SalienceConfig(**rule), policy.tokenizer.eos_token_id
    )


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_shares_of_frames_and_parts_sum_to_one_without_padding(policy: Policy, rule: dict[str, str]) -> None:
    found = measured(policy, clips_of(30, 17, 41), TEXTS, **rule)
    torch.testing.assert_close(found.frames.sum(-1), torch.ones(3))
    torch.testing.assert_close(found.parts.sum(-1), torch.ones(3))
    assert found.frames.shape == (3, 41)
    assert found.frames[1, 17:].abs().max() == 0
    assert (found.frames >= 0).all()
    assert (found.parts >= 0).all()


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_clip_has_the_same_salience_alone_and_in_any_batch(policy: Policy, rule: dict[str, str]) -> None:
    clips = clips_of(30, 17, 41)
    together = measured(policy, clips, TEXTS, **rule)
    for row, (clip, text) in enumerate(zip(clips, TEXTS, strict=True)):
        alone = measured(policy, [clip], [text], **rule)
        torch.testing.assert_close(together.frames[row, : len(clip)], alone.frames[0], atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(together.parts[row], alone.parts[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "rule", [{"layers": "all"}, {"heads": "max"}, {"tokens": "mean"}, {"weighting": "other"}, {"parts": "gradient"}]
)
def test_every_key_is_read(policy: Policy, rule: dict[str, str]) -> None:
    if rule == {"weighting": "other"}:
        rule = {"weighting": "gradient" if SalienceConfig().weighting == "none" else "none"}
    changed, default = (measured(policy, clips_of(30), TEXTS[:1], **each) for each in (rule, {}))
    assert torch.equal(changed.frames, default.frames) == (rule == {"parts": "gradient"})
    assert torch.equal(changed.parts, default.parts) != (rule == {"parts": "gradient"})


def test_only_the_tokens_that_are_asked_about_count(policy: Policy) -> None:
    labels = tokenize(policy.tokenizer, TEXTS[:1], max_tokens=32)
    clip = pad_clips(clips_of(30))
    focus = torch.zeros_like(labels, dtype=torch.bool)
    focus[0, 1] = True
    arguments = (policy.model, *clip, labels, SalienceConfig(), policy.tokenizer.eos_token_id)
    asked, everything = measure_salience(*arguments, focus), measure_salience(*arguments)
    assert not torch.equal(asked.frames, everything.frames)
    labels[0, 2:] = -100  # what comes later has no say in it
    shorter = measure_salience(policy.model, *clip, labels, SalienceConfig(), policy.tokenizer.eos_token_id, focus)
    torch.testing.assert_close(asked.frames, shorter.frames)


# One layer, one clip, two heads, two tokens, two positions.
ATTENTION = [torch.tensor([[[[0.8, 0.2], [0.4, 0.6]], [[0.6, 0.4], [0.0, 1.0]]]])]
COUNTED = torch.tensor([[True, True]])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"heads": "mean", "tokens": "max"}, [0.7, 0.8]),
        ({"heads": "mean", "tokens": "mean"}, [0.9, 1.1]),
        (
            {"heads": "max", "tokens": "max"},
            [2 / 3, 5 / 7],
        ),  # heads give (0.8, 0.4) and (0.4, 1), each made to sum to 1
    ],
)
def test_attention_is_reduced_over_heads_then_tokens(rule: dict[str, str], expected: list[float]) -> None:
    found = aggregate(ATTENTION, (), COUNTED, SalienceConfig(weighting="none", **rule))
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_attention_that_lowers_the_log_probability_does_not_count() -> None:
    gradients = (torch.tensor([[[[1.0, -9.0], [0.5, 1.0]], [[1.0, -9.0], [0.5, 1.0]]]]),)
    found = aggregate(ATTENTION, gradients, COUNTED, SalienceConfig(weighting="gradient", tokens="mean"))
    # The first token reads position 0 alone; the second 0.1 of 0 and 0.8 of 1, which is one vote again.
    torch.testing.assert_close(found, torch.tensor([[1 + 1 / 9, 8 / 9]]))


def test_a_token_left_out_has_no_vote() -> None:
    counted = torch.tensor([[True, False]])
    found = aggregate(ATTENTION, (), counted, SalienceConfig(weighting="none"))
    torch.testing.assert_close(found, torch.tensor([[0.7, 0.3]]))


@pytest.mark.parametrize("parts", ["freeze", "gradient"])
def test_a_part_that_does_not_move_has_no_salience(policy: Policy, parts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salience, "UNNOTICED", 1e-5)  # fresh weights hardly look at the clip
    monkeypatch.setattr(salience, "ALIKE", 1e-9)
    clip = clips_of(30)[0]
    clip[..., 2] = 1.0
    clip[:, 51:69] = clip[0, 51:69]  # a face of stone
    found = measured(policy, [clip], TEXTS[:1], parts=parts).parts[0]
    assert float(found[3]) == pytest.approx(0.0, abs=0.01)
    assert float(found[:3].max()) > 0.3


def test_parts_that_cost_nothing_are_alike(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salience, "UNNOTICED", 1e9)
    found = measured(policy, clips_of(30), TEXTS[:1], parts="freeze")
    assert found.parts.tolist() == [[0.25] * 4]
