"""The 69-joint layout every room of this project speaks, and its map from COCO-WholeBody 133.

Four parts follow each other on the joint axis: body 9, left hand 21, right hand 21, face 18. The choice of joints and
the bones are those of the public Uni-Sign release (Li et al., ICLR 2025), so that its checkpoints fit.
"""

from __future__ import annotations

from typing import Final

NUM_JOINTS: Final = 69
CHANNELS: Final = 3  # x, y, confidence
LAYOUT_VERSION: Final = "signdpo-69/1"

PARTS: Final[dict[str, slice]] = {
    "body": slice(0, 9),
    "left_hand": slice(9, 30),
    "right_hand": slice(30, 51),
    "face": slice(51, 69),
}

# Joints of the body part, in order.
NOSE, LEFT_EAR, RIGHT_EAR, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = range(9)

# The joint of each part that its coordinates are relative to after normalisation (index on the 69-joint axis).
# The body is relative to its own bounding box and has none.
PART_ROOTS: Final[dict[str, int]] = {"left_hand": 9, "right_hand": 30, "face": 68}

# The body joint that carries each part.
PART_ANCHORS: Final[dict[str, int]] = {"left_hand": LEFT_WRIST, "right_hand": RIGHT_WRIST, "face": NOSE}

# The joint that each of the 69 is in a mirror: the other side's, on the jaw and the lips, too.
MIRRORED: Final[tuple[int, ...]] = (
    *(NOSE, RIGHT_EAR, LEFT_EAR, RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_ELBOW, LEFT_ELBOW, RIGHT_WRIST, LEFT_WRIST),
    *range(30, 51),
    *range(9, 30),
    *range(59, 50, -1),
    *(64, 63, 62, 61, 60, 67, 66, 65),
    68,
)

# Index of each of the 69 joints among the 133 of COCO-WholeBody.
COCO_WHOLEBODY_133: Final[tuple[int, ...]] = (
    *(0, *range(3, 11)),
    *range(91, 112),
    *range(112, 133),
    *(*range(23, 40, 2), *range(83, 91), 53),
)

_HAND_BONES: Final = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1) for finger in range(5) for joint in range(4)
)

# Bones within each part, as pairs of joint indices local to the part.
BONES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "body": ((0, 1), (0, 2), (0, 3), (0, 4), (3, 5), (5, 7), (4, 6), (6, 8)),
    "left_hand": _HAND_BONES,
    "right_hand": _HAND_BONES,
    "face": (
        *((joint, joint + 1) for joint in range(8)),
        *((joint, joint + 1) for joint in range(9, 16)),
        (16, 9),
        *((17, joint) for joint in range(17)),
    ),
}
