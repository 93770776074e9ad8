"""Skeletons as pictures: one frame, or a filmstrip of a few frames of a clip.

Nothing here touches the global state of pyplot: callers make a `matplotlib.figure.Figure` and hand over its axes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyBboxPatch

from signdpo.skeleton.clip import sample_frames
from signdpo.skeleton.layout import BONES, LEFT_SHOULDER, NOSE, PARTS, RIGHT_SHOULDER
from signdpo.skeleton.normalisation import to_picture

# Okabe and Ito's colours, which colour-blind readers can tell apart.
PALETTE: Final[dict[str, str]] = {
    "body": "#4d4d4d",
    "left_hand": "#0072b2",
    "right_hand": "#d55e00",
    "face": "#009e73",
}
HALO: Final = "#f0e442"
BACKGROUND: Final = "#f5f5f5"
CHANGED: Final = "#fff8d6"
INK: Final = "#808080"
DEFAULT_FRAMES: Final = 8
MARGIN: Final = 0.12

_LINE_WIDTH: Final[dict[str, float]] = {"body": 2.0, "left_hand": 1.2, "right_hand": 1.2, "face": 1.0}
_FACE_ROOT: Final = 17
# For the eye: shoulders instead of a triangle hanging on the nose, and contours of a face instead of a star.
DRAWN_BONES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    **BONES,
    "body": ((LEFT_SHOULDER, RIGHT_SHOULDER), *(bone for bone in BONES["body"] if NOSE not in bone)),
    "face": tuple(bone for bone in BONES["face"] if _FACE_ROOT not in bone),
}


def draw_frame(axes: Axes, keypoints: np.ndarray, *, shift: float = 0.0, highlight: Collection[str] = ()) -> None:
    """Draw one frame into axes whose y runs downward.

    Args:
        axes: of any figure.
        keypoints: `(69, 3)` normalised. Missing joints (confidence 0) and the bones that need them are left out.
        shift: how far to the right, in the coordinates of the body, which is 2 wide or high.
        highlight: parts to draw with a halo.
    """
    joints = to_picture(keypoints[None])[0] + [shift, 0.0]
    for part, where in PARTS.items():
        points = joints[where]
        segments = points[list(DRAWN_BONES[part])]  # (bones, 2, 2)
        segments = segments[np.isfinite(segments).all(axis=(1, 2))]
        width = _LINE_WIDTH[part]
        if part in highlight:
            axes.add_collection(LineCollection(segments, colors=HALO, linewidths=width + 5, capstyle="round", zorder=1))
        axes.add_collection(
            LineCollection(segments, colors=PALETTE[part], linewidths=width, capstyle="round", zorder=2)
        )
        dots = points if part == "body" else points[:0]
        axes.scatter(dots[:, 0], dots[:, 1], s=9, color=PALETTE[part], linewidths=0, zorder=3)


def draw_strip(
    axes: Axes,
    keypoints: np.ndarray,
    frames: Sequence[int] | None = None,
    highlight: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Draw a filmstrip: some frames of a clip from left to right, each with its number.

    Args:
        axes: of any figure; about 1.5 inches of width a frame look well. Its ticks and border are removed.
        keypoints: `(frames, 69, 3)` normalised.
        frames: which to draw; eight evenly spaced ones by default.
        highlight: `(frames, 4)` bool, parts in the order of `PARTS`: what a perturbation changed. Such frames get a
            tinted background and such parts a halo.
        title: above the strip, at its left.

    Raises:
        ValueError: if `highlight` does not fit the clip.
    """
    if highlight is not None and np.shape(highlight) != (len(keypoints), len(PARTS)):
        raise ValueError(f"highlight has shape {np.shape(highlight)}, expected {(len(keypoints), len(PARTS))}")
    chosen = sample_frames(len(keypoints), DEFAULT_FRAMES) if frames is None else np.asarray(frames, dtype=np.int64)
    left, right, top, bottom = _extent(keypoints[chosen])
    pitch = right - left
    for place, frame in enumerate(chosen):
        changed = [part for index, part in enumerate(PARTS) if highlight is not None and highlight[frame, index]]
        corner = (left + place * pitch + 0.03, top)
        axes.add_patch(
            FancyBboxPatch(
                corner,
                pitch - 0.06,
                bottom - top,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=CHANGED if changed else BACKGROUND,
                edgecolor="none",
                zorder=0,
            )
        )
        draw_frame(axes, keypoints[frame], shift=place * pitch, highlight=changed)
        axes.annotate(
            str(frame), (corner[0] + 0.06, top + 0.06), color=INK, fontsize=7, horizontalalignment="left", va="top"
        )
    axes.set_xlim(left, left + max(len(chosen), 1) * pitch)
    axes.set_ylim(bottom, top)  # y runs downward
    axes.set_aspect("equal")
    axes.set_axis_off()
    if title:
        axes.set_title(title, loc="left", fontsize=9, color=PALETTE["body"], parse_math=False)


def _extent(keypoints: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, top and bottom around all that is drawn, with a margin; the body's box if nothing is."""
    joints = to_picture(keypoints).reshape(-1, 2)
    joints = joints[np.isfinite(joints).all(axis=1)]
    if len(joints) == 0:
        return -1.0, 1.0, -1.0, 1.0
    (left, top), (right, bottom) = joints.min(axis=0) - MARGIN, joints.max(axis=0) + MARGIN
    return float(left), float(right), float(top), float(bottom)
