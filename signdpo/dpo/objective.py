"""The multi-level preference objective: pure functions of log-probabilities.

Sigmoid DPO is Rafailov et al. 2023 (with the label smoothing of conservative DPO, Mitchell 2023), IPO is Azar et al.
2023, hinge is SLiC, Zhao et al. 2023. The skeleton levels compare one sentence under two clips, the language level two
sentences under one clip; both have the same form, `log p(chosen) - log p(rejected)` against the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from signdpo.config import DpoConfig
from signdpo.levels import BY_NAME, LEVELS


@dataclass(frozen=True)
class Logps:
    """Summed log-probabilities of the six sequences of each clip.

    Args:
        chosen: `(batch,)` the reference sentence under the clean clip.
        rejected: level -> `(batch,)`.
    """

    chosen: Tensor
    rejected: Mapping[str, Tensor]


def preference_losses(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float,
    loss: str = "sigmoid",
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """One level's losses.

    Args:
        chosen, rejected: `(batch,)` log-probabilities under the policy.
        reference_chosen, reference_rejected: `(batch,)` under the frozen reference.
        beta: how strongly to stay at the reference; for IPO its tau.
        loss: `sigmoid`, `ipo` or `hinge`.
        label_smoothing: probability that a preference is wrong, in [0, 0.5), sigmoid only.

    Returns:
        Losses, chosen rewards and rejected rewards, `(batch,)` each. Rewards are `beta * (log p - log r)`, without
        gradient; the reward margin is their difference.
    """
    log_ratio = (chosen - reference_chosen) - (rejected - reference_rejected)
    margin = beta * log_ratio
    if loss == "sigmoid":
        losses = -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
    elif loss == "ipo":
        losses = (log_ratio - 1 / (2 * beta)).square()
    elif loss == "hinge":
        losses = torch.relu(1 - margin)
    else:
        raise ValueError(f"loss must be sigmoid, ipo or hinge, got {loss!r}")
    return losses, beta * (chosen - reference_chosen).detach(), beta * (rejected - reference_rejected).detach()


def multi_level_objective(
    policy: Logps,
    reference: Logps,
    chosen_lengths: Tensor,
    language_lengths: Tensor,
    valid: Mapping[str, Tensor],
    config: DpoConfig,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch: weighted preference losses of the five levels, the MLE term, and the chosen anchor.

    Args:
        policy: log-probabilities with gradient.
        reference: those of the frozen reference.
        chosen_lengths: `(batch,)` tokens of the reference sentence, the end included.
        language_lengths: `(batch,)` tokens of the rejected sentence.
        valid: level -> `(batch,)` bool; a level that could not be made for a clip adds nothing.
        config: betas, weights, loss kind, length normalisation.

    Returns:
        A scalar and the metrics under their standard names.
    """
    metrics: dict[str, float] = {}
    # The MLE term is a mean a token whatever the normalisation of the preferences.
    nll = -(policy.chosen / chosen_lengths).mean()
    total = config.mle_weight * nll
    for level in LEVELS:
        length = language_lengths if BY_NAME[level].perturbs == "sentence" else chosen_lengths
        pair = _normalised(policy, reference, level, chosen_lengths, length, config)
        losses, chosen_rewards, rejected_rewards = preference_losses(
            *pair, beta=config.beta_of(level), loss=config.loss, label_smoothing=config.label_smoothing
        )
        counted = valid[level].to(losses.dtype)
        share = counted.sum().clamp_min(1)
        level_loss = (losses * counted).sum() / share
        total = total + config.weight_of(level) * level_loss
        margins = chosen_rewards - rejected_rewards
        metrics[f"losses/{level}"] = float(level_loss.detach())
        metrics[f"rewards/margins/{level}"] = float((margins * counted).sum() / share)
        metrics[f"rewards/accuracies/{level}"] = float(((margins > 0) * counted).sum() / share)
        metrics[f"logps/rejected/{level}"] = float((policy.rejected[level].detach() * counted).sum() / share)
    if config.anchor_weight:
        total = total + config.anchor_weight * chosen_anchor(policy.chosen, reference.chosen, beta=config.beta)
    metrics["loss"] = float(total.detach())
    metrics["nll"] = float(nll.detach())
    metrics["logps/chosen"] = float(policy.chosen.detach().mean())
    metrics["logps/chosen_drift"] = float((policy.chosen.detach() - reference.chosen).mean())
    return total, metrics


def chosen_anchor(chosen: Tensor, reference_chosen: Tensor, *, beta: float) -> Tensor:
    """mDPO's anchor (Wang et al., arXiv 2406.11839): the chosen reward should not fall below 0; a scalar."""
    return -F.logsigmoid(beta * (chosen - reference_chosen)).mean()


def _normalised(
    policy: Logps, reference: Logps, level: str, chosen_lengths: Tensor, rejected_lengths: Tensor, config: DpoConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four log-probabilities of a level; a token's mean instead of the sum where length normalisation is on."""
    first, second = (chosen_lengths, rejected_lengths) if config.length_normalize else (1.0, 1.0)
    return (
        policy.chosen / first,
        policy.rejected[level] / second,
        reference.chosen / first,
        reference.rejected[level] / second,
    )
