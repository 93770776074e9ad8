"""From image coordinates to what models see, and from there to something that can be drawn.

The normalisation is that of the public Uni-Sign release (Li et al., ICLR 2025), so that its checkpoints read our clips:
the body by its bounding box over the whole clip, the hands and the face relative to a root joint of their own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from signdpo.skeleton.layout import CHANNELS, NUM_JOINTS, PART_ANCHORS, PART_ROOTS, PARTS

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
        `(frames, 69, 3)` float32: x and y in [-1, 1], confidence 0 or in (0.3, 1]. In memory frames lie innermost; a
        clip that comes so, too, is normalised fastest.
    """
    # Channels first and frames last, so that every operation runs along memory. A half-precision clip is widened before
    # the bounding box is taken: that of float16 pixels would be wrong by whole pixels.
    source = np.ascontiguousarray(np.transpose(keypoints, (2, 1, 0)), dtype=np.float32)  # (3, 69, frames)
    confident = source[2] > CONFIDENCE_THRESHOLD  # (69, frames)
    body = PARTS["body"]
    corner, extent = _bounding_square(*(source[axis, body][confident[body]] for axis in (0, 1)))
    if extent == 0:
        return np.zeros((len(keypoints), NUM_JOINTS, CHANNELS), dtype=np.float32)

    normalised = np.empty_like(source)
    positions = normalised[:2]  # (2, 69, frames)
    np.subtract(source[:2, body], corner, out=positions[:, body])
    for part, root in PART_ROOTS.items():
        np.subtract(source[:2, PARTS[part]], source[:2, root, None], out=positions[:, PARTS[part]])
    np.divide(positions, extent, out=positions)
    np.subtract(positions[:, body], np.float32(0.5), out=positions[:, body])
    np.multiply(positions[:, body], np.float32(2), out=positions[:, body])
    normalised[2] = source[2]
    normalised.clip(-1, 1, out=normalised)  # the confidence too: some pose models report scores above 1
    # All bits of a float's zero are 0, whatever stood at a joint that is not trusted: no sign is left, and no NaN.
    bits = normalised.view(np.int32)
    np.bitwise_and(bits, -confident.astype(np.int32), out=bits)
    return normalised.transpose(2, 1, 0)


def _bounding_square(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Upper left corner `(2, 1, 1)` and side of the square around `(points,)` each; a side of 0 if there is none."""
    if len(x) < MIN_CONFIDENT_JOINTS:
        return np.zeros((2, 1, 1), dtype=np.float32), np.float32(0)
    left, right, top, bottom = x.min(), x.max(), y.min(), y.max()
    side = max(right - left, bottom - top)
    corner = np.array([(left + right - side) / 2, (top + bottom - side) / 2], dtype=np.float32)
    return corner[:, None, None], side


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
