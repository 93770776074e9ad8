"""The configuration: what is refused, and how."""

import re
from pathlib import Path

import pytest
import yaml
from support.configs import ALL_LEVELS

from signdpo.config import Config, ConfigError, DpoConfig, flat, load_config
from signdpo.levels import LEVELS

SEARCH = "tune.yaml"  # configures a search, not a run
SYNTHETIC = ("default.yaml", "all_levels.yaml")  # which need no corpus on disk
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


@pytest.mark.parametrize("key", ["tracking.mlflow", "corpus.root"])
def test_a_password_in_a_uri_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key} holds a password") as refused:
        load_config(None, ["corpus.kind=npz", "corpus.root=/data", f"{key}=https://me:HUSH@host:8080/path"])
    assert "HUSH" not in str(refused.value)
    assert load_config(None, ["tracking.mlflow=https://host:8080/a@b"]).tracking.mlflow == "https://host:8080/a@b"


@pytest.mark.parametrize("number", ["inf", ".inf", "-.inf", "nan", ".nan"])
def test_no_number_of_the_configuration_may_be_infinite_or_nan(number: str) -> None:
    floats = [key for key, value in flat(Config().model_dump()).items() if isinstance(value, float)]
    assert {"dpo.lr", "dpo.weights.language", "negatives.hardness.skeleton.max_margin", "corpus.hold_out"} < set(floats)
    for key in floats:
        with pytest.raises(ConfigError, match=rf"^{re.escape(key)}: Input should be a finite number \(found"):
            load_config(None, [f"{key}={number}"])


def test_override_replaces_one_key_and_keeps_its_neighbours() -> None:
    config = load_config(None, ["dpo.beta=0.5", "dpo.weights.language=0.7"])
    assert config.dpo.beta == 0.5
    assert config.dpo.weight_of("language") == 0.7
    assert config.dpo.weight_of("spatial_local") == Config().dpo.weight_of("spatial_local")
    assert config.dpo.lr == Config().dpo.lr


def test_levels_of_weight_0_and_those_left_out_are_not_among_the_levels() -> None:
    assert Config().dpo.levels == ("counterfactual",)
    assert load_config(ALL_LEVELS).dpo.levels == LEVELS
    assert load_config(ALL_LEVELS, ["dpo.weights.spatial_local=0"]).dpo.levels == (
        "spatial_global",
        "temporal_global",
        "temporal_local",
        "language",
        "counterfactual",
    )
    two = {"language": 0.3, "spatial_global": 1.0}
    assert DpoConfig(weights=two).levels == ("spatial_global", "language", "counterfactual")
    assert DpoConfig(weights=two, counterfactual_mle_weight=0.0).levels == ("spatial_global", "language")
    assert DpoConfig(weights={}, counterfactual_mle_weight=0.0).levels == ()


def test_corpus_on_disk_needs_a_root() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.root is missing"):
        load_config(None, ["corpus.kind=uni_sign"])


@pytest.mark.parametrize("given", ["corpus.root=/data", "corpus.labels=labels.tsv"])
@pytest.mark.parametrize("more", [[], ["corpus.kind=synthetic"]])
def test_a_corpus_on_disk_needs_a_kind(given: str, more: list[str]) -> None:
    """The synthetic corpus would be checked, or trained on, in the place of the one that was named."""
    with pytest.raises(ConfigError, match=rf"{re.escape(given)} is given, but corpus\.kind is synthetic.*=uni_sign"):
        load_config(None, [given, *more])
    load_config(None, ["corpus.root=/data", given, "corpus.kind=npz"])


def test_a_policy_is_not_selected_on_recordings_that_it_may_have_been_trained_on() -> None:
    given = ["corpus.hold_out=0.02", "policy.init=uni_sign:/how2sign.pth"]
    with pytest.raises(
        ConfigError, match=r"corpus\.hold_out=0\.02 .*policy\.init=uni_sign:/how2sign\.pth may have been"
    ):
        load_config(None, given)
    load_config(None, [*given, "policy.init_saw_held_out=false"])
    load_config(None, [given[0]])
    how2sign = next(path for path in CONFIGS if path.stem == "how2sign")
    with pytest.raises(ConfigError, match=r"labels of its own dev and test recordings and set corpus\.hold_out=0"):
        load_config(how2sign, [given[1], "corpus.root=/data"])


