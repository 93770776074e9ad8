"""Uni-Sign checkpoints give the numbers of the release's own model, stored for one input."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy
from signdpo.models.translator import Encoded

# Largest absolute difference over the largest absolute value. The case's mT5 has random weights and magnifies what
# float32 rounds by thousands, otherwise on each processor: the release's own code on one thread instead of two misses
# its own logits by 6e-4 and its attention by 3e-3. So the comparison is in float64, which rounds next to nothing
# anywhere, and what it finds is the rounding of the stored numbers.
TOLERANCE = {
    "inputs_embeds": 1e-5,
    "logits": 2e-3,
    "logp": 1e-4,
    "label_smoothed_loss": 1e-4,
    "cross_attention_last": 1e-3,
}
CLOSE = 1e-5  # to the call of mT5 that the release makes, on the same processor, which magnifies the same rounding
FROM_EMBEDDINGS = {"logits": 2e-3, "logp": 2e-4, "label_smoothed_loss": 1e-4, "cross_attention_last": 3e-3}


@pytest.fixture(scope="module")
def released(shared_data: Path) -> Path:
    return shared_data / "parity" / "uni_sign_model"


@pytest.fixture(scope="module")
def case(released: Path) -> dict[str, Tensor]:
    arrays = np.load(released / "case.npz")
    return {name: torch.from_numpy(array) for name, array in arrays.items() if array.dtype.kind != "U"}


@pytest.fixture(scope="module")
def released_policy(released: Path) -> Policy:
    return Policy.from_uni_sign(released / "best_checkpoint.pth", str(released / "mt5"))


def case_clips(case: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    keypoints = torch.cat([case[part] for part in ("body", "left", "right", "face_all")], dim=2)
    return keypoints, case["attention_mask"].bool()


def in_float64(case: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.double() if values.is_floating_point() else values for name, values in case.items()}


def encode_case(policy: Policy, case: dict[str, Tensor]) -> tuple[Tensor, Encoded]:
    """What goes into mT5's encoder, and what comes out."""
    seen: dict[str, Tensor] = {}
    hook = policy.model.language_model.get_encoder().register_forward_pre_hook(
        lambda module, given, keywords: seen.update(keywords), with_kwargs=True
    )
    encoded = policy.model.encode(*case_clips(case))
    hook.remove()
    return seen["inputs_embeds"], encoded


def case_outputs(policy: Policy, case: dict[str, Tensor], encoded: Encoded) -> dict[str, Tensor]:
    model = policy.model
    labels = case["labels"].masked_fill(case["labels"] == policy.tokenizer.pad_token_id, IGNORED)
    given = {"encoder_outputs": (encoded.hidden,), "attention_mask": encoded.mask}
    smoothed = model.token_logps(encoded, labels, label_smoothing=0.2)
    return {
        "logits": model.language_model(**given, labels=labels).logits,
        "logp": model.logps(encoded, labels),
        "label_smoothed_loss": -smoothed.sum() / (labels != IGNORED).sum(),
        "cross_attention_last": model.cross_attention(encoded, labels)[0][-1],
    }


def relative_difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("how", ["imported", "saved and loaded"])
@torch.no_grad()
def test_the_releases_own_numbers(released: Path, case: dict[str, Tensor], how: str, tmp_path: Path) -> None:
    policy = Policy.from_uni_sign(released / "best_checkpoint.pth", str(released / "mt5"))
    if how == "saved and loaded":
        policy.save(tmp_path)
        policy = Policy.load(tmp_path)
    assert policy.model.config.prompt_ids == case["prefix_ids"][0].tolist()
    ids = policy.model.translate(*case_clips(case), num_beams=4, max_new_tokens=20)
    assert torch.equal(ids, case["beam4"])
    policy.model.double()
    expected = in_float64(case)
    embedded, encoded = encode_case(policy, expected)
    found = {"inputs_embeds": embedded, **case_outputs(policy, expected, encoded)}
    differences = {name: relative_difference(found[name], expected[name]) for name in TOLERANCE}
    assert {name: differences[name] for name in TOLERANCE if differences[name] > TOLERANCE[name]} == {}


