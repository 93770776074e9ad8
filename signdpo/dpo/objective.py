"""The multi-level preference objective: pure functions of log-probabilities.

The skeleton levels compare one sentence under two clips, the language level two
sentences under one clip; both have the same form, `log p(chosen) - log p(rejected)` against the reference, and take the
same losses (`signdpo.dpo.losses`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from signdpo.config import DpoConfig
from signdpo.dpo.losses import LOSSES, Loss, PairLogps, loss_of
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
    pairs: PairLogps, *, beta: float, loss: Loss = LOSSES["sigmoid"], label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """One level's losses.

    Args:
        pairs: log-probabilities under the policy and under the reference.
        beta: how strongly to stay at the reference.
        loss: an entry of `LOSSES`, or another.
        label_smoothing: of `dpo`, for losses that know it.

    Returns:
        Losses, chosen rewards and rejected rewards, `(batch,)` each. Rewards are `beta * (log p - log r)`, without
        gradient; the reward margin is their difference.
    """
    if not loss.needs_reference:
        nothing = torch.zeros_like(pairs.reference_chosen)
        pairs = replace(pairs, reference_chosen=nothing, reference_rejected=nothing)
    losses = loss.function(pairs, beta, label_smoothing)
    chosen_rewards = beta * (pairs.chosen - pairs.reference_chosen).detach()
    rejected_rewards = beta * (pairs.rejected - pairs.reference_rejected).detach()
    return losses, chosen_rewards, rejected_rewards


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

    Raises:
        ConfigError: as `loss_of` does.
    """
    metrics: dict[str, float] = {}
    loss = loss_of(config)
    normalize = config.length_normalize if loss.length_normalize is None else loss.length_normalize
    # The MLE term is a mean a token whatever the normalisation of the preferences.
    nll = -(policy.chosen / chosen_lengths).mean()
    total = config.mle_weight * nll
    for level in LEVELS:
        length = language_lengths if BY_NAME[level].perturbs == "sentence" else chosen_lengths
        divisors = (chosen_lengths, length) if normalize else (1.0, 1.0)
        losses, chosen_rewards, rejected_rewards = preference_losses(
            _pairs_of(policy, reference, level, *divisors),
            beta=config.beta_of(level),
            loss=loss,
            label_smoothing=config.label_smoothing,
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


def _pairs_of(
    policy: Logps, reference: Logps, level: str, chosen_lengths: Tensor | float, rejected_lengths: Tensor | float
) -> PairLogps:
    """The log-probabilities of a level, each divided by a length."""
    return PairLogps(
        chosen=policy.chosen / chosen_lengths,
        rejected=policy.rejected[level] / rejected_lengths,
        reference_chosen=reference.chosen / chosen_lengths,
        reference_rejected=reference.rejected[level] / rejected_lengths,
    )
