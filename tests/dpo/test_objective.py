"""The objective: every number here was worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from signdpo.config import ConfigError, DpoConfig
from signdpo.dpo.losses import LOSSES, PairLogps, loss_of
from signdpo.dpo.objective import (
    Logps,
    chosen_anchor,
    multi_level_objective,
    preference_losses,
    with_counterfactuals,
)
from signdpo.levels import LEVELS
from signdpo.totals import means

# log-ratio = (-10 - -12) - (-20 - -19) = 2 + 1 = 3
CHOSEN, REJECTED = torch.tensor([-10.0]), torch.tensor([-20.0])
REFERENCE_CHOSEN, REFERENCE_REJECTED = torch.tensor([-12.0]), torch.tensor([-19.0])
PAIR = PairLogps(CHOSEN, REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED)
FLAT = {level: 1.0 for level in LEVELS}


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_sigmoid_loss_and_rewards() -> None:
    losses, chosen, rejected = preference_losses(PAIR, beta=0.5)
    assert losses.item() == pytest.approx(softplus(-1.5))  # margin 0.5 * 3
    assert chosen.item() == pytest.approx(1.0)  # 0.5 * 2
    assert rejected.item() == pytest.approx(-0.5)  # 0.5 * -1


def test_sigmoid_loss_with_label_smoothing() -> None:
    losses, _, _ = preference_losses(PAIR, beta=0.5, label_smoothing=0.1)
    assert losses.item() == pytest.approx(0.9 * softplus(-1.5) + 0.1 * softplus(1.5))


def test_ipo_loss() -> None:
    losses, _, _ = preference_losses(PAIR, beta=0.5, loss=LOSSES["ipo"])
    assert losses.item() == pytest.approx((3 - 1) ** 2)  # 1 / (2 * 0.5) = 1


@pytest.mark.parametrize(("beta", "expected"), [(0.1, 0.7), (0.5, 0.0)])
def test_hinge_loss(beta: float, expected: float) -> None:
    losses, _, _ = preference_losses(PAIR, beta=beta, loss=LOSSES["hinge"])
    assert losses.item() == pytest.approx(expected)  # max(0, 1 - 3 * beta)


def test_unknown_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dpo\.loss=sigmod is not known: did you mean sigmoid\?"):
        loss_of(DpoConfig(loss="sigmod"))
    with pytest.raises(ConfigError, match=r"dpo\.loss=math:pi is 3\.14.*expected a signdpo\.dpo\.losses\.Loss"):
        loss_of(DpoConfig(loss="math:pi"))


@pytest.mark.parametrize("loss", ["ipo", "hinge"])
def test_label_smoothing_is_refused_where_it_means_nothing(loss: str) -> None:
    with pytest.raises(ConfigError, match=rf"dpo\.label_smoothing=0\.1 means nothing to dpo\.loss={loss}"):
        loss_of(DpoConfig(loss=loss, label_smoothing=0.1))


def test_length_normalisation_is_refused_where_it_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "sums", replace(LOSSES["sigmoid"], length_normalize=False))
    with pytest.raises(ConfigError, match=r"dpo\.length_normalize=true means nothing to dpo\.loss=sums"):
        loss_of(DpoConfig(loss="sums", length_normalize=True))


def batch_of_one(**settings: object) -> tuple[float, dict[str, float]]:
    """One clip: 4 tokens chosen, 2 tokens in the rejected sentence, log-ratio 3 at every level."""
    config = DpoConfig(**{"betas": {}, "beta": 0.5, "weights": FLAT, "mle_weight": 0.0} | settings)
    objective = multi_level_objective(
        Logps(CHOSEN, {level: REJECTED for level in config.levels}),
        Logps(REFERENCE_CHOSEN, {level: REFERENCE_REJECTED for level in LEVELS}),
        torch.tensor([4]),
        torch.tensor([2]),
        {level: torch.tensor([True]) for level in LEVELS},
        config,
    )
    return float(objective.loss()), means(objective.metrics)


def test_levels_add_up_by_their_weights() -> None:
    loss, _ = batch_of_one(weights={"spatial_global": 0.25, "language": 0.5})
    assert loss == pytest.approx(0.75 * softplus(-1.5) / 0.5)  # divided by beta, which says how far, not how hard


@pytest.mark.parametrize(
    ("kind", "skeleton", "language"),
    [
        # A token's mean: skeleton levels (2 + 1) / 4 = 0.75; language 2 / 4 - -1 / 2 = 1.
        ("sigmoid", softplus(-0.375), softplus(-0.5)),
        ("ipo", (0.75 - 1) ** 2, 0.0),
        ("hinge", 1 - 0.375, 0.5),
    ],
)
def test_length_normalisation_divides_each_sequence_by_its_own_tokens(
    kind: str, skeleton: float, language: float
) -> None:
    _, metrics = batch_of_one(length_normalize=True, loss=kind)
    assert metrics["losses/temporal_local"] == pytest.approx(skeleton)
    assert metrics["losses/language"] == pytest.approx(language)


def test_mle_term_is_the_mean_negative_log_likelihood_a_token() -> None:
    loss, metrics = batch_of_one(weights={}, mle_weight=2.0)
    assert metrics["nll"] == pytest.approx(10 / 4)
    assert loss == pytest.approx(2 * 10 / 4)


def test_chosen_anchor_follows_the_betas_and_the_length() -> None:
    assert chosen_anchor(PAIR, beta=0.5).item() == pytest.approx(softplus(-1.0))
    without, _ = batch_of_one(betas={"language": 0.25})
    loss, _ = batch_of_one(betas={"language": 0.25}, anchor_weight=3.0)
    assert loss - without == pytest.approx(3 * (5 * softplus(-1.0) + softplus(-0.5)) / 6)
    settings = {"betas": {}, "length_normalize": True}  # (-10 - -12) / 4 tokens
    without, loss = batch_of_one(**settings)[0], batch_of_one(**settings, anchor_weight=3.0)[0]
    assert loss - without == pytest.approx(3 * softplus(-0.25))


def test_each_level_has_its_own_beta() -> None:
    _, metrics = batch_of_one(betas={"language": 0.1})
    assert metrics["rewards/margins/language"] == pytest.approx(0.3)
    assert metrics["rewards/margins/spatial_local"] == pytest.approx(1.5)


def two_clips(valid: Tensor) -> dict[str, float]:
    zero, one = torch.zeros(2), torch.tensor([0.0, 4.0])
    objective = multi_level_objective(
        Logps(one, {level: zero for level in LEVELS}),
        Logps(zero, {level: zero for level in LEVELS}),
        torch.ones(2),
        torch.ones(2),
        {level: valid for level in LEVELS},
        DpoConfig(betas={}),
    )
    return means(objective.metrics)


def test_a_level_that_could_not_be_made_adds_nothing() -> None:
    assert two_clips(torch.tensor([True, True]))["rewards/margins/language"] == pytest.approx(2.0)
    assert two_clips(torch.tensor([True, False]))["rewards/margins/language"] == pytest.approx(0.0)
    assert "losses/language" not in two_clips(torch.tensor([False, False]))


def test_equal_policy_and_reference_give_ln2_and_no_margin() -> None:
    logps = Logps(CHOSEN, {level: REJECTED for level in LEVELS})
    valid = {level: torch.tensor([True]) for level in LEVELS}
    metrics = means(multi_level_objective(logps, logps, torch.ones(1), torch.ones(1), valid, DpoConfig()).metrics)
    for level in LEVELS:
        assert metrics[f"losses/{level}"] == pytest.approx(math.log(2))
        assert metrics[f"rewards/margins/{level}"] == 0.0


def counterfactual_objective(**settings: object) -> tuple[float, dict[str, float], list[float]]:
    """Three clips, of which the second has a counterfactual: log-ratio (-6 - -8) - (-9 - -7) = 4, 3 and 2 tokens."""
    config = DpoConfig(**{"beta": 0.5, "betas": {}, "weights": {"counterfactual": 1.0}, "mle_weight": 0.0} | settings)
    chosen, zero = torch.zeros(3), torch.zeros(3)
    objective = multi_level_objective(Logps(chosen, {}), Logps(zero, {}), torch.ones(3), None, {}, config)
    pairs = PairLogps(*(torch.tensor([value]) for value in (-6.0, -9.0, -8.0, -7.0)))
    objective = with_counterfactuals(objective, pairs, torch.tensor([[3], [2]]), [1], config)
    return float(objective.loss()), means(objective.metrics), objective.rows["counterfactual"].tolist()


def test_counterfactuals_are_preferred_and_made_likely() -> None:
    loss, metrics, rows = counterfactual_objective(counterfactual_mle_weight=2.0)
    assert metrics["losses/counterfactual"] == pytest.approx(softplus(-0.5 * 4))
    assert metrics["nll/counterfactual"] == pytest.approx(6 / 3)
    assert loss == pytest.approx(softplus(-2.0) / 0.5 + 2 * 6 / 3)
    assert rows == pytest.approx([0, softplus(-2.0), 0])  # named by the row it was made of
    _, metrics, _ = counterfactual_objective(length_normalize=True)
    margin = (-6 / 3 + 8 / 3) - (-9 / 2 + 7 / 2)
    assert metrics["rewards/margins/counterfactual"] == pytest.approx(0.5 * margin)


def test_a_batch_without_counterfactuals_has_no_such_term() -> None:
    config = DpoConfig(weights={"counterfactual": 1.0})
    objective = multi_level_objective(Logps(CHOSEN, {}), Logps(CHOSEN, {}), torch.tensor([4]), None, {}, config)
    nothing = PairLogps(*[torch.zeros(0)] * 4)
    objective = with_counterfactuals(objective, nothing, torch.zeros(2, 0), [], config)
    assert float(objective.loss()) == pytest.approx(10 / 4)
    assert not [name for name in means(objective.metrics) if "counterfactual" in name]
