"""What decides a stage's result is in its key, and nothing else: every key of the configuration is changed once."""

from __future__ import annotations

from typing import Any

import pytest
from support.configs import ALL_LEVELS

from signdpo.config import Config, flat, lay_over, load_config
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.pipeline.stage import Results, Stage
from signdpo.pipeline.stages import DECIDE_NOTHING, STAGES, stages_of
from signdpo.pipeline.stages.align import Align, AlignOutputs
from signdpo.pipeline.stages.clips import Clips, ClipsOutputs
from signdpo.pipeline.stages.control import Control, ControlOutputs
from signdpo.pipeline.stages.language import Language, LanguageOutputs
from signdpo.pipeline.stages.negatives import Negatives, NegativesOutputs
from signdpo.pipeline.stages.perturber import Perturber, PerturberOutputs
from signdpo.pipeline.stages.pretrain import Pretrain, PretrainOutputs
from signdpo.pipeline.stages.translation import Translation, TranslationOutputs

LEAVES = sorted(flat(Config().model_dump(mode="json")))

# Other values, where adding 1, or the other of two, is none.
VALUES: dict[str, Any] = {
    "control": "dropout",
    "corpus.kind": "npz",
    "corpus.root": "/data",
    "corpus.labels": "labels.tsv",
    "corpus.hold_out": 0.1,
    "corpus.language": "de",
    "corpus.limit": 5,
    "corpus.max_bad_share": 0.1,
    "corpus.person": "largest",
    "corpus.max_frames": 128,
    "corpus.stored_frames": 512,
    "policy.encoder.joint_pooling": "late",
    "policy.encoder.kind": None,  # there is one kind only
    "policy.encoder.spatial_channels": [8],
    "policy.encoder.temporal_kernel": 7,
    "policy.encoder.temporal_strides": [2, 2],
    "policy.init": "/policies/a",
    "policy.language_model.path": "/models/b",
    "policy.language_model.pretrain_text": "/texts/a.txt",
    "policy.prompt": "Translate: ",
    "pretrain.dropout": 0.2,
    "pretrain.frame_sampling": "random",
    "pretrain.label_smoothing": 0.2,
    "pretrain.precision": "bfloat16",
    "negatives.cache": "/negatives",
    "negatives.guidance": "random",
    "negatives.hardness.harden": 0.5,
    "negatives.hardness.language.max_margin": 5.0,
    "negatives.hardness.language.min_margin": 0.0,
    "negatives.hardness.skeleton.min_margin": 0.1,
    "negatives.hardness.unit": "sentence",
    "negatives.levels": ["language"],
    "negatives.counterfactual.min_mass": 0.2,
    "negatives.mode": "cached",
    "negatives.policy": "current",
    "negatives.perturber.architecture": "edits",
    "negatives.perturber.kind": "rules",
    "negatives.perturber.held_out_share": 0.2,
    "negatives.perturber.edit_share": 0.5,
    "negatives.perturber.function_share": 0.5,
    "negatives.perturber.max_chrf": 90.0,
    "negatives.perturber.path": "/models/c",
    "negatives.salience.heads": "max",
    "negatives.salience.layers": "all",
    "negatives.salience.parts": "gradient",
    "negatives.salience.share": 0.5,
    "negatives.salience.tokens": "mean",
    "negatives.salience.weighting": "gradient",
    "dpo.label_smoothing": 0.1,
    "dpo.loss": "ipo",
    "dpo.seed": 5,
    "dpo.precision": "bfloat16",
    "dpo.select_by": "eval_nll",
    "evaluation.protocol": "csl_daily",
    "evaluation.splits": ["dev"],
    "evaluation.tokenize": "intl",
    "resources.gpus_per_generator": 0.5,
    "resources.gpus_per_worker": 2.0,
    "resources.generators": [1, 4],
    "resources.generator_resources": {"slot": 1},
    "resources.worker_resources": {"slot": 1},
    "tracking.mlflow": "http://host",
    "tracking.wandb": "project",
}

ONLY_LANGUAGE = [f"dpo.weights.{level}=0" for level in (*SKELETON_LEVELS, "counterfactual")]
ONLY_LANGUAGE += ["dpo.counterfactual_mle_weight=0"]

# What a key needs to mean something.
CONTEXT: dict[str, list[str]] = {
    "negatives.perturber.folds": ["negatives.perturber.kind=folds"],
    "corpus.kind": ["corpus.kind=pose", "corpus.root=/data"],
    "corpus.root": ["corpus.kind=npz", "corpus.root=/others"],
    "corpus.labels": ["corpus.kind=npz", "corpus.root=/data"],
    "negatives.refresh_every": ["negatives.policy=current"],
    "negatives.cache": ["negatives.mode=cached"],
    "negatives.levels": ["negatives.levels=[spatial_global, language]", *ONLY_LANGUAGE],
    "resources.use_gpu": ["pretrain.precision=float32"],  # it decides through `precision: auto` alone
    "pretrain.frame_sampling": ["corpus.stored_frames=512"],
}


