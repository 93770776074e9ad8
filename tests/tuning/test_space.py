"""The search space: how it is written, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.configs import ALL_LEVELS

from signdpo.config import Config, ConfigError, lay_over, load_config
from signdpo.tuning.plan import remarks
from signdpo.tuning.settings import Range, SearchConfig, load_search
from signdpo.tuning.space import Space

DEFAULT = Path(__file__).parents[2] / "jobs" / "configs" / "tune.yaml"
CACHED = {"negatives.mode": "cached"}


def search_of(tmp_path: Path, text: str, *overrides: str) -> SearchConfig:
    path = tmp_path / "search.yaml"
    path.write_text(text)
    return load_search(path, overrides)


def space_of(**ranges: Range) -> Space:
    return Space.of(lay_over(Config(), CACHED), {key.replace("__", "."): values for key, values in ranges.items()})


def test_shipped_search_states_every_key_with_its_default_and_can_be_run() -> None:
    search = load_search(DEFAULT)
    stated = yaml.safe_load(DEFAULT.read_text())
    space = stated.pop("space")
    assert stated == SearchConfig(space=space).model_dump(mode="json", exclude={"space"})
    assert stated == SearchConfig(space={"dpo.beta": {"uniform": [0, 1]}}).model_dump(mode="json", exclude={"space"})
    assert Space.of(lay_over(Config(), CACHED), search.space).deciding_negatives() == []


def test_ranges_are_written_dotted_or_nested_and_set_or_taken_out_on_the_command_line(tmp_path: Path) -> None:
    text = """
    space:
      dpo.beta: {loguniform: [0.1, 1]}
      dpo: {weights: {language: {uniform: [0, 1]}}, epochs: {integer: [1, 4]}}
    """
    overrides = ["space.dpo.beta={uniform: [1, 2]}", "space.dpo.epochs=null", "space.dpo.loss={choice: [ipo, hinge]}"]
    search = search_of(tmp_path, text, *overrides, "trials=3")
    assert search.trials == 3
    assert {key: values.corners for key, values in search.space.items()} == {
        "dpo.beta": (1.0, 2.0),
        "dpo.weights.language": (0.0, 1.0),
        "dpo.loss": ("ipo", "hinge"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "trils: 3\nspace: {dpo.beta: {uniform: [0.1, 1]}}",
            r"unknown key search\.trils: did you mean search\.trials\?",
        ),
        ("trials: 3", "has no space: name the keys to search"),
        ("space: {dpo.beta: null}", "space is empty"),
        ("space: {dpo.beta: 1}", r"search\.space\.dpo\.beta.*found 1"),
        ("space: {dpo.beta: {uniform: [0.1, 1], choice: [1, 2]}}", "found uniform and choice"),
        ("space: {dpo.beta: {uniform: [1, 0.1]}}", r"from a lower to a higher number, found \[1\.0, 0\.1\]"),
        ("space: {dpo.beta: {loguniform: [0, 1]}}", "loguniform needs numbers above 0"),
        ("space: {dpo.loss: {choice: [ipo]}}", "choice needs two values or more"),
        ("keep_one_in: 1\nspace: {dpo.beta: {uniform: [0.1, 1]}}", "would stop no trial: set scheduler=none"),
        ("algorithm: grid\nspace: {dpo.beta: {uniform: [0.1, 1]}}", r"search\.algorithm: .*'optuna' or 'random'"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search_of(tmp_path, text)


def test_unknown_key_names_the_nearest_valid_one() -> None:
    with pytest.raises(ConfigError, match=r"corner dpo\.bta=0\.1: unknown key dpo\.bta: did you mean dpo\.beta\?"):
        space_of(dpo__bta=Range(uniform=(0.1, 1)))


def test_every_corner_must_be_a_configuration_that_can_be_run() -> None:
    with pytest.raises(ConfigError, match=r"corner dpo\.beta=-1\.0: dpo\.beta: Input should be greater than 0"):
        space_of(dpo__beta=Range(uniform=(-1, 1)))
    with pytest.raises(ConfigError, match=r"corner dpo\.loss=hing: .*did you mean hinge"):
        space_of(dpo__loss=Range(choice=("sigmoid", "hing")))
    with pytest.raises(ConfigError, match=r"spatial_local=revers is not known: did you mean reverse"):
        space_of(negatives__operations__spatial_local__revers=Range(uniform=(0, 1)))


def test_corners_of_two_keys_must_fit_each_other() -> None:
    low, high = Range(uniform=(-1, 0.9)), Range(uniform=(0.8, 12))
    space_of(negatives__hardness__skeleton__min_margin=low)
    space_of(negatives__hardness__skeleton__max_margin=high)
    with pytest.raises(ConfigError, match=r"min_margin=0\.9, .*max_margin=0\.8: .*must be less than"):
        space_of(negatives__hardness__skeleton__min_margin=low, negatives__hardness__skeleton__max_margin=high)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("seed", "differ by luck"),
        ("dpo.seed", "differ by luck"),
        ("corpus.max_frames", "share the clips"),
        ("policy.encoder.joint_dim", "the same baseline"),
        ("pretrain.lr", "the same baseline"),
        ("negatives.perturber.candidates", "share the language perturber"),
        ("negatives.mode", "read cached negatives"),
        ("negatives.levels", "any of them teaches"),
        ("negatives.policy", "the reference guides"),
        ("evaluation.num_beams", "scored alike"),
        ("dpo.select_by", "scored alike"),
        ("resources.workers", "not what it learns"),
    ],
)
def test_what_trials_share_cannot_be_searched(key: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"search\.space\.{key} cannot be searched: .*{reason}"):
        Space.of(Config(), {key: Range(integer=(1, 2))})


def test_it_is_known_which_keys_decide_negatives() -> None:
    space = space_of(
        dpo__beta=Range(uniform=(0.1, 1)),
        dpo__epochs=Range(integer=(1, 3)),
        negatives__strength__spatial_local=Range(uniform=(0.5, 1)),
    )
    assert space.deciding_negatives() == ["dpo.epochs", "negatives.strength.spatial_local"]
    assert space.most_epochs() == 3
    search = SearchConfig(space=space.ranges, grace_epochs=3)
    told = remarks(space, search)
    assert any("dpo.epochs, negatives.strength.spatial_local decide the negatives" in remark for remark in told)
    assert any("mined with the base's negatives.strength.spatial_local" in remark for remark in told)
    assert any("asha can stop no trial: dpo.epochs=3" in remark for remark in told)
    assert (
        remarks(space_of(dpo__beta=Range(uniform=(0.1, 1))), SearchConfig(scheduler="none", space=space.ranges)) == []
    )


def test_a_named_cache_cannot_serve_a_space_that_decides_negatives() -> None:
    base = load_config(None, ["negatives.mode=cached", "negatives.cache=/data/negatives"])
    Space.of(base, {"dpo.beta": Range(uniform=(0.1, 1))})
    with pytest.raises(
        ConfigError, match=r"cache=/data/negatives holds the negatives of one setting.*negatives\.donors"
    ):
        Space.of(base, {"negatives.donors": Range(integer=(1, 9))})


def test_a_trial_is_the_base_with_its_settings_laid_over() -> None:
    space = space_of(dpo__weights__language=Range(uniform=(0, 1)), dpo__lr=Range(loguniform=(1e-5, 1e-3)))
    config = space.config({"dpo.weights.language": 0.7, "dpo.lr": 1e-05})
    assert (config.dpo.weight_of("language"), config.dpo.lr, config.negatives.mode) == (0.7, 1e-05, "cached")
    assert config.dpo.weight_of("spatial_local") == Config().dpo.weight_of("spatial_local")


def test_shared_negatives_have_the_levels_of_every_trial() -> None:
    base = load_config(
        ALL_LEVELS, [f"dpo.weights.{level}=0" for level in ("spatial_global", "language", "temporal_local")]
    )
    space = Space.of(
        base, {"dpo.weights.language": Range(uniform=(0, 1)), "dpo.weights.spatial_local": Range(choice=(0, 1))}
    )
    assert space.deciding_negatives() == []
    levels = ("spatial_local", "temporal_global", "language", "counterfactual")
    without = space.config({"dpo.weights.language": 0.0, "dpo.weights.spatial_local": 0})
    assert (without.made_levels, without.dpo.levels) == (levels, ("temporal_global", "counterfactual"))
    alone = Space.of(base, {"negatives.donors": Range(integer=(1, 9))})  # whose trials make their own
    assert alone.base.negatives.levels is None
