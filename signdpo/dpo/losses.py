"""The preference losses: pure functions of log-probabilities, in a table. A new one is an entry of `LOSSES`.

Sigmoid DPO is Rafailov et al. 2023 (with the label smoothing of conservative DPO, Mitchell 2023), IPO is Azar et al.
2023, hinge is SLiC, Zhao et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from signdpo.config import ConfigError, DpoConfig, look_up


@dataclass(frozen=True)
class PairLogps:
    """Log-probabilities of one level's pairs, `(batch,)` each, under the policy and under the frozen reference."""

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor

    @property
    def log_ratio(self) -> Tensor:
        """How much more the policy prefers the chosen one than the reference does, `(batch,)` in nats."""
        return (self.chosen - self.reference_chosen) - (self.rejected - self.reference_rejected)


@dataclass(frozen=True)
class Loss:
    """A preference loss and what it makes of its surroundings.

    Args:
        function: pairs, beta and label smoothing -> losses `(batch,)`.
        needs_reference: False where the reference does not enter: its log-probabilities are 0 then, also in rewards.
        length_normalize: whether log-probabilities are means per token instead of sums; None: `dpo.length_normalize`.
        label_smoothing: whether `dpo.label_smoothing` means something to it.
        slope_is_beta: whether its slope at a margin of 0 grows with beta. It is divided by beta then, so that beta says
            how far a pair is to be told apart, and the weight of a level how hard.
    """

    function: Callable[[PairLogps, float, float], Tensor]
    needs_reference: bool = True
    length_normalize: bool | None = None
    label_smoothing: bool = False
    slope_is_beta: bool = True


def sigmoid(pairs: PairLogps, beta: float, label_smoothing: float) -> Tensor:
    """`label_smoothing` is the probability that a preference is wrong, in [0, 0.5)."""
    margin = beta * pairs.log_ratio
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)


def ipo(pairs: PairLogps, beta: float, label_smoothing: float) -> Tensor:
    """`beta` is its tau."""
    return (pairs.log_ratio - 1 / (2 * beta)).square()


def hinge(pairs: PairLogps, beta: float, label_smoothing: float) -> Tensor:
    return torch.relu(1 - beta * pairs.log_ratio)


LOSSES: Final[dict[str, Loss]] = {
    "sigmoid": Loss(sigmoid, label_smoothing=True),
    "ipo": Loss(ipo, slope_is_beta=False),
    "hinge": Loss(hinge),
}


def loss_of(config: DpoConfig) -> Loss:
    """The loss that `dpo.loss` names.

    Raises:
        ConfigError: if there is no such loss, or a key is set that it ignores.
    """
    loss: Loss = look_up(config.loss, LOSSES, "dpo.loss", Loss)
    if config.label_smoothing and not loss.label_smoothing:
        raise ConfigError(
            f"dpo.label_smoothing={config.label_smoothing} means nothing to dpo.loss={config.loss}: set it to 0, or "
            "dpo.loss=sigmoid"
        )
    if config.length_normalize and loss.length_normalize is False:
        raise ConfigError(f"dpo.length_normalize=true means nothing to dpo.loss={config.loss}: set it to false")
    return loss
