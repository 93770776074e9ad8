"""From glosses to keypoints: timing, coarticulation, the signer's style, and the noise of a pose estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from signdpo.corpora.synthetic.anatomy import skeleton
from signdpo.corpora.synthetic.lexicon import SIGNS, Sign
from signdpo.corpora.synthetic.phonology import EXPRESSIONS, HANDSHAPES, LOCATIONS, MOVEMENTS, ORIENTATIONS
from signdpo.skeleton.layout import NUM_JOINTS, PARTS

SIGN_FRAMES: Final = 6.0  # of a sign, at speed 1
TRANSITION_FRAMES: Final = 2.0  # between two signs, at speed 1
REST_FRAMES: Final = 1  # hands at rest at either end

# A hand's row: wrist x, y, z; five curls; spread; turns in the image plane, towards the camera, about the forearm.
_WRIST, _CURLS, _SPREAD, _TURNS = slice(0, 3), slice(3, 8), 8, slice(9, 12)
_REST_HAND: Final = np.array([-0.60, 1.38, 0.15, 0.3, 0.3, 0.35, 0.4, 0.45, 0.1, np.pi, 0.0, 0.5 * np.pi])
_BASE_HAND: Final = np.array([-0.08, 0.74, 0.45, 0.2, 0.0, 0.0, 0.0, 0.0, 0.1, 0.42 * np.pi, 0.2, 0.75 * np.pi])
_SMOOTHING: Final = np.array([0.2, 0.6, 0.2])

# Standard deviations at noise 1. Of a sign: the place (shoulder widths), curls, turns (radians) and the size of its
# movement. Of a joint in a frame: body, hands and face in shoulder widths.
_PLACE_NOISE, _CURL_NOISE, _TURN_NOISE, _AMPLITUDE_NOISE = 0.04, 0.07, 0.10, 0.10
_JOINT_NOISE: Final = {"body": 0.012, "left_hand": 0.012, "right_hand": 0.012, "face": 0.005}
_DROPPED_JOINTS: Final = 0.02  # share of joints the estimator misses
_GUESS_ERROR: Final = 0.1  # of the place of a missed joint, in shoulder widths
_GUESS_CONFIDENCE: Final = 0.25  # highest of a missed joint; 0.3 is where a joint begins to count
_DROPPED_HANDS: Final = 0.015  # share of frames in which it starts to lose a hand for one to four frames


@dataclass(frozen=True, eq=False)
class Signer:
    """How one person signs.

    Args:
        name: identifies the signer.
        scale: shoulder width as a share of the image.
        centre: where the middle of the shoulders is in the image, `(2,)`.
        tilt: of the camera, in radians.
        hand_size: relative to the body, 1 on average.
        speed: 1 on average.
        amplitude: size of movements, 1 on average.
        expressiveness: strength of facial expressions, 1 on average.
        coarticulation: how far, 0 to 1, locations are drawn to those before and after.
        places: personal shift of each location, `(locations, 3)` in shoulder widths.
        curls: personal shift of each handshape's curls, `(handshapes, 5)`.
    """

    name: str
    scale: float
    centre: np.ndarray
    tilt: float
    hand_size: float
    speed: float
    amplitude: float
    expressiveness: float
    coarticulation: float
    places: np.ndarray
    curls: np.ndarray


@lru_cache(maxsize=256)
def make_signer(index: int, seed: int) -> Signer:
    """The signer of a given number; the same for equal `index` and `seed`, however many signers there are."""
    rng = np.random.default_rng([seed, index])
    return Signer(
        name=f"signer_{index}",
        scale=rng.uniform(0.19, 0.24),
        centre=np.array([0.5, 0.36]) + rng.normal(0.0, 0.015, 2),
        tilt=rng.normal(0.0, 0.03),
        hand_size=rng.uniform(0.9, 1.1),
        speed=rng.uniform(0.85, 1.15),
        amplitude=rng.uniform(0.8, 1.2),
        expressiveness=rng.uniform(0.6, 1.2),
        coarticulation=rng.uniform(0.08, 0.25),
        places=rng.normal(0.0, 0.03, (len(LOCATIONS), 3)),
        curls=rng.normal(0.0, 0.05, (len(HANDSHAPES), 5)),
    )


def render(
    gloss: Sequence[str], signer: Signer, seed: int | Sequence[int], noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Sign a sequence of glosses.

    Args:
        gloss: keys of `SIGNS`, in sign order.
        signer: who signs.
        seed: decides timing and noise; with it and the number of glosses equal, so is the timing.
        noise: scale of all variation that is not the signer's own, 0 for none.

    Returns:
        keypoints `(frames, 69, 3)` float32: x and y as shares of the image, y down, and the confidence. A joint that
        was missed is a poor guess of low confidence, as pose estimators report it. And gloss spans
        `(len(gloss), 2)` int32: first and past-the-last frame of each sign.

    Raises:
        ValueError: for a gloss that is not in the lexicon, or no gloss at all.
    """
    unknown = [name for name in gloss if name not in SIGNS]
    if unknown or not gloss:
        raise ValueError(f"cannot sign {list(gloss)}: {unknown or 'no gloss'} is not in the synthetic lexicon")
    rng = np.random.default_rng(seed)
    signs = [SIGNS[name] for name in gloss]
    frames, spans = _schedule(len(signs), signer, rng)
    tracks = _tracks(signs, frames, spans, signer, noise, rng)
    points = skeleton(*tracks, signer.hand_size)
    return _estimate(points, signer, noise, rng), spans


