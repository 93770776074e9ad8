"""Pictures of the negatives: what was recorded, where its meaning lies, and what each level made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from signdpo.levels import SKELETON_LEVELS
from signdpo.report.differences import Stretch, stretches
from signdpo.report.svg import ACCENT, INK, LEVEL_COLOURS, report_style
from signdpo.skeleton.drawing import DRAWN_BONES
from signdpo.skeleton.layout import PARTS
from signdpo.skeleton.normalisation import to_picture

MOMENTS: Final = 8  # frames of a strip
WIDTH: Final = 11.0  # inches
LABEL_SHARE: Final = 0.16  # of the width, left of the strips
LABEL_OFFSET: Final = -125  # points
STRIP_HEIGHT: Final = 1.2  # inches
SALIENCE_HEIGHT: Final = 0.55
SENTENCES_HEIGHT: Final = 0.95
CHINESE_FONTS: Final = ("Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "SimHei")
ROUNDING: Final = 0.005  # clips are stored in half precision; hands and face are drawn at twice their coordinates

NO_SENTENCE: Final = "(none of the candidates was a usable wrong sentence)"

# Widths of the strokes of a skeleton, in points. Hands carry most of the meaning and are smallest.
STROKES: Final = {"body": 1.3, "left_hand": 0.75, "right_hand": 0.75, "face": 0.45}


@dataclass(frozen=True)
class NegativeExample:
    """One clip with its negatives.

    Attributes:
        id: of the clip.
        text: the chosen sentence.
        rejected_text: the language negative.
        keypoints: `(frames, 69, 3)` normalised x, y, confidence.
        perturbed: the same for each skeleton level that was made, those that were left out included.
        frame_salience: `(frames,)`, any non-negative scale.
        part_salience: `(4,)` for the parts in the order of `signdpo.skeleton.layout.PARTS`.
        operations: what was done at each level.
        reference_margins: the reference policy's log p(chosen) - log p(rejected) by level, in nats.
        left_out: levels that teach nothing for this clip: the reference does not notice them, or nothing was changed.
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
    left_out: Collection[str] = ()


def negative_figure(example: NegativeExample, *, sentences: bool = False) -> Figure:
    """The clean strip, the salience over the same time, and a strip a level: what differs, over a faint clean clip.

    What a level lost is dotted where it was. With `sentences` the chosen and the rejected one stand below, what differs
    in bold, for a picture that leaves its page.
    """
    levels = [level for level in SKELETON_LEVELS if level in example.perturbed]
    frames = moments(len(example.keypoints))
    clean = to_picture(example.keypoints)
    heights = [STRIP_HEIGHT, SALIENCE_HEIGHT, *[STRIP_HEIGHT] * len(levels)]
    with report_style():
        figure = Figure(figsize=(WIDTH, sum(heights) + (SENTENCES_HEIGHT if sentences else 0)))
        grid = GridSpec(
            len(heights),
            1,
            figure,
            left=LABEL_SHARE,
            right=1,
            top=1,
            bottom=SENTENCES_HEIGHT / figure.get_figheight() if sentences else 0,
            hspace=0,
            height_ratios=heights,
        )
        if sentences:
            _write_sentences(figure, example)
        strips = [figure.add_subplot(grid[row, 0]) for row in range(len(heights))]
        bounds = bounds_of(clean)

        _draw_strip(strips[0], clean[frames], bounds, INK)
        _draw_salient_parts(strips[0], clean[frames], bounds, example.part_salience)
        _label(strips[0], "recorded", f"{len(clean)} frames", INK)
        _draw_salience(strips[1], example.frame_salience, frames)
        _label(strips[1], "salience", "over time", ACCENT)
        for axes, level in zip(strips[2:], levels, strict=True):
            perturbed = to_picture(example.perturbed[level])
            changed, lost = differs(perturbed, clean), is_lost(perturbed, clean)
            colour = LEVEL_COLOURS[level]
            strength = 0.35 if level in example.left_out else 1.0
            _draw_strip(axes, clean[frames], bounds, INK, only=~lost[frames], alpha=0.25)
            _draw_strip(axes, clean[frames], bounds, colour, only=lost[frames], alpha=strength, line=":")
            _draw_strip(axes, perturbed[frames], bounds, colour, only=changed[frames], alpha=strength)
            _draw_extent(axes, np.any(changed, axis=-1), colour, alpha=strength)
            _label(axes, level.replace("_", " "), _detail(example, level), colour)
    return figure


def _write_sentences(figure: Figure, example: NegativeExample) -> None:
    installed = set(font_manager.get_font_names())
    fonts = ["sans-serif", *(font for font in CHINESE_FONTS if font in installed)]
    rejected, green = example.rejected_text, LEVEL_COLOURS["language"]
    written = stretches(rejected, example.text) if rejected else [Stretch(NO_SENTENCE, differs=False, lacking="")]
    lines = (
        ("chosen", "", INK, stretches(example.text, rejected or example.text)),
        ("language", _detail(example, "language"), green, written),
    )
    for line, (name, detail, colour, pieces) in enumerate(lines):
        height = (0.7 - 0.28 * line) / figure.get_figheight()
        figure.text(0.004, height, name, color=colour, weight="bold", va="bottom")
        figure.text(0.004, height - 0.03 / figure.get_figheight(), detail, alpha=0.75, va="top")
        style = {"size": 11.5, "family": fonts}
        marked = {**style, "color": green, "weight": "bold"}
        words: list[Artist] = [
            TextArea(text, textprops=marked if differs else style) for text, differs, _ in pieces if text
        ]
        row = HPacker(children=words, align="baseline", pad=0, sep=0)
        place: dict[str, Any] = {"bbox_to_anchor": (LABEL_SHARE, height), "bbox_transform": figure.transFigure}
        figure.add_artist(AnchoredOffsetbox("lower left", child=row, frameon=False, pad=0, borderpad=0, **place))


