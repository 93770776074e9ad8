"""Pictures of the negatives: what was recorded, where its meaning lies, and what each level made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from signdpo.levels import SKELETON_LEVELS
from signdpo.report.svg import ACCENT, INK, LEVEL_COLOURS, report_style
from signdpo.skeleton.layout import BONES, LEFT_SHOULDER, NOSE, PARTS, RIGHT_SHOULDER
from signdpo.skeleton.normalisation import to_picture

MOMENTS: Final = 10  # frames of a strip
WIDTH: Final = 11.0  # inches
LABEL_SHARE: Final = 0.13  # of the width, left of the strips
LABEL_OFFSET: Final = -100  # points
STRIP_HEIGHT: Final = 0.92  # inches
SALIENCE_HEIGHT: Final = 0.55
ROUNDING: Final = 0.005  # clips are stored in half precision; hands and face are drawn at twice their coordinates

# Widths of the strokes of a skeleton, in points. Hands carry most of the meaning and are smallest.
_WIDTHS: Final = {"body": 1.3, "left_hand": 0.75, "right_hand": 0.75, "face": 0.45}

# For the eye: a line between the shoulders instead of a triangle that hangs on the nose, and a face without its star.
_FACE_ROOT: Final = 17
_DRAWN_BONES: Final = {
    **BONES,
    "body": ((LEFT_SHOULDER, RIGHT_SHOULDER), *(bone for bone in BONES["body"] if NOSE not in bone)),
    "face": tuple(bone for bone in BONES["face"] if _FACE_ROOT not in bone),
}


@dataclass(frozen=True)
class NegativeExample:
    """One clip with its negatives.

    Attributes:
        id: of the clip.
        text: the chosen sentence.
        rejected_text: the language negative.
        keypoints: `(frames, 69, 3)` normalised x, y, confidence.
        perturbed: the same for each skeleton level that was made.
        frame_salience: `(frames,)`, any non-negative scale.
        part_salience: `(4,)` for the parts in the order of `signdpo.skeleton.layout.PARTS`.
        operations: what was done at each level.
        reference_margins: the reference policy's log p(chosen) - log p(rejected) by level, in nats.
    """

    id: str
    text: str
    rejected_text: str
    keypoints: np.ndarray
    perturbed: Mapping[str, np.ndarray]
    frame_salience: np.ndarray
    part_salience: np.ndarray
    operations: Mapping[str, str]
    reference_margins: Mapping[str, float]


def negative_figure(example: NegativeExample) -> Figure:
    """The clean strip, the salience over the same time, and a strip a level: what differs, over a faint clean clip."""
    levels = [level for level in SKELETON_LEVELS if level in example.perturbed]
    frames = moments(len(example.keypoints))
    clean = to_picture(example.keypoints)
    heights = [STRIP_HEIGHT, SALIENCE_HEIGHT, *[STRIP_HEIGHT] * len(levels)]
    with report_style():
        figure = Figure(figsize=(WIDTH, sum(heights)))
        grid = GridSpec(
            len(heights), 1, figure, left=LABEL_SHARE, right=1, top=1, bottom=0, hspace=0, height_ratios=heights
        )
        strips = [figure.add_subplot(grid[row, 0]) for row in range(len(heights))]
        bounds = _bounds(clean)

        _draw_strip(strips[0], clean[frames], bounds, INK)
        _label(strips[0], "recorded", f"{len(clean)} frames", INK)
        _draw_salience(strips[1], example.frame_salience)
        _label(strips[1], "salience", "over time", INK)
        for axes, level in zip(strips[2:], levels, strict=True):
            perturbed = to_picture(example.perturbed[level])
            colour = LEVEL_COLOURS[level]
            _draw_strip(axes, clean[frames], bounds, INK, alpha=0.25)
            _draw_strip(axes, perturbed[frames], bounds, colour, unlike=clean[frames])
            _draw_extent(axes, np.any(differs(perturbed, clean), axis=-1), colour)
            _label(axes, level.replace("_", " "), example.operations.get(level, "").replace("_", " "), colour)
    return figure


def moments(frames: int, count: int = MOMENTS) -> np.ndarray:
    """Indices `(count,)` int64 of the frames in the middle of `count` equal stretches of a clip of `frames` frames."""
    return ((np.arange(count) + 0.5) * frames / count).astype(np.int64)


def differs(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which joints `(frames, 69)` bool of two pictures `(frames, 69, 2)` are apart by more than rounding, or gone."""
    gone = np.isnan(pictures).any(axis=-1) != np.isnan(others).any(axis=-1)
    return gone | (np.abs(pictures - others) > ROUNDING).any(axis=-1)


