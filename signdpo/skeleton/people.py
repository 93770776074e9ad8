"""Whom a clip shows: its one signer, among all people whom a pose estimator saw in the frames.

Estimators look at each frame alone. They miss the signer here and there, see a ghost in a poster or a passer-by, and
list people in an order of their own. So people are followed over the frames before anybody is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import CHANNELS, NUM_JOINTS
from signdpo.skeleton.normalisation import CONFIDENCE_THRESHOLD

PersonChoice = Literal["only", "largest", "most_confident", "tracked", "first"]

MAX_PEOPLE: Final = 100  # in a frame, whom an estimator may have believed to see
# Of the signer's, what somebody else has who may be the signer instead.
LEAST_SIZE: Final = 0.5
LEAST_PRESENCE: Final = 0.25


@dataclass(frozen=True)
class People:
    """Everybody who was seen in a clip.

    Args:
        keypoints: `(sightings, 69, 3)` float32: x, y (any one unit) and confidence, in the order of the frames, and
            within a frame in that of the file.
        frames: `(sightings,)` int, ascending: the frame of each sighting.
        num_frames: of the clip. A frame without a sighting is a hole: all its joints are absent.
        notes: what is to be said of the file, a sentence each.
    """

    keypoints: np.ndarray
    frames: np.ndarray
    num_frames: int
    notes: tuple[str, ...] = ()

    def signer(self, choice: PersonChoice) -> tuple[np.ndarray, tuple[str, ...]]:
        """The keypoints of the one person who signs, and what is to be said of the file and of the others.

        Args:
            choice: `only`: whoever is seen most, where everybody else is small (less than half of the signer's size),
                faint (mean confidence not above 0.3) or short-lived (in less than a quarter as many frames);
                `largest` or `most_confident`: who is so, summed over the frames of the clip; `tracked`: who is seen in
                most frames, however large or sure; `first`: in each frame whom the file lists first.

        Returns:
            `(num_frames, 69, 3)` float32, zeros in frames without the signer; and the notes, with a sentence for each
            kind of people who were left out, none if nobody was.

        Raises:
            BadClipError: if there are more than 100 people in a frame, or two whom `only` cannot tell apart.
        """
        seen = (self.keypoints[..., 2] > 0).any(axis=1)  # (sightings,)
        keypoints, frames = (self.keypoints, self.frames) if seen.all() else (self.keypoints[seen], self.frames[seen])
        counts = np.bincount(frames, minlength=self.num_frames)
        if counts.max(initial=0) > MAX_PEOPLE:
            raise BadClipError(f"frame {counts.argmax()} has {counts.max()} people, at most {MAX_PEOPLE} are read")
        if counts.max(initial=0) <= 1:
            return _in_clip(keypoints, frames, self.num_frames), self.notes
        if choice == "first":
            _, chosen = np.unique(frames, return_index=True)
            notes: tuple[str, ...] = ("someone else was left out: corpus.person=first",)
        else:
            chosen, notes = _chosen(keypoints, frames, choice)
        return _in_clip(keypoints[chosen], frames[chosen], self.num_frames), (*self.notes, *notes)


def _in_clip(keypoints: np.ndarray, frames: np.ndarray, num_frames: int) -> np.ndarray:
    """`(num_frames, 69, 3)` of sightings of one person, at most one in each frame."""
    if len(frames) == num_frames:
        return keypoints
    clip = np.zeros((num_frames, NUM_JOINTS, CHANNELS), dtype=np.float32)
    clip[frames] = keypoints
    return clip


def _chosen(keypoints: np.ndarray, frames: np.ndarray, choice: PersonChoice) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which sightings are of the signer, and what is to be said of the others."""
    boxes = _boxes(keypoints)
    person = _followed(boxes, frames)  # (sightings,)
    estimated = (keypoints[..., 2] > 0).any(axis=0)  # a source without hands or face says nothing of theirs
    confidences = np.clip(np.nan_to_num(keypoints[:, estimated, 2]), 0, 1).mean(axis=1)  # (sightings,)
    sizes = boxes[:, 2]
    weights = {
        "only": sizes * confidences,
        "largest": sizes,
        "most_confident": confidences,
        "tracked": np.ones(len(person)),
    }
    signer = int(np.bincount(person, weights[choice]).argmax())
    sightings = np.flatnonzero(person == signer)
    if choice != "only":
        return sightings, (f"someone else was left out: corpus.person={choice}",)
    notes = set()
    for other in range(person.max() + 1):
        theirs = np.flatnonzero(person == other)
        size = np.median(sizes[theirs]) / max(np.median(sizes[sightings]), np.finfo(float).tiny)
        if other == signer:
            continue
        if confidences[theirs].mean() <= CONFIDENCE_THRESHOLD:
            notes.add("someone else was left out as too faint")
        elif size < LEAST_SIZE:
            notes.add("someone else was left out as too small")
        elif len(theirs) < LEAST_PRESENCE * len(sightings):
            notes.add("someone else was left out as too short-lived")
        else:
            raise BadClipError(
                f"two people may be the signer: one is in {len(sightings)} frames, the other in {len(theirs)}, at "
                f"{size:.0%} of the size; say whom to keep with corpus.person=largest, most_confident, tracked or first"
            )
    return sightings, tuple(sorted(notes))


def _boxes(keypoints: np.ndarray) -> np.ndarray:
    """`(sightings, 3)` float64: the centre and the longer side of the box around the confident joints of each."""
    confidence = np.nan_to_num(keypoints[..., 2])
    # The joints of a faint sighting have a place, too: the better half of them.
    least = np.minimum(CONFIDENCE_THRESHOLD, confidence.max(axis=1, keepdims=True) / 2)
    inside = (confidence > least)[..., None] & np.isfinite(keypoints[..., :2])  # (sightings, 69, 2)
    positions = keypoints[..., :2].astype(np.float64)
    low = np.where(inside, positions, np.inf).min(axis=1)  # (sightings, 2)
    high = np.where(inside, positions, -np.inf).max(axis=1)
    somewhere = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(somewhere, low, 0), np.where(somewhere, high, 0)
    return np.concatenate([(low + high) / 2, (high - low).max(axis=1, keepdims=True)], axis=1)


def _followed(boxes: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """`(sightings,)` int: the number of the person that each is of, from 0.

    In each frame the nearest of the pairs of a sighting and a person, as last seen, is the same person, then the
    nearest of the others; a sighting that is left is somebody new. Nearness is that of the places, in sizes of the
    person, and of the sizes, as the logarithm of their ratio.
    """
    person = np.empty(len(boxes), dtype=np.int64)
    known = np.empty((0, 3))
    for sightings in np.split(np.arange(len(boxes)), np.flatnonzero(np.diff(frames)) + 1):
        here = boxes[sightings]
        costs = _distances(here, known)  # (sightings, people)
        new = np.ones(len(here), dtype=bool)
        for _ in range(min(costs.shape)):
            mine, theirs = np.unravel_index(costs.argmin(), costs.shape)
            person[sightings[mine]], known[theirs], new[mine] = theirs, here[mine], False
            costs[mine], costs[:, theirs] = np.inf, np.inf
        person[sightings[new]] = len(known) + np.arange(new.sum())
        known = np.concatenate([known, here[new]])
    return person


def _distances(here: np.ndarray, known: np.ndarray) -> np.ndarray:
    sizes = [np.maximum(boxes[:, 2], np.finfo(np.float32).tiny) for boxes in (here, known)]
    apart = np.hypot(*(here[:, None, axis] - known[None, :, axis] for axis in (0, 1)))
    distances: np.ndarray = apart / sizes[1] + np.abs(np.log(sizes[0][:, None] / sizes[1]))
    return distances
