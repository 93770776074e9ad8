"""Where the meaning is: which frames and body parts the policy's decoder relies on for the reference sentence.

Frames come from decoder cross-attention, teacher-forced on the reference; optionally each weight counts as far as it
raises the log-probability: attention times its positive gradient (Chefer et al., ICCV 2021). Each token has one vote:
gradients are small where the policy is sure. Cross-attention has no joint axis, so a part is worth the log-probability
that is lost when it stands still in the salient frames, or the first-order estimate of that, which needs one backward
pass instead of four forward ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from signdpo.config import SalienceConfig
from signdpo.models.language_model import IGNORED
from signdpo.models.translator import SignTranslator
from signdpo.skeleton.layout import PARTS

UNNOTICED = 0.01  # nats a part may cost and still cost nothing: so little may be rounding, which differs by batch
ALIKE = 1e-3  # nats that every part is worth, so that parts that hardly cost more than nothing are nearly alike


@dataclass(frozen=True)
class Salience:
    """What the policy looks at.

    Args:
        frames: `(batch, frames)` float32, sums to 1 over the real frames of a clip.
        parts: `(batch, 4)` float32 in the order of `PARTS`, sums to 1.
    """

    frames: Tensor
    parts: Tensor


def measure_salience(
    model: SignTranslator,
    keypoints: Tensor,
    frame_mask: Tensor,
    labels: Tensor,
    config: SalienceConfig,
    eos_id: int,
    focus: Tensor | None = None,
) -> Salience:
    """Salience of each clip for its reference sentence.

    Args:
        model: the policy, in evaluation mode.
        keypoints: `(batch, frames, 69, 3)` float32.
        frame_mask: `(batch, frames)` bool.
        labels: `(batch, tokens)` int64, `IGNORED` where padded.
        config: how attention is aggregated over layers, heads and tokens, and what a part is worth.
        eos_id: the end token, left out: it looks at no sign.
        focus: `(batch, tokens)` bool, the tokens to ask about; all by default.
    """
    counted = (labels != IGNORED) & (labels != eos_id)
    if focus is not None:
        counted = counted & focus
    by_attention, by_input = config.weighting == "gradient", config.parts == "gradient"
    inputs = keypoints.detach().requires_grad_(by_input)
    with torch.set_grad_enabled(by_attention or by_input):
        encoded = model.encode(inputs, frame_mask)
        if by_attention and not encoded.hidden.requires_grad:  # frozen weights: the decoder would build no graph
            encoded.hidden.requires_grad_(True)
        attention, token_logps = model.cross_attention(encoded, labels)
        sources = [*(attention if by_attention else []), *([inputs] if by_input else [])]
        gradients = torch.autograd.grad((token_logps * counted).sum(), sources) if sources else ()
    by_position = aggregate(attention, gradients[: len(attention)], counted, config)
    frames = _shares(encoded.to_frames(by_position, frame_mask.shape[1]) * frame_mask, frame_mask)
    still = _still(keypoints, frame_mask)
    if by_input:
        parts = _part_gradients(gradients[-1], keypoints - still, frames)
    else:
        parts = _part_losses(model, keypoints, still, frames, frame_mask, labels, counted, token_logps.detach())
    return Salience(frames, _shares(parts, torch.ones_like(parts, dtype=torch.bool)))


def aggregate(
    attention: list[Tensor], gradients: tuple[Tensor, ...], counted: Tensor, config: SalienceConfig
) -> Tensor:
    """Attention as one weight a position: over layers the mean, over heads and tokens what is configured.

    Between the two each token's weights are made to sum to 1: words that the policy is sure of have small gradients,
    and would otherwise be outvoted by those it doubts.

    Args:
        attention: a layer, `(batch, heads, tokens, positions)`.
        gradients: of the log-probability by them.
        counted: `(batch, tokens)` bool, the tokens that are asked about.
        config: which layers count and how the rest is reduced.

    Returns:
        `(batch, positions)` float32, at least 0.
    """
    chosen = slice(-1, None) if config.layers == "last" else slice(None)
    weights = torch.stack([layer.detach().float() for layer in attention[chosen]])  # (layers, batch, heads, ...)
    if config.weighting == "gradient":
        weights = (weights * torch.stack([layer.float() for layer in gradients[chosen]])).clamp_min(0)
    weights = weights.mean(0)
    weights = weights.mean(1) if config.heads == "mean" else weights.amax(1)  # (batch, tokens, positions)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny) * counted[..., None]
    # Salience is normalised later: the mean over tokens is their sum.
    return weights.amax(1) if config.tokens == "max" else weights.sum(1)


def _shares(values: Tensor, mask: Tensor) -> Tensor:
    """`(batch, n)` as shares of their sum; where all are 0, nothing is known and all that count are alike."""
    total = values.sum(-1, keepdim=True)
    alike = mask / mask.sum(-1, keepdim=True).clamp_min(1)
    return torch.where(total > 0, values / total.clamp_min(torch.finfo(values.dtype).tiny), alike)


def _still(keypoints: Tensor, frame_mask: Tensor) -> Tensor:
    """The clip without movement: each joint at its mean place over the frames that show it, `(batch, frames, 69, 3)`.

    Joints that are missing stay so, and confidences are kept.
    """
    seen = frame_mask[..., None, None] & (keypoints[..., 2:] > 0)
    mean = (keypoints * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp_min(1)
    return torch.where(
        seen, torch.cat([mean[..., :2].expand_as(keypoints[..., :2]), keypoints[..., 2:]], -1), keypoints
    )


def _part_gradients(gradient: Tensor, movement: Tensor, frames: Tensor) -> Tensor:
    """Gradient times movement, `(batch, frames, 69, 3)` each, summed over a part and weighted by the frames' salience.

    What a frame of a part adds to the log-probability, to first order, over standing still; `(batch, 4)`.
    """
    influence = (gradient * movement).sum(-1)  # (batch, frames, 69)
    by_part = torch.stack([influence[..., joints].abs().sum(-1) for joints in PARTS.values()], dim=-1)
    return (frames[..., None] * by_part).sum(1)


@torch.no_grad()
def _part_losses(
    model: SignTranslator,
    keypoints: Tensor,
    still: Tensor,
    frames: Tensor,
    frame_mask: Tensor,
    labels: Tensor,
    counted: Tensor,
    token_logps: Tensor,
) -> Tensor:
    """Log-probability lost when a part stands still, `(batch, 4)`, above 0.

    Each frame is drawn towards the still clip in proportion to its salience, the most salient one all the way.
    """
    depth = (frames / frames.amax(-1, keepdim=True))[..., None, None]
    frozen = torch.lerp(keypoints, still, depth)
    variants = keypoints.repeat(len(PARTS), 1, 1, 1, 1)  # (4, batch, frames, 69, 3)
    for index, joints in enumerate(PARTS.values()):
        variants[index, :, :, joints] = frozen[:, :, joints]
    encoded = model.encode(variants.flatten(0, 1), frame_mask.repeat(len(PARTS), 1))
    without = model.token_logps(encoded, labels.repeat(len(PARTS), 1)).view(len(PARTS), *labels.shape)
    losses = ((token_logps - without).double() * counted).sum(-1)  # (4, batch); token by token, to lose no digits
    return ((losses - UNNOTICED).clamp_min(0) + ALIKE).float().T
