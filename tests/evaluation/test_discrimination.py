"""Minimal pairs: a policy of random weights is at chance, one that has learned the clips is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from signdpo.config import Config, load_config
from signdpo.corpora.registry import open_source
from signdpo.corpora.synthetic.lexicon import neighbouring_words
from signdpo.data.rows import clip_to_row, clips_of
from signdpo.evaluation.discrimination import CLIPS, Pair, distortion, margins
from signdpo.evaluation.foils import foils_of
from signdpo.evaluation.minimal_pairs import measure_pairs, pair_lines
from signdpo.evaluation.significance import estimate
from signdpo.evaluation.systems import margins_of
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.models.batch import pad_clips
from signdpo.models.policy import build_policy
from signdpo.negatives.skeleton.donors import DonorPool

CLIP_COUNT = 100
KINDS = {"pairs_words", "pairs_signs", "pairs_clips"}


def small(seed: int) -> Config:
    sizes = {"train_clips": 300, "dev_clips": 1, "test_clips": CLIP_COUNT}
    model = ["policy.language_model.d_model=32", "policy.encoder.joint_dim=8", "policy.vocab_size=300"]
    return load_config(None, [f"seed={seed}", *model, *(f"corpus.synthetic.{k}={v}" for k, v in sizes.items())])


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    source = open_source(small(1).corpus)
    return [clip_to_row(source.read(entry)) for entry in source.entries("test")]


@pytest.fixture(scope="module")
def training() -> list[str]:
    return [entry.text for entry in open_source(small(1).corpus).entries("train")]


@pytest.fixture(scope="module")
def pairs(rows: list[dict[str, Any]], training: list[str]) -> list[list[Pair]]:
    clips = [torch.from_numpy(clip) for clip in clips_of(rows)]
    ids, texts = [row["id"] for row in rows], [row["text"] for row in rows]
    foils = foils_of(dict(zip(ids, texts, strict=True)), TrainingSentences.of(training), neighbouring_words())
    donors = DonorPool(ids, texts, clips)
    return [
        [Pair(kind, sentence) for kind, of in foils[clip].items() for sentence in of]
        + distortion(clip, text, x, donors)
        for clip, text, x in zip(ids, texts, clips, strict=True)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_policy_of_random_weights_is_at_chance(
    rows: list[dict[str, Any]], training: list[str], pairs: list[list[Pair]], seed: int
) -> None:
    policy = build_policy(small(seed), training)
    policy.model.eval()
    encoded = policy.model.encode(*pad_clips(clips_of(rows)))
    found = margins(policy, encoded, [row["text"] for row in rows], pairs, max_tokens=40, batch_size=64)
    made = [
        {
            "id": row["id"],
            "kinds": [pair.kind for pair in of_clip],
            "foils": [pair.foil for pair in of_clip],
            margins_of("random"): margin,
        }
        for row, of_clip, margin in zip(rows, pairs, found, strict=True)
    ]
    measured = measure_pairs(pair_lines(made, ["random"]), [row["id"] for row in rows], "random")
    assert measured.keys() == KINDS
    for share in estimate(measured, samples=500).values():
        assert share.confidence_low <= 0.5 <= share.confidence_high


def test_a_distortion_is_local_keeps_the_clip_and_depends_on_the_clip_alone(
    rows: list[dict[str, Any]], pairs: list[list[Pair]]
) -> None:
    changed = []
    for row, keypoints, of_clip in zip(rows, clips_of(rows), pairs, strict=True):
        (pair,) = (pair for pair in of_clip if pair.kind == CLIPS)
        assert pair.keypoints is not None
        assert pair.keypoints.shape == keypoints.shape
        frames = (pair.keypoints.numpy() != keypoints).any((1, 2))
        changed.append(frames.mean())
        assert 0 < frames.sum() <= len(frames) / 2, row["id"]
    assert np.mean(changed) < 0.4
    assert len({pair.foil for of_clip in pairs for pair in of_clip if pair.kind == CLIPS}) == 5


def test_a_margin_is_the_right_one_less_the_wrong_one(
    rows: list[dict[str, Any]], training: list[str], pairs: list[list[Pair]]
) -> None:
    policy = build_policy(small(1), training)
    policy.model.eval()
    few, texts = clips_of(rows)[:3], [row["text"] for row in rows[:3]]
    encoded = policy.model.encode(*pad_clips(few))
    found = margins(policy, encoded, texts, pairs[:3], max_tokens=40, batch_size=4)
    same = [
        [Pair("same", text), Pair("same", "", torch.from_numpy(clip))] for text, clip in zip(texts, few, strict=True)
    ]
    zero = margins(policy, encoded, texts, same, max_tokens=40, batch_size=4)
    assert np.abs(np.array(zero)).max() < 1e-3
    (alone,) = margins(policy, encoded.select(slice(1, 2)), texts[1:2], pairs[1:2], max_tokens=40, batch_size=64)
    np.testing.assert_allclose(found[1], alone, atol=1e-3)
    assert max(map(abs, found[1])) > 0.01


def test_a_share_counts_ties_half_and_clips_without_pairs_not_at_all() -> None:
    lines = [
        {"id": "a", "kind": "pairs_words", "foil": "x", "margins": {"aligned": 2.0, "control": -1.0}},
        {"id": "a", "kind": "pairs_words", "foil": "y", "margins": {"aligned": 0.0005, "control": -1.0}},
        {"id": "c", "kind": "pairs_words", "foil": "z", "margins": {"aligned": -2.0, "control": 1.0}},
        {"id": "c", "kind": "pairs_clips", "foil": "splice", "margins": {"aligned": 3.0, "control": -1.0}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    aligned, control = (measure_pairs(text, ["a", "b", "c"], system) for system in ("aligned", "control"))
    assert aligned["pairs_words"].value == pytest.approx(1.5 / 3)
    assert control["pairs_words"].value == pytest.approx(1 / 3)
    assert (aligned["pairs_clips"].value, control["pairs_clips"].value) == (1.0, 0.0)
    assert aligned["pairs_words"].statistics.tolist() == [[1.5, 2], [0, 0], [0, 1]]