def _detail(example: NegativeExample, level: str) -> str:
    operation = example.operations.get(level, "").replace("_", " ")
    margin = example.reference_margins.get(level)
    outcome = "" if margin is None else f"margin {margin:+.1f}"
    return f"{operation}\n{'left out' if level in example.left_out else outcome}".strip()


def moments(frames: int, count: int = MOMENTS) -> np.ndarray:
    """Indices `(count,)` int64 of the frames in the middle of `count` equal stretches of a clip of `frames` frames."""
    return ((np.arange(count) + 0.5) * frames / count).astype(np.int64)


def differs(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which joints `(frames, 69)` bool of two pictures `(frames, 69, 2)` are apart by more than rounding, or gone."""
    gone = np.isnan(pictures).any(axis=-1) != np.isnan(others).any(axis=-1)
    return gone | (np.abs(pictures - others) > ROUNDING).any(axis=-1)


def is_lost(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which joints `(frames, 69)` bool are missing in pictures `(frames, 69, 2)` and there in the others."""
    return np.isnan(pictures).any(axis=-1) & ~np.isnan(others).any(axis=-1)


def bounds_of(picture: np.ndarray) -> tuple[float, float, float, float]:
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
    only: np.ndarray | None = None,
    alpha: float = 1.0,
    width: float | None = None,
    line: str = "-",
) -> None:
    """Draw skeletons `(moments, 69, 2)` side by side, each in an equal share of the width.

    Given the joints `only` `(moments, 69)` bool, just the bones that end in one of them.
    """
    left, right, bottom, top = bounds
    # Slots keep the proportions of a person however wide the strip is.
    slot = max(right - left, (bottom - top) * WIDTH * (1 - LABEL_SHARE) / MOMENTS / STRIP_HEIGHT)
    centres = (np.arange(len(pictures)) + 0.5) * slot - (left + right) / 2
    shown = np.ones(pictures.shape[:2], dtype=bool) if only is None else only
    for part, joints in PARTS.items():
        bones = np.array(DRAWN_BONES[part])
        pieces = np.full((len(pictures), len(bones), 3, 2), np.nan)  # a NaN after each bone lifts the pen
        pieces[:, :, :2] = pictures[:, joints][:, bones]
        pieces[..., 0] += centres[:, None, None]
        pieces[~shown[:, joints][:, bones].any(axis=-1)] = np.nan
        x, y = pieces.reshape(-1, 2).T
        stroke: dict[str, Any] = {"linewidth": width or STROKES[part], "linestyle": line, "solid_capstyle": "round"}
        axes.plot(x, y, color=colour, alpha=alpha, clip_on=False, **stroke)
    axes.set(xlim=(0, slot * len(pictures)), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_salient_parts(
    axes: Axes, pictures: np.ndarray, bounds: tuple[float, float, float, float], salience: np.ndarray
) -> None:
    """Lay the accent colour over each part of a strip, the stronger the more salient the part `(4,)`."""
    shares = salience / max(float(np.max(salience, initial=0)), 1e-12)
    for (part, joints), share in zip(PARTS.items(), shares.tolist(), strict=True):
        only = np.full_like(pictures, np.nan)
        only[:, joints] = pictures[:, joints]
        _draw_strip(axes, only, bounds, ACCENT, alpha=share, width=1.5 * STROKES[part])


def _draw_extent(axes: Axes, changed: np.ndarray, colour: str, *, alpha: float = 1.0) -> None:
    """A bar below the strip over the frames `(frames,)` that were changed: a strip shows only some of them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], changed, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2) / len(changed):
        axes.plot(
            [start, end],
            [0.02, 0.02],
            color=colour,
            alpha=alpha,
            linewidth=2.2,
            transform=axes.transAxes,
            clip_on=False,
        )


def _draw_salience(axes: Axes, salience: np.ndarray, frames: np.ndarray) -> None:
    """The curve over the whole clip, with a dot at each moment that the strips show."""
    times = np.arange(len(salience)) + 0.5
    axes.fill_between(times, salience, color=ACCENT, alpha=0.25, linewidth=0)
    axes.plot(times, salience, color=ACCENT, linewidth=1.3)
    axes.plot(times[frames], np.asarray(salience)[frames], ".", color=ACCENT, markersize=5)
    axes.set(
        xlim=(0, len(salience)), ylim=(0, max(float(np.max(salience, initial=0)) * 1.1, 1e-9)), xticks=[], yticks=[]
    )
    axes.spines["left"].set_visible(False)


def _label(axes: Axes, title: str, detail: str, colour: str) -> None:
    """A title, and one or two lines of detail, in the margin left of a strip."""
    above = {"color": colour, "weight": "bold", "va": "bottom"}
    for text, offset, style in ((title, 1, above), (detail, -1, {"alpha": 0.75, "va": "top"})):
        axes.annotate(text, (0, 0.5), (LABEL_OFFSET, offset), "axes fraction", "offset points", **style)
