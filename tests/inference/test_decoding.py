"""Minimum risk, draws that depend on their clip alone, and what the decoder looks at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sacrebleu.metrics import CHRF
from support.trained import Trained

from signdpo.inference.decoding import Decoding, decode_clips
from signdpo.inference.minimum_risk import expected_chrf
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy
from signdpo.report.attention import attention_figure
from signdpo.skeleton.normalisation import normalise
from signdpo.storage.names import file_stem

Job = Callable[..., tuple[int, str, str]]


def test_expected_chrf_is_the_weighted_mean_over_all_candidates() -> None:
    said, weights = ["the cat sees", "the cat ran", "the cat sees", ""], [1.0, 2.0, 3.0, 2.0]
    chrf = CHRF()
    by_hand = [
        sum(weight * chrf.sentence_score(one, [other]).score for other, weight in zip(said, weights, strict=True)) / 8
        for one in said
    ]
    assert expected_chrf(said, weights) == pytest.approx(by_hand)
    assert expected_chrf(said, weights)[0] == expected_chrf(said, weights)[2]


def test_the_candidate_most_like_the_others_is_chosen() -> None:
    said = ["my brother eats bread", "my brother eats breads", "my brother eats some bread", "where is the school"]
    gains = expected_chrf(said, [1, 1, 1, 1])
    assert gains.argmax() in (0, 1)
    assert gains.argmin() == 3
    assert expected_chrf(said, [0.01, 0.01, 0.01, 1]).argmax() == 3


@pytest.fixture(scope="module")
def policy(trained: Trained) -> Policy:
    return Policy.load(trained.policy)


def decoded(policy: Policy, trained: Trained, ids: list[str], **how: object) -> list[list[str]]:
    clips = [normalise(trained.clips[name]) for name in ids]
    decoding = Decoding(generation=trained.config.evaluation.generation(1.0), **how)  # type: ignore[arg-type]
    with torch.no_grad():
        encoded = policy.model.encode(*pad_clips(clips))
    return [[each.sentence for each in found] for found in decode_clips(policy, encoded, ids, decoding)]


def test_draws_depend_on_the_clip_and_the_seed_alone(trained: Trained, policy: Policy) -> None:
    ids = list(trained.clips)[:4]
    how = {"mbr": "samples", "samples": 6, "n_best": 3}
    together = decoded(policy, trained, ids, **how, seed=1)
    assert together[2:] == decoded(policy, trained, ids[2:], **how, seed=1)
    assert together != decoded(policy, trained, ids, **how, seed=2)
    assert all(len(found) == len(set(found)) <= 3 for found in together)


def test_beams_are_chosen_among_by_risk(trained: Trained, policy: Policy) -> None:
    ids = list(trained.clips)[:6]
    beams = decoded(policy, trained, ids, n_best=4)
    chosen = decoded(policy, trained, ids, mbr="beams", n_best=4)
    for all_beams, ranked in zip(beams, chosen, strict=True):
        assert set(ranked) == set(all_beams)
    assert [found[0] for found in beams] == [found[0] for found in decoded(policy, trained, ids)]


def test_attention_over_frames_is_a_distribution_over_the_real_ones(trained: Trained, policy: Policy) -> None:
    clips = [normalise(clip) for clip in trained.clips.values()][:3]
    keypoints, mask = pad_clips(clips)
    labels = tokenize(policy.tokenizer, ["the cat", "my brother eats", "a"], max_tokens=8)
    with torch.no_grad():
        shares = policy.model.frame_attention(policy.model.encode(keypoints, mask), labels, mask)
    assert shares.shape == (3, labels.shape[1], keypoints.shape[1])
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, labels.shape[1]))
    assert bool((shares[~mask[:, None].expand_as(shares)] == 0).all())


def test_a_picture_is_drawn_of_each_clip(trained: Trained, translate: Job, tmp_path: Path) -> None:
    one, two, *_ = trained.clips
    folder = trained.write(tmp_path / "clips", one, two)
    (folder / f"{one}.npz").rename(folder / "手 语.npz")
    assert translate(folder, "--attention", tmp_path / "looks")[0] == 0
    names = {path.name for path in (tmp_path / "looks").iterdir()}
    assert names == {f"{file_stem('手 语')}.png", f"{two}.png"}
    assert all((tmp_path / "looks" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_words_are_data_to_the_picture(tmp_path: Path) -> None:
    words = [r"$\frac{1}{ $", "手", "[/nosuch]"]
    figure = attention_figure(np.zeros((5, 69, 3), np.float32), words, np.eye(3, 5))
    figure.savefig(tmp_path / "a.png")
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == words
    attention_figure(np.zeros((1, 69, 3), np.float32), [], np.zeros((0, 1))).savefig(tmp_path / "b.png")
