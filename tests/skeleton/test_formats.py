"""The maps from other layouts, with indices taken from the layouts' own documents."""

from __future__ import annotations

import numpy as np
import pytest
from support.mediapipe import HAND, POSE

from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.formats import (
    ABSENT,
    BY_NUM_JOINTS,
    MEDIAPIPE_PARTS,
    MEDIAPIPE_POINTS,
    NOSE_TIP_FROM_CONTOURS,
    OPENPOSE_137,
    JointMap,
    map_by_name,
    to_layout,
)
from signdpo.skeleton.layout import COCO_WHOLEBODY_133, NUM_JOINTS, PARTS

FACE_ROOT = 68
IDENTITY = BY_NUM_JOINTS[NUM_JOINTS]

WHOLE_HOLISTIC = (
    ("POSE_LANDMARKS", POSE),
    ("FACE_LANDMARKS", tuple(map(str, range(468)))),
    ("LEFT_HAND_LANDMARKS", HAND),
    ("RIGHT_HAND_LANDMARKS", HAND),
    ("POSE_WORLD_LANDMARKS", POSE),
)

# Vertices of MediaPipe's canonical_face_model.obj (Apache 2.0), in cm: x to the person's left, y up, z to the viewer.
CANONICAL_TIP = (0.0, -0.463170, 7.586580)  # vertex 4
CANONICAL = {
    "133": (-1.856432, 2.585245, 3.757904),
    "362": (1.856432, 2.585245, 3.757904),
    "127": (-7.743095, 2.364999, -2.005167),
    "356": (7.743095, 2.364999, -2.005167),
    "0": (0.0, -3.406404, 5.979507),
}


def numbered(joints: int, frames: int = 1) -> np.ndarray:
    """Joint j of frame t is at (j + 1, t) with confidence 1."""
    source = np.ones((frames, joints, 3), dtype=np.float32)
    source[..., 0] += np.arange(joints)
    source[..., 1] = np.arange(frames)[:, None]
    return source


def seen(**positions: tuple[float, float, float]) -> np.ndarray:
    """One frame of our layout with the joints `j<index>` there and no others."""
    keypoints = np.zeros((1, NUM_JOINTS, 3), dtype=np.float32)
    for name, values in positions.items():
        keypoints[0, int(name[1:])] = values
    return keypoints


def test_mediapipe_s_landmarks_have_the_places_of_their_names() -> None:
    names = {
        "POSE_LANDMARKS": [*POSE, *(f"leg {point}" for point in range(len(POSE), 33))],
        "LEFT_HAND_LANDMARKS": HAND,
        "RIGHT_HAND_LANDMARKS": HAND,
        "FACE_LANDMARKS": list(map(str, range(478))),
    }
    assert [len(points) for points in names.values()] == [most for _, most in MEDIAPIPE_PARTS.values()]
    assert map_by_name(list(names.items())) == MEDIAPIPE_POINTS


def test_openpose_joints_are_those_of_its_documentation() -> None:
    joints = to_layout(numbered(137, frames=2), OPENPOSE_137)[1, :, 0] - 1
    # BODY_25: 0 nose, 2 3 4 right and 5 6 7 left shoulder, elbow, wrist, 17 right and 18 left ear.
    assert joints[PARTS["body"]].tolist() == [0, 18, 17, 5, 2, 6, 3, 7, 4]
    # 25 of the body, 70 of the face, then the left and the right hand.
    assert joints[PARTS["left_hand"]].tolist() == list(range(95, 116))
    assert joints[PARTS["right_hand"]].tolist() == list(range(116, 137))
    assert joints[PARTS["face"]].tolist() == [
        25 + point for point in (0, 2, 4, 6, 8, 10, 12, 14, 16, 60, 61, 62, 63, 64, 65, 66, 67, 30)
    ]


def test_coco_wholebody_and_our_own_layout_are_picked_by_their_number_of_joints() -> None:
    assert BY_NUM_JOINTS[133].joints == COCO_WHOLEBODY_133
    np.testing.assert_array_equal(to_layout(numbered(69, frames=3), IDENTITY), numbered(69, frames=3))


def test_whole_mediapipe_is_mapped_by_the_order_of_its_header() -> None:
    joint_map = map_by_name(WHOLE_HOLISTIC)
    joints = np.array(joint_map.joints)
    assert joints[PARTS["body"]].tolist() == [0, 7, 8, 11, 12, 13, 14, 15, 16]
    face = joints[PARTS["face"]] - len(POSE)
    assert face.tolist() == [127, 93, 172, 149, 152, 378, 397, 323, 356, 78, 82, 13, 312, 308, 317, 14, 87, 4]
    left_hand = len(POSE) + 468
    assert joints[PARTS["left_hand"]].tolist() == list(range(left_hand, left_hand + 21))
    assert joints[PARTS["right_hand"]].tolist() == list(range(left_hand + 21, left_hand + 42))
    assert not joint_map.blends


