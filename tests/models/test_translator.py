"""The policy: invariance to padding, and agreement with transformers' own forward pass."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.fake_uni_sign import save_language_model
from torch import Tensor
from transformers import MT5ForConditionalGeneration

from signdpo.config import ConfigError, load_config
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy, build_policy

TEXTS = ["the man buys a red book", "my mother did not see the dog yesterday"] * 30


def tiny_policy(*overrides: str) -> Policy:
    small = [
        "policy.encoder.temporal_channels=16",
        "policy.encoder.spatial_channels=[8]",
        "policy.encoder.joint_dim=8",
        "policy.language_model.d_model=32",
        "policy.language_model.d_ff=64",
    ]
    policy = build_policy(load_config(None, [*small, *overrides]), TEXTS)
    generator = torch.Generator().manual_seed(0)
    for module in policy.model.modules():  # statistics of a trained BatchNorm, so that a leak of padding would show
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    policy.model.eval()
    return policy


def random_clips(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(length, 69, 3)).astype(np.float32) for length in lengths]


def labels_of(policy: Policy, *texts: str) -> Tensor:
    return tokenize(policy.tokenizer, texts, max_tokens=64)


@pytest.mark.parametrize("prompt", ["", "the man"])
def test_padding_changes_nothing(prompt: str) -> None:
    policy = tiny_policy(f"policy.prompt={prompt!r}")
    clips = random_clips(37, 20, 1, 13, 40)
    texts = [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1], TEXTS[0]]
    keypoints, mask = pad_clips(clips)
    keypoints[~mask] = 1e3  # what lies in padding must not matter
    together = policy.model.encode(keypoints, mask)
    logps = policy.model.logps(together, labels_of(policy, *texts))
    for row, (clip, text) in enumerate(zip(clips, texts, strict=True)):
        alone = policy.model.encode(*pad_clips([clip]))
        positions = alone.hidden.shape[1]
        torch.testing.assert_close(alone.hidden[0], together.hidden[row, :positions], atol=1e-4, rtol=0)
        alone_logps = policy.model.logps(alone, labels_of(policy, text))
        torch.testing.assert_close(alone_logps[0], logps[row], atol=1e-4, rtol=0)


def test_logps_are_those_of_the_language_models_own_logits() -> None:
    policy = tiny_policy()
    encoded = policy.model.encode(*pad_clips(random_clips(12, 9)))
    labels = labels_of(policy, TEXTS[0], TEXTS[1])
    logits = policy.model.language_model(
        encoder_outputs=(encoded.hidden,), attention_mask=encoded.mask, labels=labels
    ).logits
    expected = logits.log_softmax(-1).gather(-1, labels.clamp_min(0)[..., None])[..., 0]
    expected = expected.masked_fill(labels == IGNORED, 0)
    torch.testing.assert_close(policy.model.token_logps(encoded, labels), expected, atol=1e-4, rtol=1e-4)


def test_gradient_reaches_keypoints_and_every_parameter() -> None:
    policy = tiny_policy()
    keypoints, mask = pad_clips(random_clips(12, 9))
    keypoints.requires_grad_(True)
    policy.model.logps(policy.model.encode(keypoints, mask), labels_of(policy, TEXTS[0], TEXTS[1])).sum().backward()
    assert keypoints.grad is not None
    assert keypoints.grad[mask].abs().sum() > 0
    without = [name for name, parameter in policy.model.named_parameters() if parameter.grad is None]
    assert without == []


def test_cross_attention_sums_to_one_and_leaves_padding_out() -> None:
    policy = tiny_policy()
    encoded = policy.model.encode(*pad_clips(random_clips(40, 8)))
    labels = labels_of(policy, TEXTS[0], TEXTS[1])
    layers, token_logps = policy.model.cross_attention(encoded, labels)
    assert len(layers) == 2
    for attention in layers:
        assert (attention.shape[0], attention.shape[-1]) == (2, 10)
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))
        assert attention[1, :, :, 2:].abs().max() == 0
    torch.testing.assert_close(token_logps, policy.model.token_logps(encoded, labels))
    assert policy.model.language_model.config._attn_implementation == "sdpa"


def test_positions_map_back_to_the_frames_around_their_centre() -> None:
    policy = tiny_policy("policy.prompt=the man")
    encoded = policy.model.encode(*pad_clips(random_clips(12, 7)))
    first = encoded.prompt_length
    values = torch.arange(encoded.hidden.shape[1], dtype=torch.float32).expand(2, -1) - first
    frames = encoded.to_frames(values, 12).tolist()
    assert frames[0] == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]  # positions are centred on frames 0, 4 and 8
    assert frames[1][:7] == [0, 0, 1, 1, 1, 1, 1]  # the last position of a short clip, not one of its padding


def test_saved_policy_is_the_same_policy(tmp_path: Path) -> None:
    policy = tiny_policy("policy.prompt=the man")
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    assert loaded.hash() == policy.hash()
    keypoints, mask = pad_clips(random_clips(12, 9))
    decode = {"num_beams": 2, "max_new_tokens": 8}
    assert torch.equal(
        loaded.model.translate(keypoints, mask, **decode), policy.model.translate(keypoints, mask, **decode)
    )
    assert loaded.model.language_model.generation_config.num_beams == 4


def test_an_output_projection_of_the_language_models_own_survives_saving(tmp_path: Path) -> None:
    """mT5 and T5 1.1 have one; transformers' configurations of them say that it is tied."""
    pretrained = MT5ForConditionalGeneration(save_language_model(tmp_path / "mt5"))
    pretrained.lm_head.weight = torch.nn.Parameter(torch.randn_like(pretrained.shared.weight))
    pretrained.save_pretrained(tmp_path / "mt5")
    policy = build_policy(load_config(None, [f"policy.language_model.path={tmp_path / 'mt5'}"]), TEXTS)
    policy.save(tmp_path / "policy")
    loaded = Policy.load(tmp_path / "policy")
    assert torch.equal(loaded.model.language_model.lm_head.weight, pretrained.lm_head.weight)
    assert torch.equal(loaded.model.language_model.shared.weight, pretrained.shared.weight)
    assert loaded.hash() == policy.hash()


def test_hash_changes_with_any_weight() -> None:
    policy = tiny_policy()
    before = policy.hash()
    with torch.no_grad():
        policy.model.encoder.project.bias[0] += 1e-6
    assert policy.hash() != before


def test_folder_without_a_policy_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no policy"):
        Policy.load(tmp_path)


def test_long_sentence_keeps_its_end() -> None:
    policy = tiny_policy()
    labels = tokenize(policy.tokenizer, [" ".join(TEXTS)], max_tokens=12)
    assert labels.shape == (1, 12)
    assert labels[0, -1] == policy.tokenizer.eos_token_id
    assert (labels[0, :-1] != policy.tokenizer.eos_token_id).all()


def test_tokenizer_restores_the_sentence() -> None:
    policy = tiny_policy()
    ids = policy.tokenizer(TEXTS[1])["input_ids"]
    assert policy.decode(torch.tensor([ids])) == [TEXTS[1]]
