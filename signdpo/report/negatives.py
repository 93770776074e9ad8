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
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from signdpo.levels import BY_NAME, COUNTERFACTUAL, LANGUAGE, SKELETON_LEVELS
from signdpo.report.differences import Stretch, stretches
from signdpo.report.svg import ACCENT, INK, report_style
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
LINE_HEIGHT: Final = 0.28
CHINESE_FONTS: Final = ("Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "SimHei")
ROUNDING: Final = 0.005  # clips are stored in half precision; hands and face are drawn at twice their coordinates

# Widths of the strokes of a skeleton, in points. Hands carry most of the meaning and are smallest.
STROKES: Final = {"body": 1.3, "left_hand": 0.75, "right_hand": 0.75, "face": 0.45}

Bounds = tuple[float, float, float, float]  # left, right, bottom and top of a picture


@dataclass(frozen=True)
class NegativeExample:
    """One clip with its negatives.

    Attributes:
        id: name of the clip.
        text: the chosen sentence.
        rejected_text: the language negative; empty if there is none.
        keypoints: `(frames, 69, 3)` normalised x, y, confidence.
        perturbed: the same for each skeleton level that was made, those that were left out included.
        frame_salience: `(frames,)`, any non-negative scale.
        part_salience: `(4,)` for the parts in the order of `signdpo.skeleton.layout.PARTS`.
        operations: name of what was done at each level.
        reference_margins: the reference policy's log p(chosen) - log p(rejected) by level, in nats.
        left_out: levels that teach nothing for this clip: the reference does not notice them, or nothing was changed.
        counterfactual: `(other frames, 69, 3)`, the clip with other signs in it; None if there is none.
        counterfactual_text: the sentence that is right there.
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
    counterfactual: np.ndarray | None = None
    counterfactual_text: str = ""

    def sentences(self) -> tuple[list[Stretch], list[Stretch]]:
        """The chosen and the rejected sentence, each cut where it differs from the other."""
        if not self.rejected_text:
            return [Stretch(self.text)], [Stretch("(none of the candidates was a usable wrong sentence)")]
        return stretches(self.text, self.rejected_text), stretches(self.rejected_text, self.text)


def negative_figure(example: NegativeExample, *, sentences: bool = False) -> Figure:
    """The clean strip, the salience over the same time, and a strip per level: what differs, over a faint clean clip.

    What a level lost is dotted where it was. With `sentences` the chosen and the rejected one stand below, what differs
    in bold, for a picture that leaves its page.
    """
    levels = [level for level in SKELETON_LEVELS if level in example.perturbed]
    frames = moments(len(example.keypoints))
    clean = to_picture(example.keypoints)
    bounds = bounds_of(clean)
    strips_below = len(levels) + (example.counterfactual is not None)
    heights = [STRIP_HEIGHT, SALIENCE_HEIGHT, *[STRIP_HEIGHT] * strips_below]
    below = SENTENCES_HEIGHT + LINE_HEIGHT * (example.counterfactual is not None) if sentences else 0.0
    height = sum(heights) + below
    grid = {"left": LABEL_SHARE, "right": 1, "top": 1, "bottom": below / height, "hspace": 0, "height_ratios": heights}
    with report_style():
        figure = Figure(figsize=(WIDTH, height))
        if sentences:
            _write_sentences(figure, example)
        recorded, salience, *strips = figure.subplots(len(heights), 1, gridspec_kw=grid)
        draw_moments(recorded, clean[frames], bounds, INK)
        shares = example.part_salience / max(float(np.max(example.part_salience, initial=0)), 1e-12)
        draw_moments(recorded, clean[frames], bounds, ACCENT, alpha=shares, width=1.5)
        _label(recorded, "recorded", f"{len(clean)} frames", INK)
        _draw_salience(salience, example.frame_salience, frames)
        _label(salience, "salience", "over time", ACCENT)
        if example.counterfactual is not None:  # of another length: as it is, not over the clip
            other, colour = to_picture(example.counterfactual), BY_NAME[COUNTERFACTUAL].colour
            draw_moments(strips[-1], other[moments(len(other))], bounds, colour)
            _label(strips.pop(), COUNTERFACTUAL, _detail(example, COUNTERFACTUAL), colour)
        for axes, level in zip(strips, levels, strict=True):
            perturbed = to_picture(example.perturbed[level])
            changed, lost = differs(perturbed, clean), is_lost(perturbed, clean)
            colour = BY_NAME[level].colour
            alpha = 0.35 if level in example.left_out else 1.0
            draw_moments(axes, clean[frames], bounds, INK, only=~lost[frames], alpha=0.25)
            draw_moments(axes, clean[frames], bounds, colour, only=lost[frames], alpha=alpha, line=":")
            draw_moments(axes, perturbed[frames], bounds, colour, only=changed[frames], alpha=alpha)
            # A strip shows only some of the frames that were changed; a bar below it shows all.
            spans = _spans(np.any(changed, axis=-1))
            bar: dict[str, Any] = {"color": colour, "alpha": alpha, "linewidth": 2.2, "transform": axes.transAxes}
            axes.plot(spans, np.full_like(spans, 0.02), clip_on=False, **bar)
            _label(axes, level.replace("_", " "), _detail(example, level), colour)
    return figure


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


def bounds_of(picture: np.ndarray) -> Bounds:
    """Bounds of the clip, with a margin: all strips share them, so that sizes compare."""
    points = picture[~np.isnan(picture).any(axis=-1)]
    if not len(points):
        return -1.0, 1.0, 1.0, -1.0
    # A stray joint must not make all skeletons small.
    (left, top), (right, bottom) = np.percentile(points, [0.2, 99.8], axis=0)
    margin = 0.06 * max(right - left, bottom - top, 0.1)
    return left - margin, right + margin, bottom + margin, top - margin


def bone_lines(pictures: np.ndarray, shown: np.ndarray) -> dict[str, np.ndarray]:
    """The bones of skeletons as one line per part; a NaN after each bone lifts the pen.

    Args:
        pictures: `(skeletons, 69, 2)`.
        shown: `(skeletons, 69)` bool; a bone is drawn if one of its ends is among these joints.

    Returns:
        part -> `(points, 2)`.
    """
    lines = {}
    for part, joints in PARTS.items():
        bones = np.array(DRAWN_BONES[part])
        pieces = np.full((len(pictures), len(bones), 3, 2), np.nan)
        pieces[:, :, :2] = pictures[:, joints][:, bones]
        pieces[~shown[:, joints][:, bones].any(axis=-1)] = np.nan
        lines[part] = pieces.reshape(-1, 2)
    return lines


def draw_moments(
    axes: Axes,
    pictures: np.ndarray,
    bounds: Bounds,
    colour: str,
    *,
    only: np.ndarray | None = None,
    alpha: float | np.ndarray = 1.0,
    width: float = 1.0,
    line: str = "-",
) -> None:
    """Draw skeletons `(moments, 69, 2)` side by side, each in an equal share of the width.

    Given the joints `only` `(moments, 69)` bool, just the bones that end in one of them; `alpha` may be one per part.
    """
    left, right, bottom, top = bounds
    # Slots keep the proportions of a person however wide the strip is.
    slot = max(right - left, (bottom - top) * WIDTH * (1 - LABEL_SHARE) / MOMENTS / STRIP_HEIGHT)
    centres = (np.arange(len(pictures)) + 0.5) * slot - (left + right) / 2
    shown = np.ones(pictures.shape[:2], dtype=bool) if only is None else only
    lines = bone_lines(pictures + centres[:, None, None] * [1.0, 0.0], shown)
    for (part, points), opacity in zip(lines.items(), np.broadcast_to(alpha, len(lines)).tolist(), strict=True):
        stroke: dict[str, Any] = {"linewidth": width * STROKES[part], "linestyle": line, "solid_capstyle": "round"}
        axes.plot(*points.T, color=colour, alpha=opacity, clip_on=False, **stroke)
    axes.set(xlim=(0, slot * len(pictures)), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _spans(chosen: np.ndarray) -> np.ndarray:
    """Starts and ends `(2, spans)`, as shares of the clip, of the runs of frames `(frames,)` bool that are true."""
    return np.flatnonzero(np.diff(chosen, prepend=False, append=False)).reshape(-1, 2).T / len(chosen)


def _draw_salience(axes: Axes, salience: np.ndarray, frames: np.ndarray) -> None:
    """The curve over the whole clip, with a dot at each moment that the strips show."""
    times = np.arange(len(salience)) + 0.5
    axes.fill_between(times, salience, color=ACCENT, alpha=0.25, linewidth=0)
    axes.plot(times, salience, color=ACCENT, linewidth=1.3)
    axes.plot(times[frames], np.asarray(salience)[frames], ".", color=ACCENT, markersize=5)
    top = max(float(np.max(salience, initial=0)) * 1.1, 1e-9)
    axes.set(xlim=(0, len(salience)), ylim=(0, top), xticks=[], yticks=[])
    axes.spines["left"].set_visible(False)


def _label(axes: Axes, title: str, detail: str, colour: str) -> None:
    """A title, and one or two lines of detail, in the margin left of a strip."""
    above = {"color": colour, "weight": "bold", "va": "bottom"}
    for text, offset, style in ((title, 1, above), (detail, -1, {"alpha": 0.75, "va": "top"})):
        axes.annotate(text, (0, 0.5), (LABEL_OFFSET, offset), "axes fraction", "offset points", **style)


def _detail(example: NegativeExample, level: str) -> str:
    operation = example.operations.get(level, "").replace("_", " ")
    margin = example.reference_margins.get(level)
    outcome = "" if margin is None else f"margin {margin:+.1f}"
    return f"{operation}\n{'left out' if level in example.left_out else outcome}".strip()


def _write_sentences(figure: Figure, example: NegativeExample) -> None:
    installed = set(font_manager.get_font_names())
    plain = {"size": 11.5, "family": ["sans-serif", *(font for font in CHINESE_FONTS if font in installed)]}
    chosen, rejected = example.sentences()
    lines = [("chosen", "", INK, chosen)]
    lines.append((LANGUAGE, _detail(example, LANGUAGE), BY_NAME[LANGUAGE].colour, rejected))
    if example.counterfactual is not None:
        right = stretches(example.counterfactual_text, example.text)
        lines.append((COUNTERFACTUAL, "", BY_NAME[COUNTERFACTUAL].colour, right))
    first = 0.7 + LINE_HEIGHT * (len(lines) - 2)
    for line, (name, detail, colour, pieces) in enumerate(lines):
        height = (first - LINE_HEIGHT * line) / figure.get_figheight()
        figure.text(0.004, height, name, color=colour, weight="bold", va="bottom")
        figure.text(0.004, height - 0.03 / figure.get_figheight(), detail, alpha=0.75, va="top")
        marked = {**plain, "color": BY_NAME[LANGUAGE].colour if colour == INK else colour, "weight": "bold"}
        words: list[Artist] = [
            TextArea(piece.text, textprops=marked if piece.differs else plain) for piece in pieces if piece.text
        ]
        row = HPacker(children=words, align="baseline", pad=0, sep=0)
        place: dict[str, Any] = {"bbox_to_anchor": (LABEL_SHARE, height), "bbox_transform": figure.transFigure}
        figure.add_artist(AnchoredOffsetbox("lower left", child=row, frameon=False, pad=0, borderpad=0, **place))
