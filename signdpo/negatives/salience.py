"""Where the meaning is: which frames and body parts the policy's decoder relies on for the reference sentence.

Frames come from decoder cross-attention, teacher-forced on the reference. Cross-attention has no joint axis, so parts
come from gradient times input (Simonyan et al., 2014), weighted by the frames' salience; the spike found both better
than chance, and gradients much better than attention for joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from signdpo.config import SalienceConfig
from signdpo.models.translator import IGNORED, Encoded, SignTranslator
from signdpo.negatives.operations import Region, Window
from signdpo.skeleton.layout import PARTS

WINDOW_SHARE = 6  # windows a clip: about one sign each in the sentences of the field's corpora


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
    model: SignTranslator, keypoints: Tensor, frame_mask: Tensor, labels: Tensor, config: SalienceConfig, eos_id: int
) -> Salience:
    """Salience of each clip for its reference sentence.

    Args:
        model: the policy, in evaluation mode.
        keypoints: `(batch, frames, 69, 3)` float32.
        frame_mask: `(batch, frames)` bool.
        labels: `(batch, tokens)` int64, `IGNORED` where padded.
        config: how attention is aggregated over tokens.
        eos_id: the end token, left out: it looks at no sign.
    """
    inputs = keypoints.detach().requires_grad_(True)
    with torch.enable_grad():
        encoded = model.encode(inputs, frame_mask)
        (gradient,) = torch.autograd.grad(model.logps(encoded, labels).sum(), inputs)
    with torch.no_grad():
        frames = _frame_salience(model, encoded, labels, frame_mask, config, eos_id)
    influence = (gradient * inputs.detach())[..., :2].abs().sum(-1)  # (batch, frames, 69)
    by_part = torch.stack([influence[..., joints].sum(-1) for joints in PARTS.values()], dim=-1)
    parts = (frames[..., None] * by_part).sum(1)  # (batch, 4)
    return Salience(frames, parts / parts.sum(-1, keepdim=True).clamp_min(1e-12))


def _frame_salience(
    model: SignTranslator, encoded: Encoded, labels: Tensor, frame_mask: Tensor, config: SalienceConfig, eos_id: int
) -> Tensor:
    attention = model.cross_attention(encoded, labels).mean(dim=(0, 2))  # (batch, tokens, positions)
    counted = (labels != IGNORED) & (labels != eos_id)
    attention = attention * counted[..., None]
    if config.tokens == "max":
        by_position = attention.amax(1)
    else:
        by_position = attention.sum(1) / counted.sum(1, keepdim=True).clamp_min(1)
    frames = encoded.to_frames(by_position, frame_mask.shape[1]) * frame_mask
    return frames / frames.sum(-1, keepdim=True).clamp_min(1e-12)


def salient_windows(frames: Tensor, share: float) -> tuple[Window, ...]:
    """The windows of a clip that hold the most salience.

    Args:
        frames: `(frames,)` salience of one clip's real frames.
        share: windows are taken, most salient first, until they hold this share of the salience; at least two, so that
            they can be exchanged.

    Returns:
        Non-overlapping windows in the order of their salience.
    """
    num_frames = len(frames)
    length = max(3, round(num_frames / WINDOW_SHARE))
    windows = [(begin, min(begin + length, num_frames)) for begin in range(0, num_frames, length)]
    mass = torch.stack([frames[begin:end].sum() for begin, end in windows])
    order = torch.argsort(mass, descending=True, stable=True).tolist()
    chosen: list[Window] = []
    held = 0.0
    for index in order:
        if held >= share * float(frames.sum()) and len(chosen) >= 2:
            break
        chosen.append(windows[index])
        held += float(mass[index])
    return tuple(chosen)


def salient_parts(parts: Tensor, share: float) -> tuple[str, ...]:
    """The fewest parts, most salient first, that hold a share of the salience `(4,)`; at least one."""
    chosen: list[str] = []
    held = 0.0
    names = list(PARTS)
    for index in torch.argsort(parts, descending=True, stable=True).tolist():
        if chosen and held >= share:
            break
        chosen.append(names[index])
        held += float(parts[index])
    return tuple(chosen)


def region_of(level: str, frames: Tensor, parts: Tensor, config: SalienceConfig) -> Region:
    """Where a level may act: everything for the global levels, the salient windows (and parts) for the local ones.

    Args:
        level: a skeleton level.
        frames: `(frames,)` salience of the clip's real frames.
        parts: `(4,)` salience of its parts.
        config: the share of salience to cover.
    """
    if level.endswith("global"):
        return Region.whole(len(frames))
    windows = salient_windows(frames, config.share)
    return Region(windows, salient_parts(parts, config.share) if level == "spatial_local" else tuple(PARTS))
