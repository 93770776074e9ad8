"""The choice of the signer among the people of a clip, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.people import MAX_PEOPLE, People


def sighting(x: float, size: float = 10.0, confidence: float = 0.8) -> np.ndarray:
    """Joints over a square at `x`."""
    keypoints = np.zeros((69, 3), np.float32)
    keypoints[::2, :2] = size
    keypoints[:, 0] += x
    keypoints[:, 2] = confidence
    return keypoints


def people(*frames: list[np.ndarray]) -> People:
    sightings = [one for frame in frames for one in frame]
    numbers = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    return People(np.array(sightings, np.float32).reshape(-1, 69, 3), numbers, len(frames))


def test_nobody_at_all_is_a_clip_of_holes() -> None:
    keypoints, notes = people([], []).signer("only")
    assert keypoints.shape == (2, 69, 3)
    assert not keypoints.any()
    assert notes == ()


def test_a_clip_of_one_person_is_handed_on_as_it_is() -> None:
    alone = people([sighting(1)], [sighting(2)])
    assert alone.signer("only")[0] is alone.keypoints


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (sighting(50, 4.9), "too small"),  # less than half of the size
        (sighting(50, 5.1), ""),
        (sighting(50, 12, 0.3), "too faint"),  # not above the threshold on average
        (sighting(50, 12, 0.35), ""),
    ],
)
def test_who_is_small_or_faint_is_left_out(other: np.ndarray, why: str) -> None:
    for both in (people(*[[sighting(0), other]] * 4), people(*[[other, sighting(0)]] * 4)):
        if why:
            assert both.signer("only")[1] == (f"someone else was left out as {why}",)
        else:
            with pytest.raises(BadClipError, match="two people may be the signer: one is in 4 frames, the other in 4"):
                both.signer("only")


def test_the_size_of_another_signer_is_told() -> None:
    with pytest.raises(BadClipError, match="at 51% of the size"):
        people(*[[sighting(0), sighting(50, 5.1)]] * 4).signer("only")


@pytest.mark.parametrize(("frames", "kept"), [(4, True), (5, False)])
def test_short_lived_is_in_less_than_a_quarter_of_the_frames(frames: int, kept: bool) -> None:
    both = people(*[[sighting(0), sighting(50)]] * frames, *[[sighting(0)]] * (20 - frames))
    if kept:
        assert both.signer("only")[1] == ("someone else was left out as too short-lived",)
    else:
        with pytest.raises(BadClipError, match="one is in 20 frames, the other in 5"):
            both.signer("only")


def test_joints_that_the_source_does_not_have_make_nobody_faint() -> None:
    """Two bodies without hands and faces, 9 of 69 joints, are two people."""
    body = sighting(0), sighting(50)
    for one in body:
        one[9:] = 0
    with pytest.raises(BadClipError, match="two people may be the signer"):
        people(*[list(body)] * 3).signer("only")


def test_kinds_of_others_are_all_named() -> None:
    frames = [[sighting(0), sighting(50, 3), sighting(90, 10, 0.1)]] * 8
    frames[2] = [*frames[2], sighting(200)]
    assert people(*frames).signer("only")[1] == (
        "someone else was left out as too faint",
        "someone else was left out as too short-lived",
        "someone else was left out as too small",
    )


def test_a_crowd_is_refused_and_many_people_take_no_time() -> None:
    crowd = [sighting(20.0 * place, confidence=0.1 if place else 0.9) for place in range(MAX_PEOPLE)]
    keypoints, _ = people(*[crowd, crowd[::-1]] * 10).signer("only")
    assert (keypoints[:, 0, 0] == 10).all()
    with pytest.raises(BadClipError, match="frame 0 has 101 people, at most 100 are read"):
        people([*crowd, sighting(0)]).signer("first")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_none_do_not_hurt_the_choice(number: float) -> None:
    broken = sighting(50)
    broken[:, 0] = number
    keypoints, _ = people(*[[sighting(0), broken]] * 3).signer("first")
    assert np.isfinite(keypoints).all()
    for choice in ("largest", "most_confident", "tracked"):
        people(*[[sighting(0), broken]] * 3).signer(choice)
