"""A clip and its negatives as a GIF: movement is what a strip cannot show."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from signdpo.levels import SKELETON_LEVELS
from signdpo.report.negatives import STROKES, NegativeExample, bounds_of, differs, is_lost
from signdpo.report.svg import LEVEL_COLOURS
from signdpo.skeleton.drawing import DRAWN_BONES
from signdpo.skeleton.layout import PARTS
from signdpo.skeleton.normalisation import to_picture

SIDE: Final = 2.4  # inches of one skeleton
DPI: Final = 80
FRAMES_PER_SECOND: Final = 12
INK: Final = "#1c1e21"


def save_animation(example: NegativeExample, path: Path) -> None:
    """Write the clip beside its skeleton negatives, in step; in colour what moved, dotted what was lost.

    Args:
        example: the clip and its negatives.
        path: of the `.gif`.
    """
    clean = to_picture(example.keypoints)
    clips = {"recorded": clean, **{level: to_picture(example.perturbed[level]) for level in SKELETON_LEVELS}}
    left, right, bottom, top = bounds_of(np.concatenate(list(clips.values())))
    figure = Figure(figsize=(SIDE * len(clips), SIDE * 1.1), dpi=DPI, facecolor="white")
    artists: list[tuple[dict[str, LineCollection], np.ndarray]] = []
    for place, (name, clip) in enumerate(clips.items()):
        axes = figure.add_axes((place / len(clips), 0.0, 1 / len(clips), 0.9))
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(name.replace("_", " "), fontsize=10, color=LEVEL_COLOURS.get(name, INK))
        colour = LEVEL_COLOURS.get(name, INK)
        strokes = {
            "still": LineCollection([], colors=INK),
            "moved": LineCollection([], colors=colour),
            "lost": LineCollection([], colors=colour, linestyles=":"),
        }
        for lines in strokes.values():
            axes.add_collection(lines)
        artists.append((strokes, clip))

    def show(frame: int) -> None:
        recorded = clean[frame]
        for strokes, clip in artists:
            moved, lost = (of(clip[frame : frame + 1], recorded[None])[0] for of in (differs, is_lost))
            bones = {"still": (clip[frame], ~moved), "moved": (clip[frame], moved), "lost": (recorded, lost)}
            for kind, (joints, wanted) in bones.items():
                segments, widths = _bones(joints, wanted, every=kind == "still")
                strokes[kind].set_segments(segments)
                strokes[kind].set_linewidth(widths)

    animation = FuncAnimation(figure, show, frames=len(clean), blit=False)
    animation.save(str(path), writer=PillowWriter(fps=FRAMES_PER_SECOND))


def _bones(joints: np.ndarray, wanted: np.ndarray, *, every: bool) -> tuple[list[np.ndarray], list[float]]:
    """The bones of one skeleton `(69, 2)` with both ends, or any, `wanted` `(69,)`, and their widths in points."""
    bones, widths = [], []
    for part, where in PARTS.items():
        for pair in DRAWN_BONES[part]:
            ends, chosen = joints[where][list(pair)], wanted[where][list(pair)]
            if (chosen.all() if every else chosen.any()) and not np.isnan(ends).any():
                bones.append(ends)
                widths.append(1.6 * STROKES[part])
    return bones, widths