def test_levels_that_are_taught_must_be_made() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.levels lacks spatial_local, .*, which dpo\.weights teaches"):
        load_config(ALL_LEVELS, ["negatives.levels=[language, spatial_global]"])
    with pytest.raises(ConfigError, match=r"levels names langage, which is none: did you mean language\?"):
        load_config(None, ["negatives.levels=[langage]"])
    more = load_config(ALL_LEVELS, ["dpo.weights.language=0", f"negatives.levels={list(reversed(LEVELS))}"])
    assert (more.made_levels, more.dpo.levels) == (LEVELS, tuple(level for level in LEVELS if level != "language"))


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
    load_config(path, [] if path.name in SYNTHETIC else ["corpus.root=/data"])


def test_default_yaml_states_every_key_with_its_default() -> None:
    path = Path(__file__).parents[1] / "jobs" / "configs" / "default.yaml"
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(Config().to_yaml())


def test_a_preset_changes_what_it_names_and_leaves_the_other_defaults() -> None:
    node = load_config(None, ["resources=gpu_node"]).resources
    assert (node.use_gpu, node.gpus_per_worker, node.generators) == (True, 0.6, (2, 3))
    assert node.workers == Config().resources.workers


def test_laptop_is_the_default() -> None:
    assert load_config(None, ["resources=laptop"]) == Config()


def test_a_preset_hides_what_was_set_before_and_keys_change_it_afterwards() -> None:
    config = load_config(None, ["resources.workers=7", "resources=cluster", "resources.cpus_per_worker=2"])
    assert config.resources.workers == 2
    assert config.resources.cpus_per_worker == 2


def test_no_preset_shows_through_another(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("resources: {preset: cluster, worker_resources: {my_slot: 1}}\n")
    laptop = load_config(None, ["resources=laptop"]).resources
    assert load_config(None, ["resources=cluster", "resources=laptop"]).resources == laptop
    assert load_config(file, ["resources=laptop"]).resources == laptop
    assert load_config(file).resources.worker_resources == {"my_slot": 1}
    node = load_config(None, ["resources=cluster", "resources={preset: gpu_node, workers: 3}"]).resources
    assert node == load_config(None, ["resources=gpu_node", "resources.workers=3"]).resources


def test_an_empty_mapping_clears_and_another_is_merged() -> None:
    given = ["resources=cluster", "resources.worker_resources={}"]
    assert load_config(None, given).resources.worker_resources == {}
    added = load_config(None, ["resources=cluster", "resources.worker_resources={big: 1}"]).resources
    assert added.worker_resources == {"trainer_slot": 1, "big": 1}
    weights = load_config(None, ["dpo.weights={language: 0.5}"]).dpo.weights
    assert weights["language"] == 0.5
    assert len(weights) == 6


@pytest.mark.parametrize("resources", ["cluster", "{preset: cluster, workers: 4}"])
def test_a_file_names_a_preset_and_the_resolved_config_reads_back(resources: str, tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text(f"resources: {resources}")
    config = load_config(tmp_path / "given.yaml")
    assert config.resources.workers == (4 if "4" in resources else 2)
    assert config.resources.generator_resources == {"generator_slot": 1}
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("given", ["resources=clustr", "resources={preset: clustr}"])
def test_a_mistyped_preset_names_the_nearest(given: str) -> None:
    with pytest.raises(ConfigError, match="resources=clustr is not a preset: did you mean cluster"):
        load_config(None, [given])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("resources.gpus_per_worker=1.5", r"resources\.gpus_per_worker.*whole number.*found 1\.5"),
        ("resources.generator_resources={GPU: 1}", r"resources\.generator_resources.*GPU is Ray's own"),
        ("resources.generators=[3, 2]", r"min <= max, got \[3, 2\]"),
    ],
)
def test_resources_that_ray_cannot_give_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


def test_what_a_worker_and_a_generator_ask_of_ray() -> None:
    cluster = load_config(None, ["resources=cluster"]).resources
    assert cluster.of_worker(8) == {"CPU": 8, "GPU": 1, "trainer_slot": 1}
    assert cluster.of_generator() == {"CPU": 3, "GPU": 0.5, "generator_slot": 1}
    without = load_config(None, ["resources=gpu_node", "resources.use_gpu=false"]).resources
    assert without.of_worker(4) == {"CPU": 4}
    assert without.of_generator() == {"CPU": 2}
