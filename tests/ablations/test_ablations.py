"""What the synthetic corpus says about salience: the truth it knows, and what chance scores against it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.jobs import load_job

import signdpo.ablations.salience as module
from signdpo.ablations.guidance import score_guidance
from signdpo.ablations.measured_run import MeasuredRun
from signdpo.ablations.ratios import ratio_of_means
from signdpo.ablations.salience import SalienceScores, contrasts, score_salience, sign_frames
from signdpo.config import Config, SalienceConfig, load_config
from signdpo.corpora.synthetic.source import SyntheticSource
from signdpo.data.clips import Manifest, SplitSummary, prepare_clip, shard_uri, write_manifest, write_shard
from signdpo.data.rows import clip_to_row
from signdpo.models.policy import build_policy
from signdpo.negatives.skeleton.salience import Salience

ablate = load_job("ablate").main


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    source = SyntheticSource(Config().corpus)
    return [clip_to_row(prepare_clip(source.read(entry), 256)) for entry in source.entries("dev")[:24]]


@pytest.fixture(scope="module")
def run(rows: list[dict[str, Any]]) -> MeasuredRun:
    tiny = ["policy.encoder.temporal_channels=16", "policy.language_model.d_model=32", "policy.language_model.d_ff=64"]
    config = load_config(None, tiny)
    policy = build_policy(config, [row["text"] for row in rows])
    policy.model.eval().requires_grad_(False)
    return MeasuredRun("made", config, policy, "dev", rows)


@pytest.fixture(scope="module")
def directory(run: MeasuredRun, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a run as far as its baseline, made without Ray."""
    folder = tmp_path_factory.mktemp("run")
    clips, rows = str(folder / "clips"), list(run.rows[:4])
    write_shard(shard_uri(clips, "dev", "0"), rows)
    summary = SplitSummary(clips=4, quarantined=0, files=["part-0.parquet"], shortest=1, median=1, longest=256)
    write_manifest(clips, Manifest(language="en", source="", layout="", content_hash="", splits={"dev": summary}))
    run.policy.save(folder / "pretrain" / "policy")
    (folder / "config.yaml").write_text(run.config.to_yaml())
    return str(folder)


def row_of(text: str, *glosses: str) -> dict[str, Any]:
    spans = [value for index in range(len(glosses)) for value in (2 + 8 * index, 8 + 8 * index)]
    return {"id": "made", "text": text, "num_frames": 30, "gloss": list(glosses), "gloss_spans": spans}


def test_a_contrast_lies_on_the_sign_and_its_words() -> None:
    found = contrasts([row_of("my mother sleeps tomorrow.", "TOMORROW", "MOTHER", "SLEEP")])
    father = next(each for each in found if each.partner == "FATHER")  # another location, all else equal
    assert father.parts == {"body"}
    assert np.flatnonzero(father.frames).tolist() == list(range(10, 16))
    assert "my mother sleeps"[father.words] == "mother"


def test_a_sign_told_apart_by_how_it_begins_counts_by_its_first_half() -> None:
    found = contrasts([row_of("the white dog.", "WHITE")])
    assert {each.gloss for each in found} == {"WHITE"}
    ends = next(each for each in found if each.partner == "LIKE")  # they differ in what the hand closes to
    assert np.flatnonzero(ends.frames).tolist() == [5, 6, 7]
    assert ends.parts == {"right_hand"}


def test_a_repeated_sign_is_one_contrast_over_both_places() -> None:
    found = contrasts([row_of("many fathers.", "FATHER", "FATHER"), row_of("my father.", "FATHER", "FATHER")])
    assert {each.clip for each in found} == {1}  # no word of the first sentence is one that the sign stands for
    assert found[0].frames.sum() == 12


def test_clips_of_another_corpus_are_refused_by_id() -> None:
    with pytest.raises(ValueError, match="clip made is not of the synthetic corpus"):
        contrasts([row_of("hello.", "HELLO")])


def scores_of(run: MeasuredRun) -> SalienceScores:
    counts: list[int] = []
    scores = score_salience(run, contrasts(run.rows), SalienceConfig(), counts.append)
    assert counts[-1] == len(contrasts(run.rows)) + len(run.rows)
    return scores


def test_an_even_spread_is_at_chance(run: MeasuredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def even(model: Any, keypoints: torch.Tensor, mask: torch.Tensor, *_: Any) -> Salience:
        return Salience(mask / mask.sum(1, keepdim=True), torch.full((len(mask), 4), 0.25))

    monkeypatch.setattr(module, "measure_salience", even)
    scores = scores_of(run)
    for ratio in (scores.frames, scores.parts, scores.parts_over_constant, scores.sentence):
        assert ratio.value == pytest.approx(1.0, abs=1e-5)
        assert ratio.low <= ratio.value + 1e-5


def test_the_ceiling_of_a_sentence_is_one_over_the_share_of_signs(run: MeasuredRun) -> None:
    shares = [sign_frames(row).sum() / row["num_frames"] for row in run.rows]
    assert scores_of(run).ceiling == pytest.approx(1 / np.mean(shares))


def test_ratio_of_means_by_hand_and_its_interval() -> None:
    ratio = ratio_of_means([1.0, 3.0, 5.0], [2.0, 2.0, 2.0])
    assert ratio.value == pytest.approx(1.5)
    assert 0.5 <= ratio.low < 1.5 < ratio.high <= 2.5
    assert ratio == ratio_of_means([1.0, 3.0, 5.0], [2.0, 2.0, 2.0])
    exact = ratio_of_means([2.0, 4.0], [1.0, 2.0])
    assert (exact.value, exact.low, exact.high) == pytest.approx((2.0, 2.0, 2.0))


def test_guidances_are_compared_on_equal_area(run: MeasuredRun) -> None:
    few = replace(run, rows=run.rows[:6])
    costs = score_guidance(few, 1, lambda _: None)
    again = score_guidance(few, 1, lambda _: None)
    assert {(cost.level, cost.operation) for cost in costs} >= {
        ("spatial_local", "mixture"),
        ("temporal_local", "mixture"),
        ("temporal_local", "freeze"),
    }
    for cost in costs:
        for guidance in ("random", "uniform"):
            assert cost.area[guidance] == pytest.approx(cost.area["attention"], rel=0.15)
            assert cost.changed[guidance] > 0
    assert [cost.nats for cost in costs] == [cost.nats for cost in again]


@pytest.mark.parametrize("name", ["salience", "guidance"])
def test_the_job_prints_a_table_and_writes_what_it_says(
    directory: str, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.png"
    arguments = ["--run-dir", directory, "--split", "dev", "--clips", "3", "--json", str(figures)]
    assert ablate([name, *arguments, "--chart", str(chart)]) == 0
    assert "95 % interval over clips" in capsys.readouterr().out
    written = json.loads(figures.read_text())
    if name == "salience":
        assert {"as configured", "layers=all", "parts=gradient"} <= written["rules"].keys()
    else:
        assert {cost["level"] for cost in written["costs"]} == {"spatial_local", "temporal_local"}
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_the_job_says_where_no_run_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(["salience", "--run-dir", str(tmp_path)]) == 2
    assert "there is no such file" in capsys.readouterr().out
