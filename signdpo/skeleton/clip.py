"""A clip: one signed utterance as 2-D keypoints over time, and its sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from signdpo.skeleton.layout import CHANNELS, NUM_JOINTS, PART_ROOTS, PARTS
from signdpo.text.printable import control_character

LARGEST_CONFIDENCE: Final = 20  # RTMPose does not normalise its scores, which exceed 1, and percent go to 100
LARGEST_COORDINATE: Final = 1e9  # beyond any picture, and small enough to be squared and added in float32


class BadClipError(ValueError):
    """A clip that cannot be read or makes no sense; its message is the reason written to the quarantine."""


@dataclass(frozen=True)
class Clip:
    """One signed utterance.

    Args:
        id: unique within the corpus.
        text: the reference sentence.
        keypoints: `(frames, 69, 3)` float32: x, y and confidence. Readers give image coordinates; what is stored and
            what models see is normalised (`signdpo.skeleton.normalisation`).
        gloss: the glosses in sign order, where the corpus has them. For analysis only, never for a loss.
        gloss_spans: `(len(gloss), 2)` int32: first and past-the-last frame of each gloss, where known.
        signer: who signs, where known.
        notes: what was decided in reading the clip that its user should know of, a sentence each; not stored.
    """

    id: str
    text: str
    keypoints: np.ndarray
    gloss: tuple[str, ...] = ()
    gloss_spans: np.ndarray | None = None
    signer: str = ""
    notes: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `BadClipError` with the reason if this clip, without holes, cannot be learned from."""
        if not self.text.strip():
            raise BadClipError("the sentence is empty")
        for what, text in (("sentence", self.text), ("id", self.id)):
            if found := control_character(text):
                raise BadClipError(f"the {what} holds the control character {found}")
        shape = self.keypoints.shape
        if len(shape) != 3 or shape[1:] != (NUM_JOINTS, CHANNELS):
            raise BadClipError(f"keypoints have shape {shape}, expected (frames, {NUM_JOINTS}, {CHANNELS})")
        if shape[0] == 0:
            raise BadClipError("the clip has no frames")
        sensible = np.abs(self.keypoints) <= LARGEST_COORDINATE
        if not sensible.all():  # NaN is not either
            first = tuple(np.argwhere(~sensible)[0])
            found = f"reach {self.keypoints[first]:g}" if np.isfinite(self.keypoints[first]) else "hold NaN or infinity"
            raise BadClipError(f"keypoints {found}, first in frame {first[0]}")
        if (largest := self.keypoints[..., 2].max()) > LARGEST_CONFIDENCE:
            raise BadClipError(
                f"confidences reach {largest:g}, expected 0 to 1: if they are percent, divide them by 100"
            )

    def without_holes(self) -> Clip:
        """This clip with zeros where joints are missing.

        A joint is missing if its confidence is NaN or negative, or if it is 0 and a coordinate is NaN or infinite.
        A hand or a face whose root is missing is missing as a whole: its coordinates would be relative to nothing.
        Coordinates that are no numbers under a confidence above 0 contradict themselves, and `check` refuses them.
        """
        confidence = self.keypoints[..., 2]  # (frames, 69)
        missing = ~(confidence >= 0) | ((confidence == 0) & ~np.isfinite(self.keypoints[..., :2]).all(axis=-1))
        if not missing.any():
            return self
        for part, root in PART_ROOTS.items():
            missing[:, PARTS[part]] |= missing[:, [root]]
        return replace(self, keypoints=np.where(missing[..., None], np.float32(0), self.keypoints))

    def sampled(self, limit: int) -> Clip:
        """This clip with at most `limit` frames, evenly spaced; the spans of glosses follow."""
        if len(self.keypoints) <= limit:
            return self
        frames = sample_frames(len(self.keypoints), limit)
        spans = None if self.gloss_spans is None else sampled_spans(self.gloss_spans, frames)
        return replace(self, keypoints=self.keypoints[frames], gloss_spans=spans)


def sampled_spans(spans: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Spans of frames, of any shape, int32, counted in the frames that were kept."""
    return np.searchsorted(frames, spans).astype(np.int32)


def sample_frames(num_frames: int, limit: int) -> np.ndarray:
    """Indices `(min(num_frames, limit),)` int64 of evenly spaced frames, the middles of `limit` equal stretches."""
    if num_frames <= limit:
        return np.arange(num_frames)
    return (2 * np.arange(limit) + 1) * num_frames // (2 * limit)


def draw_frames(num_frames: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Indices `(min(num_frames, limit),)` int64 of frames drawn without repetition, in order: as Uni-Sign samples."""
    if num_frames <= limit:
        return np.arange(num_frames)
    return np.sort(rng.choice(num_frames, limit, replace=False))
