"""A signer's body as points: hands from finger curls, arms by inverse kinematics, the face from an expression.

Lengths are in shoulder widths (see `signdpo.corpora.synthetic.phonology`). Bones have constant length in space and
appear shorter where they point towards the camera.
"""

from __future__ import annotations

from math import pi
from typing import Final

import numpy as np

from signdpo.skeleton import layout

UPPER_ARM: Final = 0.80
FOREARM: Final = 0.72
HEAD: Final = {"nose": (0.0, -0.62), "right_ear": (-0.2, -0.70), "left_ear": (0.2, -0.70)}

# Knuckles relative to the wrist, finger bones from the knuckle outwards, and the angle by which a finger leans
# towards the thumb at spread 1. Thumb first; right hand, fingers up, palm to the camera, thumb to the right.
_KNUCKLES: Final = np.array([(0.07, -0.06), (0.09, -0.24), (0.03, -0.26), (-0.035, -0.25), (-0.09, -0.215)])
_PHALANGES: Final = np.array(
    [(0.11, 0.09, 0.07), (0.13, 0.08, 0.06), (0.145, 0.09, 0.065), (0.13, 0.08, 0.06), (0.10, 0.06, 0.055)]
)
_FAN: Final = np.array([0.0, 0.30, 0.04, -0.22, -0.46])
_FOLD: Final = np.array([0.45, 0.55, 0.32]) * pi  # bend of knuckle and finger joints at curl 1
_THUMB_OUT: Final = 0.30 * pi  # angle of a straight thumb to the fingers
_THUMB_FOLD: Final = np.array([0.15, 0.35, 0.30]) * pi

_JAW_ANGLES: Final = np.linspace(pi, 0.0, 9)
_MOUTH_ANGLES: Final = pi - np.arange(8) * pi / 4  # from the corner at the image's left over the upper lip


def hand_points(curls: np.ndarray, spread: np.ndarray, turns: np.ndarray, size: float) -> np.ndarray:
    """Joints of a right hand relative to its wrist.

    Args:
        curls: `(frames, 5)`, 0 straight to 1 folded, thumb first.
        spread: `(frames,)`.
        turns: `(frames, 3)` radians: in the image plane, towards the camera, about the forearm.
        size: scale of the hand.

    Returns:
        `(frames, 21, 2)`, wrist first, then four joints a finger from the palm to the tip.
    """
    frames = len(curls)
    lean = spread[:, None] * _FAN  # (frames, fingers)
    bend = np.cumsum(curls[..., None] * _FOLD, axis=-1)  # (frames, fingers, bones)
    straight = np.stack([np.sin(lean), -np.cos(lean)], axis=-1)[:, :, None]  # (frames, fingers, 1, 2)
    bones = np.empty((frames, 5, 3, 3))
    bones[..., :2] = np.cos(bend)[..., None] * straight
    bones[..., 2] = np.sin(bend)
    # The thumb folds across the palm, in front of the fingers, rather than towards it.
    across = _THUMB_OUT - np.cumsum(curls[:, :1] * _THUMB_FOLD, axis=-1)
    bones[:, 0] = np.stack([np.sin(across), -np.cos(across), np.full_like(across, 0.25)], axis=-1)
    bones *= _PHALANGES[..., None]

    joints = np.zeros((frames, 21, 3))
    fingers = joints[:, 1:].reshape(frames, 5, 4, 3)
    fingers[..., :2] = _KNUCKLES[:, None]
    fingers[:, :, 1:] += np.cumsum(bones, axis=2)
    joints[:, 1:] = fingers.reshape(frames, 20, 3)
    return size * np.einsum("fij,fkj->fki", _rotations(turns), joints)[..., :2]


