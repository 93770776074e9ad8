"""The configuration: what is refused, and how."""

from pathlib import Path

import pytest
import yaml

from signdpo.config import Config, ConfigError, load_config

SEARCH = "tune.yaml"  # configures a search, not a run
CONFIGS = [p for p in sorted((Path(__file__).parents[1] / "jobs" / "configs").glob("*.yaml")) if p.name != SEARCH]


def test_unknown_key_names_the_nearest_valid_one() -> None:
    with pytest.raises(ConfigError, match=r"dpo\.bta: did you mean dpo\.beta\?"):
        load_config(None, ["dpo.bta=0.1"])


def test_unknown_level_names_the_nearest_valid_one() -> None:
    with pytest.raises(ConfigError, match="did you mean spatial_local"):
        load_config(None, ["dpo.weights.spatial_locl=1"])


def test_value_out_of_range_names_key_and_value() -> None:
    with pytest.raises(ConfigError, match=r"dpo\.beta.*greater than 0.*-1"):
        load_config(None, ["dpo.beta=-1"])


def test_override_replaces_one_key_and_keeps_its_neighbours() -> None:
    config = load_config(None, ["dpo.beta=0.5", "dpo.weights.language=0.7"])
    assert config.dpo.beta == 0.5
    assert config.dpo.weight_of("language") == 0.7
    assert config.dpo.weight_of("spatial_local") == Config().dpo.weight_of("spatial_local")
    assert config.dpo.lr == Config().dpo.lr


def test_corpus_on_disk_needs_a_root() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.root is missing"):
        load_config(None, ["corpus.kind=uni_sign"])


def test_random_frames_need_frames_to_draw_from() -> None:
    with pytest.raises(ConfigError, match=r"set corpus\.stored_frames to more, for example 1024"):
        load_config(None, ["pretrain.frame_sampling=random"])
    with pytest.raises(ConfigError, match="stored_frames=10 is less than max_frames=256"):
        load_config(None, ["corpus.stored_frames=10"])
    load_config(None, ["pretrain.frame_sampling=random", "corpus.stored_frames=1024"])


def test_malformed_override_says_what_is_expected() -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        load_config(None, ["dpo.beta"])


def test_resolved_config_reads_back_as_itself(tmp_path: Path) -> None:
    config = load_config(None, ["seed=3", "policy.encoder.spatial_channels=[8, 16]"])
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().dpo.beta = 2.0  # type: ignore[misc]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_config_is_valid(path: Path) -> None:
    load_config(path, ["corpus.root=/data"])


def test_default_yaml_states_every_key_with_its_default() -> None:
    path = Path(__file__).parents[1] / "jobs" / "configs" / "default.yaml"
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(Config().to_yaml())
