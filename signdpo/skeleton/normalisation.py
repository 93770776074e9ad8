"""From image coordinates to what models see, and from there to something that can be drawn.

The normalisation is that of the public Uni-Sign release (Li et al., ICLR 2025), so that its checkpoints read our clips:
the body by its bounding box over the whole clip, the hands and the face relative to a root joint of their own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from signdpo.skeleton.layout import PART_ANCHORS, PART_ROOTS, PARTS

CONFIDENCE_THRESHOLD: Final = 0.3
MIN_CONFIDENT_JOINTS: Final = 4  # over all frames of a clip; below it the body has no measurable extent


def normalise(keypoints: np.ndarray) -> np.ndarray:
    """Normalise a clip, independently of the picture's size and of where the signer stands.

    The longer side of the bounding box of all confident body joints of all frames becomes [-1, 1]; the hands and the
    face are divided by the same length, relative to their root joint in each frame. Everything is clipped to [-1, 1],
    and a joint whose confidence is not above 0.3 is zero in all three channels. A body of fewer than four confident
    joints, or of no extent, gives a clip of zeros.

    Frames count only through the bounding box, so sample frames before normalising, as the public code does.

    Args:
        keypoints: `(frames, 69, 3)` x, y in image coordinates (any unit) and confidence.

    Returns:
        `(frames, 69, 3)` float32: x and y in [-1, 1], confidence 0 or in (0.3, 1].
    """
    # A half-precision clip is widened first: the bounding box of float16 pixels would be wrong by whole pixels.
    keypoints = np.asarray(keypoints, dtype=np.float32)
    confident = keypoints[..., 2] > CONFIDENCE_THRESHOLD
    corner, extent = _bounding_square(keypoints[:, PARTS["body"], :2][confident[:, PARTS["body"]]])
    if extent == 0:
        return np.zeros_like(keypoints)

    normalised = keypoints.copy()
    body = PARTS["body"]
    normalised[:, body, :2] = ((keypoints[:, body, :2] - corner) / extent - np.float32(0.5)) * 2
    for part, root in PART_ROOTS.items():
        joints = PARTS[part]
        normalised[:, joints, :2] = (keypoints[:, joints, :2] - keypoints[:, root : root + 1, :2]) / extent
    # The confidence is clipped too: some pose models report scores above 1.
    np.clip(normalised, -1, 1, out=normalised)
    normalised[~confident] = 0
    return normalised


def _bounding_square(points: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Upper left corner `(2,)` and side of the square around `(points, 2)`; a side of 0 if there is none."""
    if len(points) < MIN_CONFIDENT_JOINTS:
        return np.zeros(2, dtype=np.float32), np.float32(0)
    low, high = points.min(axis=0), points.max(axis=0)
    side = (high - low).max()
    return (low + high - side) / 2, side


def to_picture(keypoints: np.ndarray) -> np.ndarray:
    """Put the parts of a normalised clip back together in the coordinates of its body.

    A hand hangs on the body's wrist and the face on its nose, so a part is missing where the joint that carries it is.

    Args:
        keypoints: `(frames, 69, 3)` normalised.

    Returns:
        `(frames, 69, 2)` float32, y downward, the body in [-1, 1]; NaN where a joint is missing (confidence 0).
    """
    keypoints = np.asarray(keypoints, dtype=np.float32)
    missing = keypoints[..., 2] <= 0
    picture = keypoints[..., :2].copy()
    picture[missing] = np.nan
    for part, anchor in PART_ANCHORS.items():
        # The body's box is 2 wide where the other parts' unit is its side.
        picture[:, PARTS[part]] = picture[:, anchor : anchor + 1] + 2 * picture[:, PARTS[part]]
    return picture