@torch.no_grad()
def test_the_releases_own_numbers_from_its_embeddings_on(released: Path, case: dict[str, Tensor]) -> None:
    policy = Policy.from_uni_sign(released / "best_checkpoint.pth", str(released / "mt5"))
    policy.model.double().set_attn_implementation("eager")
    expected = in_float64(case)
    _, encoded = encode_case(policy, expected)
    encoder = policy.model.language_model.get_encoder()
    hidden = encoder(inputs_embeds=expected["inputs_embeds"], attention_mask=encoded.mask).last_hidden_state
    found = case_outputs(policy, expected, dataclasses.replace(encoded, hidden=hidden))
    differences = {name: relative_difference(found[name], expected[name]) for name in found}
    assert {name: differences[name] for name in found if differences[name] > FROM_EMBEDDINGS[name]} == {}


@torch.no_grad()
def test_from_the_embeddings_on_it_is_the_releases_own_call(released: Path, case: dict[str, Tensor]) -> None:
    """mT5 as Uni-Sign calls it, here and now: no processor's rounding is between the two."""
    policy = Policy.from_uni_sign(released / "best_checkpoint.pth", str(released / "mt5"))
    policy.model.set_attn_implementation("eager")
    _, encoded = encode_case(policy, case)
    language_model, given = policy.model.language_model, {"inputs_embeds": case["inputs_embeds"]}
    labels = case["labels"].masked_fill(case["labels"] == policy.tokenizer.pad_token_id, IGNORED)
    theirs = language_model(**given, attention_mask=encoded.mask, labels=labels, output_attentions=True)
    losses = F.cross_entropy(theirs.logits.transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
    smoothed = F.cross_entropy(theirs.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=0.2)
    expected = {
        "logits": theirs.logits,
        "logp": -losses.sum(-1),
        "label_smoothed_loss": smoothed,
        "cross_attention_last": theirs.cross_attentions[-1],
    }
    hidden = language_model.get_encoder()(**given, attention_mask=encoded.mask).last_hidden_state
    found = case_outputs(policy, case, dataclasses.replace(encoded, hidden=hidden))
    differences = {name: relative_difference(found[name], expected[name]) for name in expected}
    assert {name: difference for name, difference in differences.items() if difference > CLOSE} == {}


def test_weights_are_the_files_own_in_float32(released: Path, released_policy: Policy) -> None:
    state = torch.load(released / "best_checkpoint.pth", weights_only=True)["model"]
    for name, tensor in released_policy.model.language_model.state_dict().items():
        assert torch.equal(tensor, state[f"mt5_model.{name}"].float()), name
    block = released_policy.model.encoder.hand.temporal[1]
    assert torch.equal(block.time.weight, state["fusion_gcn_modules.left.layer0_1.tcn.0.weight"].float())
    lifted = state["fusion_gcn_modules.left.layer0_1.gcn.conv.weight"].float()  # (2 * 256, 256, 1, 1)
    assert torch.equal(block.graph.weight[1], lifted[256:, :, 0, 0])


@torch.no_grad()
def test_copies_of_the_last_frame_reach_six_frames_back_and_padding_none(
    released_policy: Policy, case: dict[str, Tensor]
) -> None:
    """Uni-Sign pads a batch with copies: a clip is encoded here as Uni-Sign encodes it alone, not as in its batches."""
    keypoints, mask = case_clips(case)
    alone, _ = released_policy.model.encoder(keypoints[1:, :20], mask[1:, :20])
    keypoints[1, 20:] = keypoints[1, 19]
    copies, _ = released_policy.model.encoder(keypoints, mask)
    mask[1, 20:] = False
    padded, _ = released_policy.model.encoder(keypoints, mask)
    assert relative_difference(padded[1, :20], alone[0]) < 1e-5
    assert relative_difference(copies[1, :14], alone[0, :14]) < 1e-5
    assert relative_difference(copies[1, 14:20], alone[0, 14:]) > 1e-2
