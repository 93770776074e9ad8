"""The joint layouts of other pose estimators, mapped to ours: OpenPose 137, COCO-WholeBody 133, MediaPipe Holistic.

What a layout lacks is absent in ours: confidence 0, at (0, 0). Nothing is made up, with two exceptions that are
measurements all the same: the joint a part hangs on is measured twice (`to_layout`), and a reduced MediaPipe face shows
where its nose is (`NOSE_TIP_FROM_CONTOURS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import CHANNELS, COCO_WHOLEBODY_133, NUM_JOINTS, PART_ANCHORS, PART_ROOTS, PARTS
from signdpo.skeleton.people import People

ABSENT: Final = -1


@dataclass(frozen=True)
class JointMap:
    """Where our joints come from in another layout.

    Args:
        joints: `(69,)` index of each of our joints among theirs; `ABSENT` where they have no such joint.
        blends: those of our joints that are weighted sums of several of theirs, `{ours: {theirs: weight}}`. The weights
            of a sum add up to 1. Its confidence is the lowest of its terms.
    """

    joints: tuple[int, ...]
    blends: Mapping[int, Mapping[int, float]] = field(default_factory=dict)


def to_layout(source: np.ndarray, joint_map: JointMap) -> np.ndarray:
    """Put a clip of another layout into ours.

    The wrist of the body and the root of a hand are one place, and so are the nose of the body and the root of the
    face. Where only one of a pair was measured, it stands for the other. A hand or a face whose root was not measured
    at all is absent in that frame: its coordinates, once normalised, would be relative to nothing.

    Args:
        source: `(frames, joints, 3)` x, y (any one unit) and confidence, of any dtype of numbers.
        joint_map: from the layout of `source`.

    Returns:
        `(frames, 69, 3)` float32. A joint whose confidence is not above 0 (or NaN) is all zeros.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and `Clip.check` names it
        source = np.asarray(source).astype(np.float32)
    keypoints = np.zeros((len(source), NUM_JOINTS, CHANNELS), dtype=np.float32)
    ours = [joint for joint, theirs in enumerate(joint_map.joints) if theirs != ABSENT]
    keypoints[:, ours] = source[:, [joint_map.joints[joint] for joint in ours]]
    for joint, weights in joint_map.blends.items():
        terms = source[:, list(weights)]  # (frames, terms, 3)
        keypoints[:, joint, :2] = np.einsum("ftc,t->fc", terms[..., :2], np.array(list(weights.values()), np.float32))
        keypoints[:, joint, 2] = terms[..., 2].min(axis=1)
    keypoints[~(keypoints[..., 2] > 0)] = 0
    for part, root in PART_ROOTS.items():
        _join(keypoints, PARTS[part], root, PART_ANCHORS[part])
    return keypoints


def to_people(source: np.ndarray, joint_map: JointMap) -> People:
    """Everybody in `(frames, people, joints, 3)` of another layout, each in ours (`to_layout`)."""
    frames, places = np.nonzero((source[..., 2] > 0).any(axis=2))
    return People(to_layout(source[frames, places], joint_map), frames, len(source))


def _join(keypoints: np.ndarray, part: slice, root: int, anchor: int) -> None:
    """Let the root of a part and the joint of the body that carries it stand for each other, in place."""
    measured = keypoints[..., 2] > 0  # (frames, 69)
    part_measured = measured[:, part].any(axis=1)
    take_anchor = part_measured & ~measured[:, root] & measured[:, anchor]
    keypoints[take_anchor, root] = keypoints[take_anchor, anchor]
    take_root = measured[:, root] & ~measured[:, anchor]
    keypoints[take_root, anchor] = keypoints[take_root, root]
    keypoints[~measured[:, root] & ~take_anchor, part] = 0


# The joints of `pose_keypoints_2d` (BODY_25), `face_keypoints_2d` (70 points, the first 68 those of iBUG),
# `hand_left_keypoints_2d` and `hand_right_keypoints_2d`, one after the other.
# https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md
OPENPOSE_137: Final = JointMap(
    (
        *(0, 18, 17, 5, 2, 6, 3, 7, 4),
        *range(95, 116),
        *range(116, 137),
        *(*range(25, 42, 2), *range(85, 93), 55),
    )
)

# Arrays without names are told by their number of joints.
BY_NUM_JOINTS: Final[dict[int, JointMap]] = {
    NUM_JOINTS: JointMap(tuple(range(NUM_JOINTS))),
    133: JointMap(COCO_WHOLEBODY_133),
    137: OPENPOSE_137,
}

_PARTS_OF_FORMATS: Final[tuple[dict[str, str], ...]] = (
    {  # MediaPipe Holistic, whole or reduced
        "body": "POSE_LANDMARKS",
        "left_hand": "LEFT_HAND_LANDMARKS",
        "right_hand": "RIGHT_HAND_LANDMARKS",
        "face": "FACE_LANDMARKS",
    },
    {  # OpenPose
        "body": "pose_keypoints_2d",
        "left_hand": "hand_left_keypoints_2d",
        "right_hand": "hand_right_keypoints_2d",
        "face": "face_keypoints_2d",
    },
    {"body": "BODY", "left_hand": "LEFT_HAND", "right_hand": "RIGHT_HAND", "face": "FACE"},  # COCO-WholeBody, MMPose
)