def changed(config: Config, key: str) -> Config:
    """The configuration with another value of a key."""
    value = flat(config.model_dump(mode="json"))[key]
    if key in VALUES:
        other = VALUES[key]
    elif isinstance(value, bool):
        other = not value
    elif key.startswith("corpus.landmarks."):
        other = "another.name"
    elif ".augmentation." in key:
        other = 0.1
    elif key.startswith(("negatives.operations.", "negatives.strength.", "negatives.perturber.mining.")):
        other = value / 2
    else:
        other = value + 1
    return lay_over(config, {key: other})


def results(policy_hash: str = "p") -> Results:
    """Outputs of the stages, as if all were done."""
    done = Results()
    done.add(Clips(), ClipsOutputs(content_hash="c", clips={}, quarantined=0, reasons=[]))
    done.add(Language(), LanguageOutputs(sentences=3, content_hash="l"))
    done.add(Pretrain(), PretrainOutputs(policy_hash=policy_hash))
    done.add(Control(), ControlOutputs(policy_hash="o", step=1))
    done.add(Perturber(), PerturberOutputs(pairs=9, content_hash="w"))
    done.add(Negatives(), NegativesOutputs(key="k"))
    done.add(Align(), AlignOutputs(policy_hash="a", step=1, negatives={}))
    done.add(Translation(), TranslationOutputs(content_hash="t", length_penalties={}))
    return done


