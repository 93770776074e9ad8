"""Augmentation leaves what is signed as it is: each operation keeps its bounds and the rules of a normalised clip."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
import pytest

from signdpo.config import AugmentationConfig, CorpusConfig, SyntheticConfig
from signdpo.corpora.registry import open_source
from signdpo.data.clips import prepare_clip
from signdpo.skeleton.augmentation import LARGEST_JITTER, OPERATIONS, augment, mirrored
from signdpo.skeleton.clip import Clip
from signdpo.skeleton.layout import MIRRORED, PART_ROOTS, PARTS
from signdpo.skeleton.normalisation import normalise

ROOTS = list(PART_ROOTS.values())
# What a user may ask for: strong, but still what is signed.
STRENGTHS = {
    "mirror": 1.0,
    "rotation": 10.0,
    "scale": 0.2,
    "time_warp": 0.5,
    "frame_drop": 0.3,
    "joint_jitter": 0.01,
    "part_dropout": 0.2,
    "joint_dropout": 0.1,
}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


@cache
def corpus() -> tuple[Clip, ...]:
    """Normalised clips of the synthetic corpus."""
    source = open_source(CorpusConfig(synthetic=SyntheticConfig(train_clips=240)))
    return tuple(prepare_clip(source.read(entry), 256) for entry in source.entries("train"))


def with_holes(seed: int = 0, frames: int = 40) -> np.ndarray:
    """A random normalised clip, a tenth of whose joints, a hand for a while and a whole frame are missing."""
    rng = np.random.default_rng(seed)
    clip = rng.uniform(-1, 1, (frames, 69, 3)).astype(np.float32)
    clip[..., 2] = rng.uniform(0.31, 1, clip.shape[:2])
    clip[:, ROOTS, :2] = 0
    missing = rng.random(clip.shape[:2]) < 0.1
    missing[:, ROOTS] = False
    clip[missing] = 0
    clip[5:15, PARTS["left_hand"]] = 0
    clip[20] = 0
    return clip


def frames_of(name: str, frames: int, seed: int) -> np.ndarray:
    """Which frames of a clip of so many are left, in order: read from a clip that counts them."""
    counting = np.zeros((frames, 69, 3), np.float32)
    counting[:, 1, 2] = np.arange(frames) + 1.0
    return augment(counting, {name: STRENGTHS[name]}, seed)[:, 1, 2].astype(int) - 1


def test_the_operations_are_those_of_the_configuration() -> None:
    assert set(OPERATIONS) == set(AugmentationConfig.model_fields) == set(STRENGTHS)
    assert AugmentationConfig().strengths == {}
    assert AugmentationConfig(rotation=3).strengths == {"rotation": 3.0}


@every_operation
@pytest.mark.parametrize("seed", range(5))
def test_the_rules_of_a_normalised_clip_are_kept(name: str, seed: int) -> None:
    clip = with_holes(seed)
    before = clip.copy()
    changed = augment(clip, {name: STRENGTHS[name]}, seed)
    np.testing.assert_array_equal(clip, before)  # left alone
    assert changed.dtype == np.float32
    assert changed.shape[1:] == (69, 3)
    assert 0 < len(changed) <= len(clip)
    assert np.isfinite(changed).all()
    assert np.abs(changed[..., :2]).max() <= 1
    assert not changed[:, ROOTS, :2].any()
    missing = changed[..., 2] == 0
    assert not changed[missing].any()
    confidences = {0.0, *clip[..., 2].ravel().tolist()}
    assert set(changed[..., 2].ravel().tolist()) <= confidences  # no joint is made up


@every_operation
@pytest.mark.parametrize("seed", range(5))
def test_holes_stay_holes(name: str, seed: int) -> None:
    clip = with_holes(seed)
    changed = augment(clip, {name: STRENGTHS[name]}, seed)
    frames = frames_of(name, len(clip), seed) if name in ("time_warp", "frame_drop") else np.arange(len(clip))
    hole = (clip[..., 2] == 0)[frames]
    hole = hole[:, MIRRORED] if name == "mirror" else hole
    assert not changed[hole].any()
    lost = name in ("part_dropout", "joint_dropout")
    assert ((changed[..., 2] == 0) & ~hole).any() == lost


@every_operation
def test_strength_0_and_a_clip_without_anyone_are_left_alone(name: str) -> None:
    clip = with_holes()
    np.testing.assert_array_equal(augment(clip, {name: 0.0}, 1), clip)
    np.testing.assert_array_equal(augment(clip, {}, 1), clip)
    nobody = np.zeros((9, 69, 3), np.float32)
    assert not augment(nobody, {name: STRENGTHS[name]}, 1).any()


@every_operation
@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_short_clips_survive(name: str, frames: int) -> None:
    for seed in range(20):
        changed = augment(with_holes(seed)[:frames], {name: min(2 * STRENGTHS[name], 0.99)}, seed)
        assert 1 <= len(changed) <= frames


@every_operation
def test_a_clip_is_changed_by_its_seed_and_in_its_own_way(name: str) -> None:
    clip, strengths = with_holes(), {name: STRENGTHS[name]}
    first = augment(clip, strengths, 1)
    assert first.tobytes() == augment(clip.copy(), strengths, 1).tobytes()
    assert first.shape != clip.shape or (first != clip).any()
    others = [augment(clip, strengths, seed) for seed in range(2, 6)]
    if name != "mirror":  # which at strength 1 is sure
        assert any(other.shape != first.shape or (other != first).any() for other in others)


def test_an_operation_draws_the_same_beside_others() -> None:
    """So turning one off is an ablation of that one alone."""
    clip = with_holes()
    frames = frames_of("frame_drop", len(clip), 3)
    both = augment(clip, {"frame_drop": STRENGTHS["frame_drop"], "scale": 0.5}, 3)
    alone = augment(clip, {"scale": 0.5}, 3)
    np.testing.assert_array_equal(both, alone[frames])


def test_the_mirror_image_twice_is_the_clip() -> None:
    clip = with_holes()
    assert mirrored(mirrored(clip)).tobytes() == clip.tobytes()
    assert (mirrored(clip) != clip).any()
    np.testing.assert_array_equal(np.array(MIRRORED)[list(MIRRORED)], np.arange(69))


def test_the_mirror_image_is_that_of_the_picture() -> None:
    """A picture of 640 pixels seen in a mirror: what was at x is at 640 - x, and left is right."""
    raw = np.random.default_rng(1).uniform(50, 600, (9, 69, 3)).astype(np.float32)
    raw[..., 2] = np.random.default_rng(2).uniform(0, 1, raw.shape[:2])
    image = raw[:, MIRRORED] * [-1, 1, 1] + [640, 0, 0]
    np.testing.assert_allclose(normalise(image), mirrored(normalise(raw)), atol=1e-5)


def test_the_two_sides_of_the_layout_are_told_by_the_synthetic_signer() -> None:
    """Averaged over clips a face and a body are nearly their own mirror image; with joints mixed up they are not."""
    average = np.mean([clip.keypoints[..., :2].mean(axis=0) for clip in corpus()], axis=0)  # (69, 2)
    image = average[list(MIRRORED)] * [-1, 1]
    symmetric = [*range(5), *range(51, 69)]  # nose, ears, shoulders, face: not the arms, of which one does more
    span = np.ptp(average[51:], axis=0).max()
    assert np.abs(image - average)[symmetric][:5].max() < 0.15
    assert np.abs(image - average)[51:].max() < 0.15 * span


def test_half_of_the_clips_are_mirrored_at_one_half() -> None:
    clip = with_holes()
    share = np.mean([(augment(clip, {"mirror": 0.5}, seed) != clip).any() for seed in range(400)])
    assert 0.4 < share < 0.6


def test_a_turn_is_one_of_the_picture() -> None:
    """Angles between bones and the ratios of their lengths stay, in all parts alike."""
    clip = corpus()[0].keypoints
    for seed in range(5):
        turned = augment(clip, {"rotation": 10.0}, seed)
        before, after = (x[..., 0] + 1j * x[..., 1] for x in (clip.astype(np.float64), turned.astype(np.float64)))
        seen = np.abs(before) > 0.05
        quotient = after[seen] / before[seen]
        np.testing.assert_allclose(quotient, quotient.mean(), atol=1e-4)
        assert np.abs(np.degrees(np.angle(quotient.mean()))) <= 10
        assert np.cos(np.radians(10)) - np.sin(np.radians(10)) < np.abs(quotient.mean()) <= 1 + 1e-6


def test_smaller_by_no_more_than_was_asked_for() -> None:
    clip = corpus()[0].keypoints
    seen = np.abs(clip[..., :2]) > 0.05
    for seed in range(20):
        factors = augment(clip, {"scale": 0.2}, seed)[..., :2][seen] / clip[..., :2][seen]
        np.testing.assert_allclose(factors, factors.mean(), rtol=1e-5)
        assert 0.8 <= factors.mean() <= 1


def test_a_joint_moves_no_farther_than_three_standard_deviations() -> None:
    clip = with_holes(frames=200)
    moved = augment(clip, {"joint_jitter": 0.01}, 1) - clip
    seen = (clip[..., 2] > 0) & ~np.isin(np.arange(69), ROOTS)
    assert np.abs(moved[..., :2]).max() <= LARGEST_JITTER * 0.01 + 1e-6
    assert moved[seen][:, :2].std() == pytest.approx(0.01, rel=0.05)
    assert not moved[..., 2].any()


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_time_runs_forwards_and_no_faster_than_was_asked_for(strength: float) -> None:
    counting = np.zeros((200, 69, 3), np.float32)
    counting[:, 1, 2] = np.arange(200) + 1.0
    for seed in range(20):
        frames = augment(counting, {"time_warp": strength}, seed)[:, 1, 2] - 1
        assert (frames[0], frames[-1], len(frames)) == (0, 199, 200)
        steps = np.diff(frames)
        assert steps.min() >= 0
        windows = np.lib.stride_tricks.sliding_window_view(frames, 41)
        speeds = (windows[:, -1] - windows[:, 0]) / 40  # relative to the clip's own speed
        assert (1 + strength) ** -2 - 0.03 < speeds.min() < 1 < speeds.max() < (1 + strength) ** 2 + 0.03


def test_so_many_frames_and_joints_are_lost_as_were_asked_for() -> None:
    clip = with_holes(frames=400)
    kept = [len(augment(clip, {"frame_drop": 0.25}, seed)) / 400 for seed in range(20)]
    assert np.mean(kept) == pytest.approx(0.75, abs=0.02)
    whole = np.ones((400, 69, 3), np.float32)
    assert (augment(whole, {"joint_dropout": 0.1}, 1)[..., 2] == 0)[:, :9].mean() == pytest.approx(0.1, abs=0.02)
    for seed in range(20):
        lost = augment(whole, {"part_dropout": 0.2}, seed)[..., 2] == 0
        assert not lost[:, PARTS["body"]].any()
        for part in PART_ROOTS:
            frames = lost[:, PARTS[part]]
            assert (frames.all(axis=1) == frames.any(axis=1)).all()  # as a whole
            assert frames.all(axis=1).mean() <= 0.2
            assert np.abs(np.diff(frames[:, 0].astype(int))).sum() <= 2  # one stretch


def signs(clip: np.ndarray, spans: np.ndarray) -> list[np.ndarray]:
    """What the arms and hands do in each sign, at six moments: `(6 * 46 * 2,)` each, NaN where it is not seen."""
    seen = np.where(clip[..., 2:] > 0, clip[..., :2], np.nan)
    found = []
    for first, last in spans:
        moments = np.linspace(first, max(last - 1, first), 6).round().astype(int).clip(0, len(clip) - 1)
        found.append(seen[moments, 5:51].ravel())
    return found


@cache
def templates() -> tuple[tuple[str, ...], np.ndarray]:
    """Sign -> its average over most of the corpus."""
    seen = defaultdict(list)
    for clip in corpus()[40:]:
        assert clip.gloss_spans is not None
        for gloss, sign in zip(clip.gloss, signs(clip.keypoints, clip.gloss_spans), strict=True):
            seen[gloss].append(sign)
    counts = [np.isfinite(each).sum(axis=0) for each in seen.values()]
    sums = [np.nansum(each, axis=0) for each in seen.values()]
    return tuple(seen), np.array(sums) / np.maximum(counts, 1)


def decoded(name: str) -> float:
    """Share of the signs of other clips that are nearest to their own average, after an operation."""
    glosses, averages = templates()
    right = []
    for place, clip in enumerate(corpus()[:40]):
        assert clip.gloss_spans is not None
        changed, spans = clip.keypoints, clip.gloss_spans
        if name:
            changed = augment(changed, {name: STRENGTHS[name]}, place)
        if name in ("time_warp", "frame_drop"):
            spans = np.searchsorted(frames_of(name, len(clip.keypoints), place), spans)
        changed = mirrored(changed) if name == "mirror" else changed  # seen in a mirror it is the same
        for gloss, sign in zip(clip.gloss, signs(changed, spans), strict=True):
            if gloss in glosses:
                nearest = np.nansum(np.square(averages - sign), axis=1).argmin()
                right.append(glosses[nearest] == gloss)
    return float(np.mean(right))


@every_operation
def test_signs_stay_what_they_are(name: str) -> None:
    assert decoded("") > 0.8
    assert decoded(name) > decoded("") - 0.05


def test_no_sign_is_another_in_a_mirror() -> None:
    """A left-handed signer says the same: a sign's mirror image is farther from every other sign than signs are."""
    glosses, averages = templates()
    apart = np.sqrt(np.square(averages[:, None] - averages[None]).sum(axis=2))  # (signs, signs)
    nearest = np.sort(apart + np.diag(np.full(len(glosses), np.inf)), axis=1)[:, 0].min()
    whole = np.zeros((len(averages) * 6, 69, 3), np.float32)
    whole[:, 5:51, :2] = averages.reshape(-1, 46, 2)
    images = mirrored(whole)[:, 5:51, :2].reshape(len(averages), -1)
    across = np.sqrt(np.square(images[:, None] - averages[None]).sum(axis=2))
    np.fill_diagonal(across, np.inf)
    assert across.min() > nearest
