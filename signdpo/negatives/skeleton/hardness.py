"""Hardness control: skeleton negatives that cost the reference too little or too much are drawn again, or masked.

The reference margin of a negative x_l is log r(y|x) - log r(y|x_l). Near or below 0 the perturbed clip may still mean
the sentence, and to reject it teaches brittleness; far above, nothing is left to tell apart. What lies outside the band
is drawn again with another seed, stronger or weaker, and masked if that does not help. A band in nats a sentence is too
high for short sentences and too low for long ones: with `unit: token` it is as wide as the sentence has tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signdpo.config import BandConfig, HardnessConfig, NegativesConfig
from signdpo.negatives.skeleton.negative import UNCHANGED, ClipToPerturb, SkeletonNegative, skeleton_negative

WEAKENING = 0.5  # factor of the strength after a negative that was too easy

# (rows, clips) -> `(n,)` log-probability of each row's sentence under a clip `(frames, 69, 3)`
Score = Callable[[Sequence[int], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Band:
    """The reference margins, in nats a sentence, of negatives worth learning from."""

    low: float
    high: float

    @classmethod
    def at(cls, epoch: int, epochs: int, ends: BandConfig, config: HardnessConfig, *, tokens: int) -> Band:
        """The band of an epoch, counted from 0: its upper end falls linearly by `harden` of its width in the last.

        Args:
            epoch: of the negative.
            epochs: of the run.
            ends: `hardness.skeleton` or `hardness.language`; an end that is None is open.
            config: unit, and how far the band narrows.
            tokens: of the right sentence, its end token included.
        """
        low = -math.inf if ends.min_margin is None else ends.min_margin
        high = math.inf if ends.max_margin is None else ends.max_margin
        if epochs > 1 and config.harden and math.isfinite(high - low):
            high -= epoch / (epochs - 1) * config.harden * (high - low)
        scale = tokens if config.unit == "token" else 1
        return cls(low * scale, high * scale)

    def __contains__(self, margin: float) -> bool:
        return self.low <= margin <= self.high

    def is_near(self, margin: float, noise: float) -> bool:
        """Whether an error of `noise` could decide on which side of an end a margin lies."""
        return min(abs(margin - self.low), abs(margin - self.high)) <= noise

    def adjusted(self, strength: float, margin: float) -> float:
        """The strength to try after a margin outside the band."""
        return strength * WEAKENING if margin > self.high else 1.0


@dataclass(frozen=True)
class DrawnNegative:
    """A skeleton negative that is not drawn again.

    Args:
        negative: the last that was drawn.
        margin: its reference margin in nats a sentence.
        redraws: how often it was drawn again.
        accepted: False masks the level for this clip.
    """

    negative: SkeletonNegative
    margin: float
    redraws: int
    accepted: bool


NOT_MADE = DrawnNegative(SkeletonNegative(torch.zeros(0), UNCHANGED, 0.0), math.nan, 0, accepted=False)


def draw_within_band(
    sources: Sequence[ClipToPerturb],
    chosen: Tensor,
    bands: Sequence[Band],
    score: Score,
    config: NegativesConfig,
    levels: Sequence[str],
    *,
    noise: float,
) -> list[dict[str, DrawnNegative]]:
    """The skeleton negatives of a batch of clips; those of a clip depend on no other clip.

    Args:
        sources: the clips.
        chosen: `(batch,)` reference log-probabilities of their sentences.
        bands: of each clip's epoch and sentence.
        score: the reference; called once a round with all negatives that were drawn in it.
        config: mixtures, strength and hardness.
        levels: skeleton levels to make.
        noise: by how much a log-probability may differ between batches. A margin so near to an end of the band that
            this decides is measured again with the clip alone; without that a level would be redrawn or not depending
            on the clips beside it. Rounding would only move the place where that happens.

    Returns:
        Level -> negative for each clip.
    """
    settled: list[dict[str, DrawnNegative]] = [{} for _ in sources]
    strengths = {(row, level): config.strength[level] for row in range(len(sources)) for level in levels}
    for redraw in range(config.hardness.redraws + 1 if strengths else 0):
        drawn = {
            (row, level): skeleton_negative(sources[row], level, config, strength=strength, redraw=redraw)
            for (row, level), strength in strengths.items()
        }
        strengths = {}
        for (row, level), margin in _margins(drawn, sources, chosen, bands, score, noise).items():
            negative = drawn[row, level]
            accepted = negative.operation != UNCHANGED and margin in bands[row]
            if not accepted and negative.operation != UNCHANGED and redraw < config.hardness.redraws:
                strengths[row, level] = bands[row].adjusted(negative.strength, margin)
            else:
                settled[row][level] = DrawnNegative(negative, margin, redraw, accepted)
        if not strengths:
            break
    return settled


def _margins(
    drawn: Mapping[tuple[int, str], SkeletonNegative],
    sources: Sequence[ClipToPerturb],
    chosen: Tensor,
    bands: Sequence[Band],
    score: Score,
    noise: float,
) -> dict[tuple[int, str], float]:
    rows = [row for row, _ in drawn]
    logps = score(rows, [negative.keypoints for negative in drawn.values()])
    margins = dict(zip(drawn, (chosen[torch.tensor(rows)] - logps).tolist(), strict=True))
    for (row, level), margin in margins.items():
        if bands[row].is_near(margin, noise):
            alone = [score([row], [clip]) for clip in (sources[row].keypoints, drawn[row, level].keypoints)]
            margins[row, level] = float(alone[0] - alone[1])
    return margins