def _bounds(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the clip, with a margin: all strips share them, so that sizes compare."""
    points = picture[~np.isnan(picture).any(axis=-1)]
    if not len(points):
        return -1.0, 1.0, 1.0, -1.0
    # A stray joint must not make all skeletons small.
    (left, top), (right, bottom) = np.percentile(points, [0.2, 99.8], axis=0)
    margin = 0.06 * max(right - left, bottom - top, 0.1)
    return left - margin, right + margin, bottom + margin, top - margin


def _draw_strip(
    axes: Axes,
    pictures: np.ndarray,
    bounds: tuple[float, float, float, float],
    colour: str,
    *,
    unlike: np.ndarray | None = None,
    alpha: float = 1.0,
) -> None:
    """Draw skeletons `(moments, 69, 2)` side by side, each in an equal share of the width.

    Given the skeletons `unlike`, only the bones that are not where theirs are.
    """
    left, right, bottom, top = bounds
    # Slots keep the proportions of a person however wide the strip is.
    slot = max(right - left, (bottom - top) * WIDTH * (1 - LABEL_SHARE) / MOMENTS / STRIP_HEIGHT)
    centres = (np.arange(len(pictures)) + 0.5) * slot - (left + right) / 2
    shown = np.ones(pictures.shape[:2], dtype=bool) if unlike is None else differs(pictures, unlike)
    for part, joints in PARTS.items():
        bones = np.array(_DRAWN_BONES[part])
        pieces = np.full((len(pictures), len(bones), 3, 2), np.nan)  # a NaN after each bone lifts the pen
        pieces[:, :, :2] = pictures[:, joints][:, bones]
        pieces[..., 0] += centres[:, None, None]
        pieces[~shown[:, joints][:, bones].any(axis=-1)] = np.nan
        x, y = pieces.reshape(-1, 2).T
        axes.plot(x, y, color=colour, linewidth=_WIDTHS[part], alpha=alpha, solid_capstyle="round", clip_on=False)
    axes.set(xlim=(0, slot * len(pictures)), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_extent(axes: Axes, changed: np.ndarray, colour: str) -> None:
    """A bar below the strip over the frames `(frames,)` that were changed: a strip shows only some of them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], changed, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2) / len(changed):
        axes.plot([start, end], [0.02, 0.02], color=colour, linewidth=2.2, transform=axes.transAxes, clip_on=False)


def _draw_salience(axes: Axes, salience: np.ndarray) -> None:
    times = np.arange(len(salience)) + 0.5
    axes.fill_between(times, salience, color=ACCENT, alpha=0.25, linewidth=0)
    axes.plot(times, salience, color=ACCENT, linewidth=1.3)
    axes.set(
        xlim=(0, len(salience)), ylim=(0, max(float(np.max(salience, initial=0)) * 1.1, 1e-9)), xticks=[], yticks=[]
    )
    axes.spines["left"].set_visible(False)


def _label(axes: Axes, title: str, detail: str, colour: str) -> None:
    """Two lines in the margin left of a strip."""
    for text, offset, style in ((title, 7, {"color": colour, "weight": "bold"}), (detail, -7, {"alpha": 0.75})):
        axes.annotate(text, (0, 0.5), (LABEL_OFFSET, offset), "axes fraction", "offset points", va="center", **style)
