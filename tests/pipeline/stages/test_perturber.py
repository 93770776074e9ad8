"""Mining the policy's failures, and what is said where there are none."""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.small_runs import SmallRun
from support.small_start import SmallStart

from signdpo.config import ConfigError, PerturberConfig, load_config
from signdpo.config.negatives import MINING
from signdpo.data.clips import read_clips
from signdpo.negatives.sentence.mining import HypothesisMiner
from signdpo.pipeline.stages.perturber import NoFailuresError, Perturber, failures_among, share_wrong
from signdpo.pipeline.stages.pretrain import held_out_rows

IDS = [f"clip{number}" for number in range(2000)]


def mined(empty: int, right: int, wrong: int) -> list[dict[str, Any]]:
    said = [""] * empty + ["The dog barks!"] * right + ["the cat barks"] * wrong
    return [
        {"id": str(row), "reference": "the dog barks", "hypothesis": text, "right": False, "held_out": False}
        for row, text in enumerate(said)
    ]


def test_only_sentences_that_read_otherwise_are_failures() -> None:
    assert len(failures_among(mined(5, 7, 12), PerturberConfig())) == 12


def test_a_sentence_that_the_policy_cannot_tell_from_the_reference_is_no_failure() -> None:
    rows = mined(0, 0, 14)
    rows[3]["right"] = True
    assert failures_among(rows, PerturberConfig()) == [*rows[:3], *rows[4:]]


def test_a_mined_sentence_is_right_if_its_token_ids_are_the_references(
    small_start: SmallStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = small_start.config.policy.model_copy(update={"max_text_tokens": 6})
    miner = HypothesisMiner(
        small_start.config.model_copy(update={"policy": policy}), str(small_start.directory / "pretrain" / "policy")
    )
    clips = read_clips(small_start.directory / "clips", "train").slice(0, 1).to_pylist()
    text = clips[0]["text"]
    monkeypatch.setattr(miner, "_speak", lambda source, clips, seeds: [f"{text} and more"] * len(clips))
    rows = miner({name: np.array([clips[0][name]], dtype=object) for name in ("id", "text", "keypoints", "num_frames")})
    assert rows["right"].all()  # what differs lies behind the sixth token


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((3, 90, 7), r"of 100 sentences .* 3 were empty, 90 right and 7 wrong.*memorised.*held_out_share=0\.0"),
        ((90, 3, 7), r"90 were empty, 3 right and 7 wrong.*train it longer \(pretrain\.epochs\)"),
    ],
)
def test_too_few_failures_say_what_the_sentences_were_and_what_to_do(
    counts: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(NoFailuresError, match=message):
        failures_among(mined(*counts), PerturberConfig())


def test_the_share_of_wrong_sentences_is_told_apart_for_held_out_clips() -> None:
    rows = mined(0, 6, 14)
    assert share_wrong(rows, failures_among(rows, PerturberConfig())) == (
        "14 of 20 mined sentences on clips that it has learned are wrong (70 %)"
    )
    for row in rows[5:10]:
        row["held_out"] = True
    assert share_wrong(rows, failures_among(rows, PerturberConfig())) == (
        "10 of 15 mined sentences on clips that it has learned are wrong (67 %); "
        "4 of 5 mined sentences on clips held out of its training are wrong (80 %)"
    )


def test_held_out_clips_are_a_share_and_each_is_decided_alone() -> None:
    unseen = held_out_rows(IDS, 0.1, seed=1)
    assert 0.07 < unseen.mean() < 0.13
    np.testing.assert_array_equal(held_out_rows(IDS[5:], 0.1, seed=1), unseen[5:])
    assert not held_out_rows(IDS, 0.0, seed=1).any()


def test_nothing_can_be_held_out_of_a_policy_from_elsewhere() -> None:
    with pytest.raises(ConfigError, match=r"held_out_share=0\.2 leaves clips out of pre-training.*set it to 0"):
        load_config(None, ["policy.init=/somewhere", "negatives.perturber.held_out_share=0.2"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("negatives.perturber.mining={shout: 1.0}", "mining must give a share to each of"),
        ("negatives.perturber={path: t5, kind: rules}", "path=t5 is fine-tuned by kind=learned"),
        ("negatives.perturber={path: t5, architecture: edits}", "path=t5 is fine-tuned by kind=learned"),
    ],
)
def test_what_the_perturber_cannot_use_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


def test_failures_are_mined_in_every_way_and_depend_on_the_clip_alone(small_start: SmallStart) -> None:
    clips = read_clips(small_start.directory / "clips", "train").slice(0, 12).to_pylist()
    batch = {name: np.array([row[name] for row in clips], dtype=object) for name in ("id", "text", "keypoints")}
    batch["num_frames"] = np.array([row["num_frames"] for row in clips])
    miner = HypothesisMiner(small_start.config, str(small_start.directory / "pretrain" / "policy"))
    together = miner(batch)
    assert set(together["source"]) == set(MINING)
    assert together["id"].tolist() == [row["id"] for row in clips for _ in range(2)]
    alone = miner({name: column[3:4] for name, column in batch.items()})
    assert alone["hypothesis"].tolist() == together["hypothesis"][6:8].tolist()


def test_a_run_keeps_the_failures_it_learned_from(small_run: SmallRun) -> None:
    pairs = pq.read_table(small_run.directory / "perturber" / "pairs" / "pairs.parquet").to_pylist()
    assert len(pairs) == small_run.outputs[Perturber].pairs
    assert all(pair["hypothesis"] != pair["reference"] for pair in pairs)
