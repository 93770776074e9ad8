"""The multi-level preference objective: pure functions of log-probabilities.

The skeleton levels compare one sentence under two clips, the language level two
sentences under one clip; both have the same form, `log p(chosen) - log p(rejected)` against the reference, and take the
same losses (`signdpo.dpo.losses`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from signdpo.config import DpoConfig
from signdpo.dpo.losses import LOSSES, Loss, PairLogps, loss_of
from signdpo.levels import BY_NAME, COUNTERFACTUAL
from signdpo.totals import Total, Totals


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


@dataclass(frozen=True)
class Objective:
    """The objective on some rows of a step: its terms and metrics as sums and counts, so that workers can add theirs.

    Args:
        terms: name -> sum with a gradient, and count; the loss is the weighted sum of their means.
        weights: of the terms.
        rows: term -> `(batch,)` what each row adds to it, without gradient, 0 where it is masked.
        metrics: under their standard names.
    """

    terms: Totals
    weights: Mapping[str, float]
    rows: Mapping[str, Tensor]
    metrics: Totals

    def loss(self, counts: Mapping[str, float] | None = None, *, workers: int = 1) -> Tensor:
        """What a worker has to differentiate so that the mean over the workers is the gradient of the whole step.

        Args:
            counts: of each term, over all workers; a term that no worker has anything of adds nothing. By default
                there are no rows but these.
            workers: how many there are, whose gradients are averaged.
        """
        counts = counts or {name: term.count for name, term in self.terms.items()}
        means = [
            self.weights[name] * workers / counts[name] * term.sum for name, term in self.terms.items() if counts[name]
        ]
        return torch.stack(means).sum()


def multi_level_objective(
    policy: Logps,
    reference: Logps,
    chosen_lengths: Tensor,
    language_lengths: Tensor | None,
    valid: Mapping[str, Tensor],
    config: DpoConfig,
) -> Objective:
    """The objective of a batch: preference losses of the levels, the MLE term, and the chosen anchor.

    Args:
        policy: log-probabilities with gradient, of the levels that are taught.
        reference: those of the frozen reference.
        chosen_lengths: `(batch,)` tokens of the reference sentence, the end included.
        language_lengths: `(batch,)` tokens of the rejected sentence; None without the language level.
        valid: level -> `(batch,)` bool; a level that could not be made for a clip adds nothing.
        config: betas, weights, loss kind, length normalisation.

    Raises:
        ConfigError: as `loss_of` does.
    """
    normalize = _normalizes(config)
    likelihood = likelihood_objective(policy.chosen, chosen_lengths, config.mle_weight)
    drift = Total((policy.chosen.detach() - reference.chosen).sum(), len(chosen_lengths))
    objective = replace(likelihood, metrics={**likelihood.metrics, "logps/chosen_drift": drift})
    anchors = []
    for level in policy.rejected:
        length = language_lengths if BY_NAME[level].perturbs == "sentence" else chosen_lengths
        pairs = _pairs_of(policy, reference, level, *((chosen_lengths, length) if normalize else (1.0, 1.0)))
        objective = _with_level(objective, level, pairs, policy.rejected[level], valid[level], config)
        anchors.append(chosen_anchor(pairs, beta=config.beta_of(level)))
    if config.anchor_weight and anchors:
        rows = torch.stack(anchors).mean(0)
        objective = _with_term(objective, "anchor", Total(rows.sum(), len(rows)), config.anchor_weight, rows)
    return objective


def with_counterfactuals(
    objective: Objective, pairs: PairLogps, lengths: Tensor, rows: Sequence[int], config: DpoConfig
) -> Objective:
    """The objective, and the counterfactual level: clips in which other signs are signed prefer other sentences.

    Args:
        objective: on the clips.
        pairs: `(n,)` each of the sentences of `n` counterfactual clips (chosen), and of those of the clips that they
            were made of (rejected).
        lengths: `(2, n)` tokens of both.
        rows: `(n,)` of the batch, that the counterfactuals were made of.
        config: betas, weights, loss kind, length normalisation.
    """
    batch = len(objective.rows["nll"])
    place = torch.tensor(rows, dtype=torch.long, device=pairs.chosen.device)

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros(batch).index_copy(0, place, values)

    valid = spread(torch.ones_like(pairs.chosen)).bool()
    nll = likelihood_objective(pairs.chosen, lengths[0]).terms["nll"]
    objective = _with_term(
        objective, f"nll/{COUNTERFACTUAL}", nll, config.counterfactual_mle_weight, spread(-pairs.chosen)
    )
    divisors = lengths if _normalizes(config) else torch.ones_like(lengths)
    spread_out = PairLogps(
        chosen=spread(pairs.chosen / divisors[0]),
        rejected=spread(pairs.rejected / divisors[1]),
        reference_chosen=spread(pairs.reference_chosen / divisors[0]),
        reference_rejected=spread(pairs.reference_rejected / divisors[1]),
    )
    return _with_level(objective, COUNTERFACTUAL, spread_out, spread(pairs.rejected), valid, config)


def _normalizes(config: DpoConfig) -> bool:
    """Whether log-probabilities are means a token."""
    fixed = loss_of(config).length_normalize
    return config.length_normalize if fixed is None else fixed


def _with_level(
    objective: Objective, level: str, pairs: PairLogps, rejected: Tensor, valid: Tensor, config: DpoConfig
) -> Objective:
    """The objective with the term and the metrics of a level, whose valid pairs alone count."""
    loss, beta = loss_of(config), config.beta_of(level)
    losses, chosen_rewards, rejected_rewards = preference_losses(
        pairs, beta=beta, loss=loss, label_smoothing=config.label_smoothing
    )
    # Indexed, not multiplied by 0: what is masked may be infinite.
    margins, count = (chosen_rewards - rejected_rewards)[valid], int(valid.sum())
    weight = config.weight_of(level) / (beta if loss.slope_is_beta else 1.0)
    rows = losses.masked_fill(~valid, 0.0)
    objective = _with_term(objective, level, Total(losses[valid].sum(), count), weight, rows)
    metrics = {
        f"losses/{level}": objective.terms[level],
        f"rewards/margins/{level}": Total(margins.sum(), count),
        f"rewards/accuracies/{level}": Total((margins > 0).sum(), count),
        f"logps/rejected/{level}": Total(rejected.detach()[valid].sum(), count),
    }
    return replace(objective, metrics={**objective.metrics, **metrics})


def _with_term(objective: Objective, name: str, total: Total, weight: float, rows: Tensor) -> Objective:
    """The objective with one more term, which is a metric, too."""
    return replace(
        objective,
        terms={**objective.terms, name: total},
        weights={**objective.weights, name: weight},
        rows={**objective.rows, name: rows.detach()},
        metrics={**objective.metrics, **({name: total} if name.startswith("nll") else {})},
    )


def likelihood_objective(chosen: Tensor, lengths: Tensor, weight: float = 1.0) -> Objective:
    """Maximum likelihood: the mean negative log-probability a token.

    Args:
        chosen: `(batch,)` log-probabilities of the reference sentences, with gradient.
        lengths: `(batch,)` their tokens, the end included.
        weight: of the term.
    """
    nll = Total(-chosen.sum(), int(lengths.sum()))
    logp = chosen.detach()
    metrics = {"nll": nll, "logps/chosen": Total(logp.sum(), len(lengths))}
    return Objective({"nll": nll}, {"nll": weight}, {"nll": -logp}, metrics)


def with_likelihood_of(objective: Objective, chosen: Tensor, lengths: Tensor) -> Objective:
    """The objective with the likelihood of the reference sentences under other clips than those of the pairs.

    Args:
        objective: whose likelihood term, but not its weight, is replaced.
        chosen: `(batch,)` log-probabilities under those clips, with gradient.
        lengths: `(batch,)` their tokens, the end included.
    """
    other = likelihood_objective(chosen, lengths)
    return replace(
        objective,
        terms={**objective.terms, **other.terms},
        rows={**objective.rows, **other.rows},
        metrics={**objective.metrics, "nll": other.metrics["nll"]},
    )


def chosen_anchor(pairs: PairLogps, *, beta: float) -> Tensor:
    """mDPO's anchor (Wang et al., arXiv 2406.11839): the chosen reward should not fall below 0; `(batch,)`."""
    return -F.logsigmoid(beta * (pairs.chosen - pairs.reference_chosen))


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