def keys_of(config: Config, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stage -> its key; the corpus is not looked at, and the report follows its outputs."""
    monkeypatch.setattr(Clips, "files", lambda self, config: {})
    stages: list[Stage[Any]] = [kind() for kind in STAGES if kind.name != "report"]
    return {stage.name: stage.inputs(config, results()).key for stage in stages}


def decides_nothing(key: str) -> bool:
    return any(key == listed or key.startswith(f"{listed}.") for listed in DECIDE_NOTHING)


@pytest.mark.parametrize("key", LEAVES)
def test_every_key_decides_the_result_of_a_stage_or_is_known_to_decide_nothing(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if VALUES.get(key, "") is None:
        pytest.skip("there is no other value")
    config = load_config(None, CONTEXT.get(key, []))
    before, after = keys_of(config, monkeypatch), keys_of(changed(config, key), monkeypatch)
    assert (before == after) == decides_nothing(key)


def test_what_decides_nothing_exists_and_has_a_reason() -> None:
    for key, reason in DECIDE_NOTHING.items():
        assert any(leaf == key or leaf.startswith(f"{key}.") for leaf in LEAVES), key
        assert len(reason) > 10


ALIGNED = {"negatives", "align"}
SCORED = {"pretrain", "control", "align"}  # whose checkpoint is selected by a score on dev


@pytest.mark.parametrize(
    ("given", "key", "value", "stages"),
    [
        ([], "dpo.lr", 0.5, {"control", "align"}),
        ([], "dpo.seed", 5, {"control", *ALIGNED}),
        ([], "dpo.seed", 1, set()),  # what `seed` is
        (["dpo.seed=1"], "seed", 5, {"language", "pretrain", "perturber", "segments", "evaluation"}),
        ([], "dpo.checkpoint_every", 5, {"control", "align"}),
        ([], "dpo.augmentation.rotation", 5.0, {"control", "align"}),
        ([], "pretrain.augmentation.mirror", 0.5, {"pretrain"}),
        (["policy.init=/x"], "pretrain.augmentation.mirror", 0.5, set()),
        ([], "policy.language_model.pretrain.epochs", 3, {"language"}),
        ([], "policy.language_model.d_model", 64, {"language", "pretrain"}),
        (["policy.language_model.pretrain_text=grammar"], "corpus.synthetic.seed", 3, {"clips", "language"}),
        (["policy.language_model.pretrain_text=/texts/a.txt"], "corpus.synthetic.seed", 3, {"clips"}),
        ([], "evaluation.bootstrap_samples", 9, {"evaluation"}),
        ([], "evaluation.tokenize", "intl", {*SCORED, "evaluation"}),
        ([], "corpus.language", "de", {"clips", *SCORED, "evaluation"}),
        ([], "evaluation.num_beams", 2, {"perturber", "translation"}),
        ([], "evaluation.length_penalty", 2.0, {"translation"}),
        (["evaluation.length_penalty=tune"], "evaluation.protocol", "csl_daily", {"translation", "evaluation"}),
        ([], "evaluation.splits", ["dev"], {"translation", "evaluation"}),
        ([], "negatives.perturber.candidates", 2, ALIGNED),
        ([], "dpo.weights.language", 0.5, {"align"}),
        ([], "dpo.weights.language", 0.0, ALIGNED),
        (["negatives.levels=[language]", *ONLY_LANGUAGE], "negatives.levels", None, set()),
        ([], "negatives.perturber.min_chrf", 2.0, ALIGNED),
        ([], "negatives.perturber.max_length_ratio", 3.0, ALIGNED),
        ([], "negatives.perturber.known_words", False, ALIGNED),
        ([], "negatives.perturber.function_share", 0.5, {"segments", *ALIGNED}),
        ([], "negatives.perturber.lr", 0.5, {"perturber"}),
        ([], "negatives.strength.spatial_local", 0.5, ALIGNED),
        ([], "negatives.strength.spatial_global", 0.5, {"perturber", *ALIGNED}),
        ([], "dpo.precision", "bfloat16", {"control", *ALIGNED}),
        ([], "resources.workers", 2, set()),
        ([], "resources.pretrain_workers", 2, set()),
        (
            ["policy.init=/x"],
            "policy.max_text_tokens",
            9,
            {"language", "perturber", "control", "segments", *ALIGNED, "translation"},
        ),
        (["policy.init=/x"], "policy.encoder.joint_dim", 9, set()),
        (
            ["negatives.perturber.kind=policy"],
            "evaluation.max_new_tokens",
            9,
            {"pretrain", "control", *ALIGNED, "translation"},
        ),
        (["negatives.perturber.kind=folds"], "negatives.perturber.lr", 0.5, set()),
        (["negatives.perturber.kind=folds"], "negatives.perturber.folds", 4, {"perturber"}),
        (["negatives.perturber.kind=rules"], "negatives.perturber.lr", 0.5, set()),
        (["negatives.perturber.kind=rules"], "negatives.perturber.edit_share", 0.5, {"perturber"}),
        (["dpo.precision=auto", "pretrain.precision=float32"], "resources.use_gpu", True, {"control", *ALIGNED}),
    ],
)
def test_a_key_decides_these_stages(
    given: list[str], key: str, value: Any, stages: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(ALL_LEVELS, given)
    before, after = keys_of(config, monkeypatch), keys_of(lay_over(config, {key: value}), monkeypatch)
    assert {name for name in before if before[name] != after[name]} == stages


def test_the_same_negatives_decide_an_alignment_cached_or_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    streamed, cached = (load_config(None, [f"negatives.mode={mode}"]) for mode in ("stream", "cached"))
    assert Align().inputs(streamed, results()).key == Align().inputs(cached, results()).key
    assert [stage.name for stage in stages_of(cached) if stage not in stages_of(streamed)][:1] == ["clips"]
    assert {stage.name for stage in stages_of(cached)} - {stage.name for stage in stages_of(streamed)} == {"negatives"}


def test_the_perturber_is_a_stage_only_where_it_is_asked_for_sentences() -> None:
    with_language, without = load_config(ALL_LEVELS), load_config(ALL_LEVELS, ["dpo.weights.language=0"])
    assert {s.name for s in stages_of(with_language)} - {s.name for s in stages_of(without)} == {"perturber"}
    shared = load_config(ALL_LEVELS, ["dpo.weights.language=0", f"negatives.levels={list(LEVELS)}"])
    assert [s.name for s in stages_of(shared)] == [s.name for s in stages_of(with_language)]
    done = Results()
    done.add(Clips(), ClipsOutputs(content_hash="c", clips={}, quarantined=0, reasons=[]))
    done.add(Pretrain(), PretrainOutputs(policy_hash="p"))
    assert "perturber.content_hash" not in Align().inputs(without, done).results


def test_another_number_of_checkpoints_goes_on_with_a_training_that_was_begun() -> None:
    often, seldom = (load_config(None, [f"dpo.checkpoint_every={steps}"]) for steps in (5, 50))
    one, other = Align().inputs(often, results()), Align().inputs(seldom, results())
    assert one.key != other.key
    assert one.training_key == other.training_key
    assert one.training_key != Align().inputs(load_config(None, ["dpo.lr=0.5"]), results()).training_key
    assert one.training_key != Align().inputs(often, results(policy_hash="another")).training_key


def test_a_replaced_model_of_the_perturber_is_another(tmp_path: Any) -> None:
    (tmp_path / "model.safetensors").write_text("{}")
    config = load_config(None, [f"negatives.perturber.path={tmp_path}"])
    before = Perturber().inputs(config, results()).key
    assert Perturber().inputs(config, results()).key == before
    (tmp_path / "README.md").write_text("the card of the model, written by a report or by hand, makes it no other")
    assert Perturber().inputs(config, results()).key == before
    (tmp_path / "model.safetensors").write_text("{...}")
    assert Perturber().inputs(config, results()).key != before
