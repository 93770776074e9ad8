"""Normalisation equals the public preprocessing, and the cases worked out by hand."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from signdpo.skeleton.layout import COCO_WHOLEBODY_133, NUM_JOINTS, PARTS
from signdpo.skeleton.normalisation import normalise, to_picture

PEER_NAMES = {"body": "body", "left_hand": "left", "right_hand": "right", "face": "face_all"}
PARITY_CLIPS = ["walk_40", "one_frame", "dropped_60", "start_end", "all_low_confidence", "zero_extent_body"]


@pytest.mark.parametrize("name", PARITY_CLIPS)
def test_equals_the_public_preprocessing(shared_data: Path, name: str) -> None:
    folder = shared_data / "parity" / "uni_sign_keypoints"
    raw = pickle.loads((folder / f"{name}.pkl").read_bytes())
    frames = slice(raw.get("start", 0), raw.get("end"))
    keypoints = np.concatenate(
        [np.stack(raw["keypoints"][frames])[:, 0], np.stack(raw["scores"][frames])[:, 0, :, None]], axis=-1
    )
    normalised = normalise(keypoints[:, list(COCO_WHOLEBODY_133)])
    with np.load(folder / "expected.npz") as expected:
        for part, joints in PARTS.items():
            np.testing.assert_allclose(normalised[:, joints], expected[f"{name}/{PEER_NAMES[part]}"], rtol=0, atol=1e-5)


def square_signer(frames: int = 1) -> np.ndarray:
    """Body joints 0 to 3 are the corners of a box 4 wide and 2 high at (10, 20); nothing else is confident."""
    keypoints = np.zeros((frames, NUM_JOINTS, 3), dtype=np.float32)
    keypoints[:, :4, :2] = [[10, 20], [14, 20], [10, 22], [14, 22]]
    keypoints[:, :4, 2] = 0.9
    return keypoints


def test_the_longer_side_of_the_body_spans_minus_one_to_one() -> None:
    normalised = normalise(square_signer())
    np.testing.assert_allclose(normalised[0, :4, :2], [[-1, -0.5], [1, -0.5], [-1, 0.5], [1, 0.5]], atol=1e-6)
    np.testing.assert_allclose(normalised[0, :4, 2], 0.9)


def test_parts_are_relative_to_their_root_in_units_of_the_body() -> None:
    keypoints = square_signer()
    keypoints[0, [30, 31]] = [[11, 21, 1.0], [12, 20, 1.0]]
    keypoints[0, [68, 51]] = [[12, 20, 1.0], [19, 21, 1.0]]
    normalised = normalise(keypoints)
    np.testing.assert_allclose(normalised[0, 31], [0.25, -0.25, 1.0], atol=1e-6)
    np.testing.assert_allclose(normalised[0, 51], [1.0, 0.25, 1.0], atol=1e-6)  # 7 / 4 is clipped


def test_confidence_at_the_threshold_is_missing_and_above_one_is_one() -> None:
    keypoints = square_signer()
    keypoints[0, [30, 31]] = [[11, 21, 1.4], [12, 20, np.float32(0.3)]]
    normalised = normalise(keypoints)
    assert normalised[0, 30, 2] == 1.0
    assert not normalised[0, 31].any()


def test_the_bounding_box_is_that_of_the_whole_clip() -> None:
    keypoints = square_signer(frames=2)
    keypoints[1, :4, 0] += 4
    normalised = normalise(keypoints)
    np.testing.assert_allclose(normalised[:, :2, 0], [[-1, 0], [0, 1]], atol=1e-6)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_order_in_memory_does_not_matter_and_the_input_is_left_alone(
    axes: tuple[int, int, int], dtype: str
) -> None:
    keypoints = np.random.default_rng(0).uniform(0, 1, (7, NUM_JOINTS, 3)).astype(dtype)
    keypoints[2, 40] = [np.nan, 0.5, 0.1]  # not trusted: whatever it holds does not count
    expected = normalise(keypoints)
    assert expected[2, 40].tolist() == [0, 0, 0]
    assert not np.signbit(expected[expected == 0]).any()
    ordered = np.transpose(np.transpose(keypoints, axes).copy(), np.argsort(axes))
    before = ordered.copy()
    np.testing.assert_array_equal(normalise(ordered), expected)
    np.testing.assert_array_equal(ordered, before)


def test_a_body_too_small_to_measure_gives_zeros() -> None:
    three_joints = square_signer()
    three_joints[:, 3, 2] = 0.1
    assert not normalise(three_joints).any()
    one_point = square_signer()
    one_point[..., :2] = 5
    assert not normalise(one_point).any()


def test_a_picture_restores_the_proportions_of_the_image() -> None:
    random = np.random.default_rng(0)
    keypoints = np.concatenate([random.uniform(0, 0.2, (5, NUM_JOINTS, 2)), np.ones((5, NUM_JOINTS, 1))], axis=-1)
    keypoints[:, :4, :2] = [[0, 0], [1, 0], [0, 1], [1, 1]]
    keypoints[:, 30] = keypoints[:, 8]  # the right hand's root is the body's right wrist
    picture = to_picture(normalise(keypoints))
    expected = (keypoints[..., :2] - 0.5) * 2
    np.testing.assert_allclose(picture[:, PARTS["body"]], expected[:, PARTS["body"]], atol=1e-5)
    np.testing.assert_allclose(picture[:, PARTS["right_hand"]], expected[:, PARTS["right_hand"]], atol=1e-5)


def test_a_picture_has_nan_where_a_joint_or_its_carrier_is_missing() -> None:
    keypoints = square_signer()
    keypoints[0, 9:30] = [11, 21, 1.0]
    picture = to_picture(normalise(keypoints))
    assert np.isfinite(picture[0, :4]).all()
    assert np.isnan(picture[0, 9:30]).all()  # the left wrist is missing
    assert np.isnan(picture[0, 30:51]).all()
