"""A clip and its negatives as a GIF: movement is what a strip cannot show."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from signdpo.levels import BY_NAME
from signdpo.report.negatives import STROKES, NegativeExample, bone_lines, bounds_of, differs, is_lost
from signdpo.report.svg import INK_ON_WHITE
from signdpo.skeleton.normalisation import to_picture

SIDE: Final = 2.4  # inches of one skeleton
DPI: Final = 80
FRAMES_PER_SECOND: Final = 12


def save_animation(example: NegativeExample, path: Path) -> None:
    """Write the clip beside its skeleton negatives, in step; in colour what moved, dotted what was lost.

    Args:
        example: the clip and its negatives.
        path: the `.gif` to write.
    """
    clean = to_picture(example.keypoints)
    clips = {"recorded": clean, **{level: to_picture(clip) for level, clip in example.perturbed.items()}}
    left, right, bottom, top = bounds_of(np.concatenate(list(clips.values())))
    figure = Figure(figsize=(SIDE * len(clips), SIDE * 1.1), dpi=DPI, facecolor="white")
    artists = {}
    for place, name in enumerate(clips):
        colour = BY_NAME[name].colour if name in BY_NAME else INK_ON_WHITE
        axes = figure.add_axes((place / len(clips), 0.0, 1 / len(clips), 0.9))
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(name.replace("_", " "), fontsize=10, color=colour)
        for kind, style in (("still", (INK_ON_WHITE, "-")), ("moved", (colour, "-")), ("lost", (colour, ":"))):
            for part, width in STROKES.items():
                (artists[name, kind, part],) = axes.plot(
                    [], [], color=style[0], linestyle=style[1], linewidth=1.6 * width
                )

    def show(frame: int) -> None:
        now = slice(frame, frame + 1)
        for name, clip in clips.items():
            moved, lost = differs(clip[now], clean[now]), is_lost(clip[now], clean[now])
            kinds = {"still": (clip, ~moved), "moved": (clip, moved), "lost": (clean, lost)}
            for kind, (joints, shown) in kinds.items():
                for part, line in bone_lines(joints[now], shown).items():
                    artists[name, kind, part].set_data(*line.T)

    animation = FuncAnimation(figure, show, frames=len(clean), blit=False)
    animation.save(str(path), writer=PillowWriter(fps=FRAMES_PER_SECOND))