_MEDIAPIPE_HAND: Final = (
    "WRIST",
    *(f"THUMB_{joint}" for joint in ("CMC", "MCP", "IP", "TIP")),
    *(f"{finger}_FINGER_{joint}" for finger in ("INDEX", "MIDDLE", "RING") for joint in ("MCP", "PIP", "DIP", "TIP")),
    *(f"PINKY_{joint}" for joint in ("MCP", "PIP", "DIP", "TIP")),
)
_OPENPOSE_HAND: Final = (
    "BASE",
    *(f"T_{joint}" for joint in ("STT", "BCMC", "MCP", "IP")),
    *(f"{finger}_{joint}" for finger in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")),
)
_COCO_HAND: Final = tuple(f"hand_{joint}" for joint in range(21))

# Vertices of MediaPipe's face mesh for every second point of iBUG-68's jaw (0, 2, ..., 16), its inner lips (60 to 67)
# and the tip of its nose (30). iBUG counts from the left of the picture, which is the right of the person, and so do
# these: 127 is at the person's right temple, 152 the chin, 356 at the left temple, 78 and 308 the right and left
# corner of the mouth. The published correspondences agree on the lips, the tip and on 93, 152 and 323 and differ by a
# vertex elsewhere (LatentSync's has 162, 93, 172, 149, 152, 378, 397, 323, 389; PeizhiYan/Mediapipe_2_Dlib_Landmarks
# 127, 93, 58+172, 150, 152, 379, 288+397, 323, 356). Of these the vertices are taken that lie nearest to the 68 points
# OpenPose finds in a face seen from the front, fitted to MediaPipe's canonical_face_model.obj by the eyes' corners, the
# mouth's and the nose: all within 0.9 of its units (cm).
_FACE_MESH: Final = (
    *("127", "93", "172", "149", "152", "378", "397", "323", "356"),
    *("78", "82", "13", "312", "308", "317", "14", "87"),
    "4",
)

# The names of our joints in each component that holds some of them: 9 of a body, 21 of a hand or 18 of a face.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "POSE_LANDMARKS": (
        *("NOSE", "LEFT_EAR", "RIGHT_EAR", "LEFT_SHOULDER", "RIGHT_SHOULDER"),
        *("LEFT_ELBOW", "RIGHT_ELBOW", "LEFT_WRIST", "RIGHT_WRIST"),
    ),
    "LEFT_HAND_LANDMARKS": _MEDIAPIPE_HAND,
    "RIGHT_HAND_LANDMARKS": _MEDIAPIPE_HAND,
    "FACE_LANDMARKS": _FACE_MESH,
    "pose_keypoints_2d": (*("Nose", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist"),),
    "hand_left_keypoints_2d": _OPENPOSE_HAND,
    "hand_right_keypoints_2d": _OPENPOSE_HAND,
    "face_keypoints_2d": (
        *(f"FB_{point}" for point in range(0, 17, 2)),
        *(f"FLI_{point}" for point in range(60, 68)),
        "FN_30",
    ),
    "BODY": (
        *("nose", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    ),
    "LEFT_HAND": _COCO_HAND,
    "RIGHT_HAND": _COCO_HAND,
    "FACE": tuple(f"face-{point}" for point in (*range(0, 17, 2), *range(60, 68), 30)),
}

# The tip of the nose in the contours of the face mesh, which is what reduced MediaPipe headers keep: the inner corners
# of the eyes, the temples and the middle of the upper lip. The weights are those of the one sum of these five vertices
# of MediaPipe's canonical_face_model.obj that is its vertex 4; a weighted sum survives turning, moving and scaling, so
# it stays the tip of a rigid face however it is turned. In whole recordings (pose-format's test data) it lies 0.2 to
# 1.5 % of the shoulders' width from the mesh's own tip, while MediaPipe's body and face models place the nose 2 to 8 %
# apart.
NOSE_TIP_FROM_CONTOURS: Final[dict[str, float]] = {
    "133": 0.468,
    "362": 0.468,
    "127": -0.231,
    "356": -0.231,
    "0": 0.526,
}
_MESH: Final = "FACE_LANDMARKS"


# MediaPipe Holistic's landmarks without names: how many points each part has, fewest and most. Of a body the 33 may end
# before the legs, and a face has no irises unless they were asked for.
MEDIAPIPE_PARTS: Final[dict[str, tuple[int, int]]] = {
    "body": (17, 33),
    "left_hand": (21, 21),
    "right_hand": (21, 21),
    "face": (468, 478),
}
# Those parts one after the other, each with its most points.
MEDIAPIPE_POINTS: Final = JointMap(
    (
        *(0, 7, 8, *range(11, 17)),
        *range(33, 54),
        *range(54, 75),
        *(75 + int(vertex) for vertex in _FACE_MESH),
    )
)


def map_by_name(components: Sequence[tuple[str, Sequence[str]]]) -> JointMap:
    """The map from a layout that names its joints, such as the header of a `.pose` file; parts of it may be missing.

    Args:
        components: name and point names of each, in the order of the joint axis.

    Raises:
        BadClipError: if no component is one of MediaPipe Holistic, OpenPose or COCO-WholeBody.
    """
    theirs: dict[tuple[str, str], int] = {}
    index = 0
    for component, points in components:
        for point in points:
            theirs.setdefault((component, point), index)
            index += 1
    names = {component for component, _ in components}
    parts_of = next((parts for parts in _PARTS_OF_FORMATS if names & set(parts.values())), None)
    if parts_of is None:
        known = "; ".join(", ".join(parts.values()) for parts in _PARTS_OF_FORMATS)
        raise BadClipError(f"unknown components {', '.join(sorted(names))}; known are {known}")
    joints = [theirs.get((parts_of[part], name), ABSENT) for part in PARTS for name in _NAMES[parts_of[part]]]
    root = PART_ROOTS["face"]
    blend = {theirs.get((_MESH, vertex), ABSENT): weight for vertex, weight in NOSE_TIP_FROM_CONTOURS.items()}
    if joints[root] == ABSENT and ABSENT not in blend:
        return JointMap(tuple(joints), {root: blend})
    return JointMap(tuple(joints))