def _schedule(count: int, signer: Signer, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """The number of frames of a clip and the spans `(count, 2)` of its signs."""
    speed = signer.speed * rng.uniform(0.9, 1.1)
    durations = np.maximum(3, np.rint(SIGN_FRAMES / speed * rng.uniform(0.8, 1.2, count)))
    gaps = np.maximum(1, np.rint(TRANSITION_FRAMES / speed * rng.uniform(0.7, 1.3, count + 1)))
    gaps[[0, -1]] += REST_FRAMES
    ends = np.cumsum(durations + gaps[:-1])
    spans = np.stack([ends - durations, ends], axis=1).astype(np.int32)
    return int(ends[-1] + gaps[-1]), spans


def _tracks(
    signs: Sequence[Sign], frames: int, spans: np.ndarray, signer: Signer, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right hand `(frames, 12)`, left hand `(frames, 12)`, mirrored, and expression `(frames, 5)` of a clip."""
    right, left = np.tile(_REST_HAND, (frames, 1)), np.tile(_REST_HAND, (frames, 1))
    face = np.zeros((frames, 5))
    known = np.zeros(frames, dtype=bool)
    known[[0, -1]] = True
    places = _places(signs, signer, noise, rng)
    for sign, place, (start, end) in zip(signs, places, spans, strict=True):
        progress = (np.arange(end - start) + 0.5) / (end - start)
        acting = _acting_hand(sign, place, progress, signer, noise, rng)
        right[start:end] = acting
        if sign.hands == "both":
            left[start:end] = acting
        elif sign.hands == "base":
            left[start:end] = _BASE_HAND
        face[start:end] = signer.expressiveness * _expression(sign, progress)
        known[start:end] = True
    return _join(right, known), _join(left, known), _join(face, known)


def _places(signs: Sequence[Sign], signer: Signer, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Where each sign is made `(signs, 3)`: the location as this signer has it, drawn to its neighbours."""
    names = list(LOCATIONS)
    indices = [names.index(sign.location) for sign in signs]
    places = np.array([LOCATIONS[sign.location] for sign in signs]) + signer.places[indices]
    places += noise * rng.normal(0.0, _PLACE_NOISE, places.shape)
    padded = np.pad(places, ((1, 1), (0, 0)), mode="edge")
    return places + signer.coarticulation * ((padded[:-2] + padded[2:]) / 2 - places)


def _acting_hand(
    sign: Sign, place: np.ndarray, progress: np.ndarray, signer: Signer, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """The right hand during a sign, `(len(progress), 12)`; `progress` runs from 0 to 1."""
    movement = MOVEMENTS[sign.movement]
    amplitude = signer.amplitude * max(0.2, 1.0 + noise * rng.normal(0.0, _AMPLITUDE_NOISE))
    back_and_forth = np.sin(3 * np.pi * progress)[:, None]
    turn = 2 * np.pi * progress
    hand = np.empty((len(progress), len(_REST_HAND)))
    hand[:, _WRIST] = place
    hand[:, :2] += amplitude * (
        (progress[:, None] - 0.5) * movement.line
        + np.sin(np.pi * progress)[:, None] * movement.bow
        + movement.circle * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        + back_and_forth * movement.beat
    )
    if sign.hands == "both":  # two hands need room side by side
        hand[:, 0] -= 0.2

    names = list(HANDSHAPES)
    shapes = [sign.handshape, sign.end_handshape or sign.handshape]
    curls = np.array([HANDSHAPES[shape].curls for shape in shapes]) + signer.curls[[names.index(s) for s in shapes]]
    spreads = [HANDSHAPES[shape].spread for shape in shapes]
    opening = np.clip(2 * progress - 0.5, 0.0, 1.0)[:, None]  # the handshape changes in the middle half of the sign
    alternating = back_and_forth * np.array([0, 1, -1, 1, -1])
    hand[:, _CURLS] = curls[0] + opening * (curls[1] - curls[0]) + movement.wiggle * alternating
    hand[:, _CURLS] += noise * rng.normal(0.0, _CURL_NOISE, 5)
    hand[:, _CURLS] = np.clip(hand[:, _CURLS], -0.1, 1.1)
    hand[:, _SPREAD] = spreads[0] + opening[:, 0] * (spreads[1] - spreads[0])
    hand[:, _TURNS] = np.array(ORIENTATIONS[sign.orientation]) + noise * rng.normal(0.0, _TURN_NOISE, 3)
    hand[:, 11] += movement.twist * back_and_forth[:, 0]
    return hand


def _expression(sign: Sign, progress: np.ndarray) -> np.ndarray:
    """The face during a sign, `(len(progress), 5)`: mouth open, wide, corners; nod and turn in radians."""
    height = EXPRESSIONS[sign.expression]
    values = np.array([height.mouth_open, height.mouth_wide, height.mouth_corners, height.nod, height.shake])
    face = np.tile(values, (len(progress), 1))
    face[:, 4] *= np.sin(3 * np.pi * progress)
    return face


def _join(track: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill the frames between signs and round off the corners, which blurs neighbouring signs into each other."""
    frames = np.arange(len(track))
    joined = np.stack([np.interp(frames, frames[known], channel[known]) for channel in track.T], axis=1)
    padded = np.pad(joined, ((1, 1), (0, 0)), mode="edge")
    return _SMOOTHING[0] * padded[:-2] + _SMOOTHING[1] * joined + _SMOOTHING[2] * padded[2:]


def _estimate(points: np.ndarray, signer: Signer, noise: float, rng: np.random.Generator) -> np.ndarray:
    """What a pose estimator would report of the joints `(frames, 69, 2)` in shoulder widths."""
    frames = len(points)
    spread = np.concatenate([np.full(part.stop - part.start, _JOINT_NOISE[name]) for name, part in PARTS.items()])
    points = points + noise * rng.normal(size=points.shape) * spread[:, None]
    cos, sin = np.cos(signer.tilt), np.sin(signer.tilt)
    image = signer.centre + signer.scale * (points @ np.array([[cos, sin], [-sin, cos]]))

    confidence = np.clip(1.0 - noise * np.abs(rng.normal(0.0, 0.1, (frames, NUM_JOINTS))), 0.3, 1.0)
    missed = rng.random((frames, NUM_JOINTS)) < noise * _DROPPED_JOINTS
    for hand in ("left_hand", "right_hand"):
        for start in np.flatnonzero(rng.random(frames) < noise * _DROPPED_HANDS):
            missed[start : start + rng.integers(1, 5), PARTS[hand]] = True
    # Real estimators guess where they do not see. A zero instead would move a whole hand wherever its root is missed,
    # since hands are stored relative to their root.
    guesses = image + _GUESS_ERROR * signer.scale * rng.normal(size=image.shape)
    image = np.where(missed[..., None], guesses, image)
    confidence = np.where(missed, rng.uniform(0.0, _GUESS_CONFIDENCE, missed.shape), confidence)
    return np.concatenate([image, confidence[..., None]], axis=-1).astype(np.float32)