def _rotations(turns: np.ndarray) -> np.ndarray:
    """Rotation matrices `(frames, 3, 3)`: first about the forearm, then towards the camera, then in the image plane."""
    in_plane, tilt, roll = turns.T
    zero, one = np.zeros_like(in_plane), np.ones_like(in_plane)

    def matrix(*rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    about_z = matrix(
        (np.cos(in_plane), -np.sin(in_plane), zero), (np.sin(in_plane), np.cos(in_plane), zero), (zero, zero, one)
    )
    about_x = matrix((one, zero, zero), (zero, np.cos(tilt), np.sin(tilt)), (zero, -np.sin(tilt), np.cos(tilt)))
    about_y = matrix((np.cos(roll), zero, np.sin(roll)), (zero, one, zero), (-np.sin(roll), zero, np.cos(roll)))
    return about_z @ about_x @ about_y


def arm_points(wrist: np.ndarray) -> np.ndarray:
    """Shoulder, elbow and wrist of the right arm `(frames, 3, 2)` for a wanted wrist position `(frames, 3)`.

    Two bones of constant length reach for the wrist in space, the elbow hanging down and outwards; a wrist out of reach
    is drawn in.
    """
    shoulder = np.array([-0.5, 0.0, 0.0])
    reach = wrist - shoulder
    wanted = np.linalg.norm(reach, axis=-1, keepdims=True)
    direction = reach / wanted
    distance = np.clip(wanted, UPPER_ARM - FOREARM + 0.05, UPPER_ARM + FOREARM - 0.01)
    along = (UPPER_ARM**2 - FOREARM**2 + distance**2) / (2 * distance)
    off = np.sqrt(UPPER_ARM**2 - along**2)
    hang = np.array([-0.35, 1.0, 0.1])
    aside = hang - (direction @ hang)[:, None] * direction
    elbow = shoulder + along * direction + off * aside / np.linalg.norm(aside, axis=-1, keepdims=True)
    joints = np.stack([np.broadcast_to(shoulder, wrist.shape), elbow, shoulder + distance * direction], axis=1)
    return joints[..., :2]


def face_points(expression: np.ndarray) -> np.ndarray:
    """Jaw, inner lips and nose tip relative to the nose tip.

    Args:
        expression: `(frames, 5)`: mouth open, wide, corners; nod and turn of the head in radians
            (see `signdpo.corpora.synthetic.phonology.Expression`).

    Returns:
        `(frames, 18, 2)` in the order of the layout's face.
    """
    mouth_open, wide, corners, nod, turn = expression.T[..., None]  # each (frames, 1)
    points = np.zeros((len(expression), 18, 2))
    points[:, :9, 0] = 0.20 * np.cos(_JAW_ANGLES)
    points[:, :9, 1] = -0.06 + 0.34 * np.sin(_JAW_ANGLES) * (1 + 0.15 * mouth_open)
    points[:, 9:17, 0] = (0.075 + 0.03 * wide) * np.cos(_MOUTH_ANGLES)
    points[:, 9:17, 1] = 0.14 - (0.008 + 0.05 * mouth_open) * np.sin(_MOUTH_ANGLES)
    points[:, 9:17, 1] -= 0.035 * corners * np.abs(np.cos(_MOUTH_ANGLES))
    # The nose tip stands out from the face, so a turn or nod of the head moves it further than the rest.
    points[:, :17, 0] = points[:, :17, 0] * np.cos(turn) - 0.16 * np.sin(turn)
    points[:, :17, 1] = points[:, :17, 1] * np.cos(nod) - 0.16 * np.sin(nod)
    return points


def skeleton(right: np.ndarray, left: np.ndarray, expression: np.ndarray, hand_size: float) -> np.ndarray:
    """All joints of the layout.

    Args:
        right: `(frames, 12)`: wrist x, y, z; five curls; spread; three turns of the right hand.
        left: the same for the left hand, mirrored, so that two mirrored hands have equal rows.
        expression: `(frames, 5)`, as for `face_points`.
        hand_size: scale of the hands.

    Returns:
        `(frames, 69, 2)` in shoulder widths.
    """
    points = np.empty((len(right), layout.NUM_JOINTS, 2))
    mirror = np.array([-1.0, 1.0])
    sides = (
        (right, "right_hand", 1.0, (layout.RIGHT_SHOULDER, layout.RIGHT_ELBOW, layout.RIGHT_WRIST)),
        (left, "left_hand", mirror, (layout.LEFT_SHOULDER, layout.LEFT_ELBOW, layout.LEFT_WRIST)),
    )
    for track, part, side, joints in sides:
        arm = arm_points(track[:, :3])
        hand = arm[:, 2:] + hand_points(track[:, 3:8], track[:, 8], track[:, 9:], hand_size)
        points[:, joints] = arm * side
        points[:, layout.PARTS[part]] = hand * side

    moved = 0.20 * np.sin(expression[:, [4, 3]])  # of the nose, by turn and nod
    points[:, layout.NOSE] = np.array(HEAD["nose"]) + moved
    points[:, layout.RIGHT_EAR] = np.array(HEAD["right_ear"]) + 0.2 * moved
    points[:, layout.LEFT_EAR] = np.array(HEAD["left_ear"]) + 0.2 * moved
    points[:, layout.PARTS["face"]] = points[:, layout.NOSE, None] + face_points(expression)
    return points
