"""Which frames of a clip the decoder looks at for each word it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from signdpo.report.negatives import CHINESE_FONTS, LABEL_SHARE, STRIP_HEIGHT, WIDTH, bounds_of, draw_moments, moments
from signdpo.report.svg import ACCENT, INK_ON_WHITE, report_style
from signdpo.skeleton.normalisation import to_picture

WORD_HEIGHT: Final = 0.28  # inches
AXIS_HEIGHT: Final = 0.55


def attention_figure(keypoints: np.ndarray, words: Sequence[str], attention: np.ndarray) -> Figure:
    """The clip over time, and below it a row per word, dark where the decoder looks, with a dot where it looks most.

    Args:
        keypoints: `(frames, 69, 3)` normalised.
        words: from first to last.
        attention: `(words, frames)`, any non-negative scale.
    """
    height = STRIP_HEIGHT + WORD_HEIGHT * len(words) + AXIS_HEIGHT
    grid = {"left": LABEL_SHARE, "right": 0.985, "top": 1, "bottom": AXIS_HEIGHT / height, "hspace": 0}
    ratios = [STRIP_HEIGHT, max(WORD_HEIGHT * len(words), 0.01)]
    with report_style():
        figure = Figure(figsize=(WIDTH, height))
        strip, looks = figure.subplots(2, 1, gridspec_kw={**grid, "height_ratios": ratios})
        pictures = to_picture(keypoints)
        draw_moments(strip, pictures[moments(len(pictures))], bounds_of(pictures), INK_ON_WHITE)
        if len(words):
            scaled = attention / np.maximum(attention.max(axis=1, keepdims=True), 1e-12)
            looks.imshow(scaled, aspect="auto", cmap="Purples", vmin=0, extent=(0, len(keypoints), len(words), 0))
            # A position of the encoder stands for several frames: the dot is in their middle.
            peaks = [np.flatnonzero(row == row.max()).mean() + 0.5 for row in scaled]
            looks.plot(peaks, np.arange(len(words)) + 0.5, ".", color=ACCENT, markersize=6)
        installed = set(font_manager.get_font_names())
        family = ["sans-serif", *(font for font in CHINESE_FONTS if font in installed)]
        looks.set_yticks(np.arange(len(words)) + 0.5, words, family=family, parse_math=False)
        looks.set(xlim=(0, len(keypoints)), xlabel="frame")
        looks.tick_params(axis="y", length=0)
        looks.grid(False)
        looks.spines["left"].set_visible(False)
    return figure