def test_a_reduced_header_is_mapped_by_name_and_the_rest_is_absent() -> None:
    joint_map = map_by_name([("POSE_LANDMARKS", ("RIGHT_WRIST", "LEFT_HIP", "LEFT_WRIST"))])
    assert joint_map.joints[7:9] == (2, 0)
    assert joint_map.joints.count(ABSENT) == 67


def test_openpose_and_coco_headers_are_mapped_by_name() -> None:
    face = [*(f"FB_{point}" for point in range(17)), *(f"FLI_{point}" for point in range(60, 68)), "FN_30"]
    joint_map = map_by_name([("pose_keypoints_2d", ["Nose", "LWrist"]), ("face_keypoints_2d", face)])
    assert joint_map.joints[:9] == (0, *[ABSENT] * 6, 1, ABSENT)
    assert joint_map.joints[PARTS["face"]] == (*range(2, 19, 2), *range(19, 27), 27)
    coco = map_by_name([("LEFT_HAND", [f"hand_{joint}" for joint in range(21)]), ("BODY", ["left_ear", "nose"])])
    assert (*coco.joints[:2], *coco.joints[PARTS["left_hand"]]) == (22, 21, *range(21))


def test_unknown_components_are_named() -> None:
    with pytest.raises(BadClipError, match=r"unknown components BODY_135; known are POSE_LANDMARKS, .*pose_keypoints"):
        map_by_name([("BODY_135", ["Nose"])])


def test_the_nose_of_a_reduced_face_is_its_tip_however_the_head_is_turned() -> None:
    """A turned and scaled canonical face: the sum of the five contour points is where vertex 4 went."""
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    vertices = [*CANONICAL, "78"]
    positions = np.array([*CANONICAL.values(), (-2.15, -4.28, 4.04)]) @ rotation * 7.0 + 100.0
    source = np.concatenate([positions[:, :2], [[1.0], [0.8], [0.9], [1.0], [0.7], [1.0]]], axis=1)[None]
    keypoints = to_layout(source, map_by_name([("FACE_LANDMARKS", vertices)]))
    tip = np.array(CANONICAL_TIP) @ rotation * 7.0 + 100.0
    for joint in (FACE_ROOT, 0):
        np.testing.assert_allclose(keypoints[0, joint, :2], tip[:2], atol=0.05)  # a twentieth of a pixel at 7 a cm
        assert keypoints[0, joint, 2] == np.float32(0.7)
    assert sum(NOSE_TIP_FROM_CONTOURS.values()) == pytest.approx(1.0)


def test_a_reduced_face_without_those_points_has_no_nose_and_is_absent() -> None:
    joint_map = map_by_name([("FACE_LANDMARKS", ["78", "308"]), ("POSE_LANDMARKS", ["LEFT_EAR"])])
    assert not joint_map.blends
    keypoints = to_layout(numbered(3), joint_map)
    assert np.flatnonzero(keypoints[0, :, 2]).tolist() == [1]


def test_a_hand_without_a_root_hangs_on_the_wrist_of_the_body() -> None:
    keypoints = to_layout(seen(j8=(5, 6, 0.5), j34=(7, 8, 0.9)), IDENTITY)
    assert keypoints[0, 30].tolist() == [5, 6, 0.5]
    assert keypoints[0, 34].tolist() == [7, 8, np.float32(0.9)]


def test_the_root_of_a_part_stands_for_the_joint_of_the_body_that_carries_it() -> None:
    keypoints = to_layout(seen(j68=(1, 2, 0.9), j9=(3, 4, 0.8), j7=(30, 40, 0.1)), IDENTITY)
    assert keypoints[0, 0].tolist() == [1, 2, np.float32(0.9)]
    assert keypoints[0, 7].tolist() == [30, 40, np.float32(0.1)]  # measured, however badly


def test_an_absent_part_stays_absent_beside_its_wrist() -> None:
    keypoints = to_layout(seen(j7=(1, 2, 0.9)), IDENTITY)
    assert np.flatnonzero(keypoints[0, :, 2]).tolist() == [7]


def test_a_part_that_hangs_nowhere_is_absent_in_that_frame_only() -> None:
    keypoints = np.concatenate([seen(j34=(7, 8, 0.9)), seen(j34=(7, 8, 0.9), j30=(5, 6, 0.9))])
    assert to_layout(keypoints, IDENTITY)[:, 34, 2].tolist() == [0, np.float32(0.9)]


@pytest.mark.parametrize("confidence", [0.0, -1.0, np.nan])
def test_a_joint_without_confidence_is_all_zeros(confidence: float) -> None:
    assert not to_layout(seen(j3=(625, np.nan, confidence)), IDENTITY).any()


def test_what_was_measured_as_nan_stays_to_be_refused() -> None:
    assert np.isnan(to_layout(seen(j3=(np.nan, 1, 0.9)), IDENTITY)[0, 3, 0])


def test_a_map_without_joints_gives_an_empty_clip() -> None:
    keypoints = to_layout(np.ones((2, 0, 3)), JointMap((ABSENT,) * NUM_JOINTS))
    assert keypoints.shape == (2, NUM_JOINTS, 3)
    assert not keypoints.any()
