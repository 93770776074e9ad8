"""One sign in the place of another: frames of one clip in another."""

from __future__ import annotations

import numpy as np


def splice(clip: np.ndarray, begin: int, end: int, segment: np.ndarray) -> np.ndarray:
    """A clip with a segment in the place of some of its frames; the frames at the seams are means of both sides'.

    Args:
        clip: `(frames, 69, 3)` float32.
        begin, end: first frame that goes and past the last; 0 and `frames` at most.
        segment: `(other frames, 69, 3)`.
    """
    spliced = np.concatenate([clip[:begin], segment, clip[end:]])
    seams = ((begin, begin), (begin + len(segment) - 1, end - 1))
    for place, left in seams:  # where the segment's frame is, and the frame that it has replaced
        new, old = spliced[place].copy(), clip[min(max(left, 0), len(clip) - 1)]
        seen = (new[:, 2:] > 0) & (old[:, 2:] > 0)
        spliced[place] = np.where(seen, (new + old) / 2, new)
    return spliced
