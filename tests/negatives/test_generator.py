"""The generator on Ray: negatives depend on the clip, not on who makes them with whom."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.small_runs import SmallRun
from support.small_start import SmallStart

from signdpo.config import BandConfig, lay_over
from signdpo.data.actor_pool import on_actors
from signdpo.data.batches import PreferenceBatch
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.models.policy import Policy
from signdpo.negatives.generator import NegativeGenerator, ReferenceMismatchError
from signdpo.negatives.sentence.rules import RULES_FILE, RulePerturber
from signdpo.negatives.sentence.selection import TEXT_FILE, TrainingText
from signdpo.pipeline.actors import GenerateNegatives, GeneratorArguments
from signdpo.totals import means
from signdpo.training.dpo import PreferenceStep, preference_objective

LANGUAGE_PLACE = LEVELS.index("language")


def arguments_of(run: SmallRun | SmallStart) -> tuple[Any, ...]:
    baseline, perturber = str(run.directory / "pretrain" / "policy"), str(run.directory / "perturber" / "model")
    clips, segments = str(run.directory / "clips"), str(run.directory / "segments")
    return run.config, baseline, run.reference_hash, perturber, clips, segments


def batch_of(run: SmallRun | SmallStart, begin: int, count: int) -> dict[str, np.ndarray]:
    clips = read_clips(run.directory / "clips", "train").slice(begin, count).to_pylist()
    columns = {name: np.array([row[name] for row in clips], dtype=object) for name in ("id", "text", "keypoints")}
    frames = np.array([row["num_frames"] for row in clips])
    return columns | {"num_frames": frames, "epoch": np.zeros(count, np.int32), "step": np.zeros(count, np.int64)}


def generate(run: SmallRun, *, actors: int, batch_size: int) -> dict[tuple[int, str], dict[str, Any]]:
    resources = run.config.resources.model_copy(update={"generators": (actors, actors)})
    config = run.config.model_copy(update={"resources": resources})
    store = ClipStore.load(str(run.directory / "clips"), "train", max_frames=256)
    schedule = Schedule(store.num_frames, epochs=2, batch_size=batch_size, workers=1, seed=1)
    rows = on_actors(
        store.stream(schedule.blocks()), GenerateNegatives, ("test", GeneratorArguments(*arguments_of(run))), config
    ).take_all()
    return {(row["epoch"], row["id"]): row for row in rows}


@pytest.fixture(scope="module")
def preferences(small_run: SmallRun) -> dict[tuple[int, str], dict[str, Any]]:
    return generate(small_run, actors=1, batch_size=16)


@pytest.mark.parametrize(("actors", "batch_size"), [(3, 16), pytest.param(1, 9, marks=pytest.mark.long)])
def test_same_negatives_for_any_number_of_actors_and_any_batch_size(
    small_run: SmallRun, preferences: dict[tuple[int, str], dict[str, Any]], actors: int, batch_size: int
) -> None:
    others = generate(small_run, actors=actors, batch_size=batch_size)
    assert others.keys() == preferences.keys()
    assert len(others) == 2 * 72
    for key, row in preferences.items():
        for level in SKELETON_LEVELS:
            np.testing.assert_array_equal(row[f"keypoints_{level}"], others[key][f"keypoints_{level}"])
        for column in ("operations", "strengths", "redraws", "valid"):
            assert list(row[column]) == list(others[key][column])
        for column in ("rejected_text", "text_counterfactual"):
            assert row[column] == others[key][column]
        np.testing.assert_array_equal(row["keypoints_counterfactual"], others[key]["keypoints_counterfactual"])
        np.testing.assert_allclose(row["reference_logps"], others[key]["reference_logps"], atol=1e-4)


def test_epochs_have_different_negatives(preferences: dict[tuple[int, str], dict[str, Any]]) -> None:
    ids = {clip for _, clip in preferences}
    level = "keypoints_spatial_local"
    changed = [not np.array_equal(preferences[0, clip][level], preferences[1, clip][level]) for clip in ids]
    assert np.mean(changed) > 0.5


def test_every_row_names_its_reference_and_has_all_scores(
    small_run: SmallRun, preferences: dict[tuple[int, str], dict[str, Any]]
) -> None:
    for row in preferences.values():
        assert row["reference_hash"] == small_run.reference_hash
        assert len(row["reference_logps"]) == 1 + len(LEVELS)
        assert np.isfinite(row["reference_logps"][:-1]).all()
        assert np.isfinite(row["reference_logps"][-1]) or not row["valid"][-1]  # not every clip has a counterfactual
        assert len(row["salience_frames"]) == row["num_frames"]


# Margins of a policy that hardly saw a clip are within 0.003 nats, and lie on either side of these.
NARROW = {"min_margin": 0.0, "max_margin": 0.0004}


def narrow_rows(run: SmallStart, *spans: tuple[int, int]) -> list[dict[str, Any]]:
    """Preference rows of training clips under a band that few negatives hit; each span, first and count, is a batch."""
    hardness = run.config.negatives.hardness.model_copy(update={"skeleton": BandConfig(**NARROW)})
    negatives = run.config.negatives.model_copy(update={"hardness": hardness})
    _, *others = arguments_of(run)
    make = NegativeGenerator(run.config.model_copy(update={"negatives": negatives}), *others)
    batches = [make(batch_of(run, *span)) for span in spans]
    return [
        {name: batch[name][row] for name in batch} for batch in batches for row in range(len(batch["rejected_text"]))
    ]


def test_accepted_negatives_lie_inside_the_configured_margin_band(small_start: SmallStart) -> None:
    redraws = small_start.config.negatives.hardness.redraws
    seen: Counter[tuple[bool, bool]] = Counter()
    for row in narrow_rows(small_start, (0, 12)):
        chosen = np.append(np.repeat(row["reference_logps"][0], 5), row["reference_counterfactual"])
        np.testing.assert_allclose(row["reference_margins"], chosen - row["reference_logps"][1:], atol=1e-4)
        for place, level in enumerate(SKELETON_LEVELS):
            inside = NARROW["min_margin"] <= row["reference_margins"][place] <= NARROW["max_margin"]
            changed = not np.array_equal(row[f"keypoints_{level}"], row["keypoints"])
            assert row["valid"][place] == (inside and changed)
            assert row["valid"][place] or not changed or row["redraws"][place] == redraws
            seen[bool(row["valid"][place]), bool(row["redraws"][place] > 0)] += 1
    assert min(seen[accepted, True] for accepted in (True, False)) > 0  # some redraws help, some do not


def test_redraws_do_not_depend_on_the_batch(small_start: SmallStart) -> None:
    """Every margin lies so near to an end of the band that rounding could decide."""
    together, apart = narrow_rows(small_start, (0, 9)), narrow_rows(small_start, (0, 4), (4, 5))
    assert sum(row["redraws"].sum() for row in together) > 0
    for row, other in zip(together, apart, strict=True):
        for column in ("operations", "strengths", "redraws", "valid"):
            assert list(row[column]) == list(other[column])
        for level in SKELETON_LEVELS:
            np.testing.assert_array_equal(row[f"keypoints_{level}"], other[f"keypoints_{level}"])


def test_a_rejected_sentence_is_never_the_reference(preferences: dict[tuple[int, str], dict[str, Any]]) -> None:
    made = [row for row in preferences.values() if row["valid"][-1]]
    assert made
    assert all(row["rejected_text"] and row["rejected_text"] != row["text"] for row in made)


def test_reference_hash_mismatch_is_refused(small_start: SmallStart) -> None:
    config, reference, _, *others = arguments_of(small_start)
    with pytest.raises(ReferenceMismatchError, match="this run was started with 0123"):
        NegativeGenerator(config, reference, "0123", *others)


def test_the_reference_never_changes(small_run: SmallRun) -> None:
    baseline = Policy.load(small_run.directory / "pretrain" / "policy")
    assert baseline.hash() == small_run.reference_hash


@pytest.mark.parametrize("kind", ["rules", "policy"])
def test_every_kind_writes_sentences_that_depend_on_the_clip_alone(
    small_start: SmallStart, tmp_path: Path, kind: str
) -> None:
    perturber = small_start.config.negatives.perturber.model_copy(update={"kind": kind, "known_words": True})
    negatives = small_start.config.negatives.model_copy(update={"perturber": perturber})
    config = small_start.config.model_copy(update={"negatives": negatives})
    clips = read_clips(small_start.directory / "clips", "train", columns=["text"]).to_pydict()
    text = TrainingText.of(clips["text"], function_share=perturber.function_share)
    (tmp_path / TEXT_FILE).write_text(text.to_json())
    (tmp_path / RULES_FILE).write_text(RulePerturber.of(clips["text"], edit_share=0.25).to_json())
    _, reference, reference_hash, _, *folders = arguments_of(small_start)
    generator = NegativeGenerator(config, reference, reference_hash, str(tmp_path), *folders)
    together = generator(batch_of(small_start, 0, 8))["rejected_text"].tolist()
    apart = [generator(batch_of(small_start, row, 1))["rejected_text"].tolist()[0] for row in range(8)]
    assert together == apart
    texts = batch_of(small_start, 0, 8)["text"].tolist()
    made = [(right, wrong) for right, wrong in zip(texts, together, strict=True) if wrong]
    assert len(made) >= (5 if kind == "rules" else 0)  # a policy that was hardly trained may write no sentence
    for right, wrong in made:
        assert text.meaning(right) != text.meaning(wrong)
        assert not text.unknown(wrong)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_the_trainer_scores_a_row_as_its_generator_did(
    small_start: SmallStart, precision: str, tolerance: float
) -> None:
    dpo = small_start.config.dpo.model_copy(update={"precision": precision})
    config = small_start.config.model_copy(update={"dpo": dpo})
    _, *others = arguments_of(small_start)
    batch = PreferenceBatch.collate(NegativeGenerator(config, *others)(batch_of(small_start, 0, 6)))
    policy = Policy.load(others[0])
    objective = preference_objective(batch, PreferenceStep(policy.model), policy, config, others[1])
    margins = [abs(value) for name, value in means(objective.metrics).items() if name.startswith("rewards/margins")]
    assert len(margins) == len(LEVELS)
    assert max(margins) < tolerance
    assert torch.isfinite(objective.loss())


def test_a_level_of_weight_0_is_neither_made_nor_scored(
    small_start: SmallStart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, reference, reference_hash, _, clips, _ = arguments_of(small_start)
    scored: list[int] = []
    score = NegativeGenerator._logps
    monkeypatch.setattr(
        NegativeGenerator, "_logps", lambda self, *given: (scored.append(len(given[2])), score(self, *given))[1]
    )

    def rows_of(*levels: str) -> dict[str, Any]:
        weights = {f"dpo.weights.{level}": float(level in levels) for level in LEVELS}
        weights["dpo.counterfactual_mle_weight"] = 0.0
        nowhere = str(tmp_path / "nowhere")  # neither perturber nor segments are looked for
        scored.clear()
        return NegativeGenerator(lay_over(config, weights), reference, reference_hash, nowhere, clips, nowhere)(
            batch_of(small_start, 0, 6)
        )

    whole = NegativeGenerator(*arguments_of(small_start))(batch_of(small_start, 0, 6))
    rows = rows_of("temporal_local")
    assert scored == [6, 6]
    assert [row.tolist() for row in rows["valid"]] == [
        [False, False, False, bool(v[3]), False, False] for v in whole["valid"]
    ]
    for level in SKELETON_LEVELS:
        for one, other in zip(rows[f"keypoints_{level}"], whole[f"keypoints_{level}"], strict=True):
            np.testing.assert_array_equal(one, other if level == "temporal_local" else [])
    np.testing.assert_allclose(
        np.stack(rows["reference_logps"])[:, [0, 4]], np.stack(whole["reference_logps"])[:, [0, 4]]
    )
    assert np.isnan(np.stack(rows["reference_margins"])[:, [0, 1, 2, 4, 5]]).all()
    assert list(PreferenceBatch.collate(rows).valid) == ["temporal_local"]
    assert rows["rejected_text"].tolist() == [""] * 6
    assert list(PreferenceBatch.collate(rows_of()).valid) == []
    assert scored == [6]  # the chosen sentences


def test_where_no_level_is_local_nothing_asks_where_the_meaning_is(
    small_start: SmallStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signdpo.negatives.generator.measure_salience", None)
    config, *others = arguments_of(small_start)
    weights = {"dpo.weights.spatial_local": 0.0, "dpo.weights.temporal_local": 0.0}
    rows = NegativeGenerator(lay_over(config, weights), *others)(batch_of(small_start, 0, 2))
    assert rows["salience_parts"][0].tolist() == [0.25] * 4
    assert len(rows["salience_frames"][0]) == rows["num_frames"][0]


class Says:
    """A perturber of the same candidates whatever it is given."""

    def __init__(self, *edits: Callable[[str], str]) -> None:
        self.edits = edits

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        return [[edit(text) for edit in self.edits] for text in references]


def saying(start: SmallStart, *edits: Callable[[str], str], **keys: Any) -> dict[str, Any]:
    """Preference rows of four clips with rejected sentences among these."""
    config, *others = arguments_of(start)
    own = {"candidates": len(edits), "function_share": 1.0, "max_chrf": 100.0}
    keys = {f"negatives.perturber.{name}": value for name, value in own.items()} | keys
    make = NegativeGenerator(lay_over(config, keys), *others)
    make.perturber = Says(*edits)
    return make(batch_of(start, 0, 4))


def test_a_sentence_with_the_reference_s_token_ids_is_no_pair(small_start: SmallStart) -> None:
    other, later = "no {}".format, "{} indeed".format
    assert saying(small_start, other)["rejected_text"].tolist() == [
        other(t) for t in batch_of(small_start, 0, 4)["text"]
    ]
    cut = {"policy.max_text_tokens": 4}  # what differs lies behind
    rows = saying(small_start, later, **cut)
    assert rows["rejected_text"].tolist() == [""] * 4
    assert not any(row[LANGUAGE_PLACE] for row in rows["valid"])
    assert all(text.startswith("no ") for text in saying(small_start, later, other, **cut)["rejected_text"])


def test_rejected_sentences_lie_inside_their_band(small_start: SmallStart) -> None:
    edits = [f"{word} {{}}".format for word in ("no", "never", "perhaps", "today")]
    margins = np.stack(saying(small_start, *edits)["reference_margins"])[:, LANGUAGE_PLACE]
    low, high = float(margins.min()) - 1, float(np.sort(margins)[1:3].mean())
    rows = saying(
        small_start,
        *edits,
        **{"negatives.hardness.language.max_margin": high, "negatives.hardness.language.min_margin": low},
    )
    inside = [low <= row[LANGUAGE_PLACE] <= high for row in rows["reference_margins"]]
    assert [bool(row[LANGUAGE_PLACE]) for row in rows["valid"]] == [bool(text) for text in rows["rejected_text"]]
    assert all(within for within, text in zip(inside, rows["rejected_text"], strict=True) if text)
    assert sum(bool(text) for text in rows["rejected_text"]) > 0
    margin, logps = rows["reference_margins"][0][LANGUAGE_PLACE], rows["reference_logps"][0]
    np.testing.assert_allclose(margin, logps[0] - logps[1 + LANGUAGE_PLACE], rtol=1e-5)
    nothing = saying(small_start, *edits, **{"negatives.hardness.language.min_margin": 1000.0})
    assert nothing["rejected_text"].tolist() == [""] * 4


def test_donors_are_others_in_each_epoch_and_the_same_for_every_generator(small_start: SmallStart) -> None:
    config, *others = arguments_of(small_start)
    one, other = (NegativeGenerator(lay_over(config, {"negatives.donors": 20}), *others) for _ in range(2))
    pools = [one.donors(epoch) for epoch in range(3)]
    assert len({tuple(pool.ids) for pool in pools}) == 3
    assert [other.donors(epoch).ids for epoch in (2, 0, 1)] == [pools[epoch].ids for epoch in (2, 0, 1)]
    assert one.donors(2) is pools[2]  # read once


@pytest.mark.parametrize("levels", [("temporal_local",), ("language",), ("spatial_global", "language")])
def test_the_trainer_scores_the_levels_that_were_made(small_start: SmallStart, levels: tuple[str, ...]) -> None:
    config, *others = arguments_of(small_start)
    config = lay_over(config, {f"dpo.weights.{level}": float(level in levels) for level in LEVELS})
    batch = PreferenceBatch.collate(NegativeGenerator(config, *others)(batch_of(small_start, 0, 6)), config.dpo.levels)
    policy = Policy.load(others[0])
    objective = preference_objective(batch, PreferenceStep(policy.model), policy, config, others[1])
    margins = [value for name, value in means(objective.metrics).items() if name.startswith("rewards/margins")]
    assert len(margins) == sum(valid.any() for valid in batch.valid.values())
    assert margins == pytest.approx([0.0] * len(margins), abs=1e-4)
    assert torch.isfinite(objective.loss())
