"""Several people in the frames of a clip: one rule, whatever the format."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.crowds import WRITERS, Frames, Somebody, pickled, write_crowd

from signdpo.skeleton.clip import BadClipError, Clip

pytest.importorskip("pose_format", reason="the group poses is not installed")
every_format = pytest.mark.parametrize("kind", WRITERS)

SIGNER, TWIN = Somebody(100), Somebody(400)
GHOST = Somebody(400, confidence=0.15)
CHILD = Somebody(400, size=40)


def read(kind: str, root: Path, frames: Frames, **corpus: Any) -> Clip:
    source = write_crowd(kind, root, frames, **corpus)
    return source.read(source.entries("train")[0])


def places(clip: Clip) -> list[float | None]:
    """Where the person of each frame stands, None where nobody does."""
    return [float(frame[:9, 0].min()) if frame[:, 2].any() else None for frame in clip.keypoints[:, [0, 3, 4]]]


@every_format
@pytest.mark.parametrize(
    ("frames", "note"),
    [
        ([[SIGNER, GHOST]] * 4, "too faint"),
        ([[GHOST, SIGNER]] * 4, "too faint"),
        ([[SIGNER, CHILD], [CHILD, SIGNER]] * 2, "too small"),
        ([[TWIN, SIGNER], *[[SIGNER]] * 8], "too short-lived"),
    ],
)
def test_the_one_signer_is_kept_and_the_clip_says_so(kind: str, tmp_path: Path, frames: Frames, note: str) -> None:
    clip = read(kind, tmp_path, frames)
    assert places(clip) == [100] * len(frames)
    assert clip.notes == (f"someone else was left out as {note}",)


@every_format
@pytest.mark.parametrize("frames", [[[SIGNER, TWIN]] * 4, [[SIGNER, TWIN], [TWIN, SIGNER], [SIGNER], [TWIN]]])
def test_two_signers_are_refused_with_the_remedy(kind: str, tmp_path: Path, frames: Frames) -> None:
    with pytest.raises(BadClipError, match=r"two people may be the signer: .*corpus\.person=largest, most_confident"):
        read(kind, tmp_path, frames)


@every_format
@pytest.mark.parametrize(("person", "expected"), [("largest", 400), ("most_confident", 100), ("first", 700)])
def test_the_configuration_says_whom_to_keep(kind: str, tmp_path: Path, person: str, expected: float) -> None:
    people = [Somebody(700), Somebody(100, confidence=0.9), Somebody(400, size=130)]
    clip = read(kind, tmp_path, [people] * 3, person=person)
    assert places(clip) == [expected] * 3
    assert clip.notes == (f"someone else was left out: corpus.person={person}",)


@every_format
def test_who_is_seen_in_most_frames_is_kept_however_small_and_faint(kind: str, tmp_path: Path) -> None:
    seldom = Somebody(400, size=300, confidence=0.9)
    frames = [[seldom, SIGNER], [seldom, SIGNER], [SIGNER], [SIGNER, seldom], [SIGNER]]
    for choice, expected in (("tracked", 100), ("largest", 400)):
        clip = read(kind, tmp_path / choice, frames, person=choice)
        assert {place for place in places(clip) if place is not None} == {expected}


@every_format
def test_a_frame_without_anyone_is_a_hole(kind: str, tmp_path: Path) -> None:
    clip = read(kind, tmp_path, [[], [SIGNER], [], [SIGNER, GHOST], []])
    assert places(clip) == [None, 100, None, 100, None]
    assert not clip.keypoints[[0, 2, 4]].any()


@every_format
def test_the_signer_is_followed_where_the_order_of_people_changes(kind: str, tmp_path: Path) -> None:
    """Both walk to the right, and the file lists them by chance; the signer is missed in one frame."""
    frames = []
    for number in range(8):
        frame = [Somebody(100 + 20 * number), Somebody(500 + 20 * number, size=80)]
        frames.append(frame[:: (-1) ** number])
    frames[5] = [Somebody(500 + 20 * 5, size=80)]
    expected = [None if number == 5 else 100 + 20 * number for number in range(8)]
    assert places(read(kind, tmp_path, frames, person="largest")) == expected


@every_format
def test_one_person_is_nobody_elses_business(kind: str, tmp_path: Path) -> None:
    clip = read(kind, tmp_path, [[Somebody(100 + frame)] for frame in range(3)])
    assert places(clip) == [100, 101, 102]
    assert clip.notes == ()


def test_who_counts_decides_what_is_read(tmp_path: Path) -> None:
    """So that clips are made anew when the choice changes."""
    for kind in ("uni_sign", "npz"):
        sources = [write_crowd(kind, tmp_path, [[SIGNER]], person=person) for person in ("only", "first")]
        assert sources[0].reading != sources[1].reading


@pytest.mark.parametrize(
    "nobody",
    [
        [np.empty((0, 133, 2)), np.empty((0, 133))],
        [np.empty((0,)), np.empty((0,))],
        [[], []],
        [None, None],
        [np.zeros((1, 133, 2)), np.zeros((1, 133))],
    ],
)
def test_a_pickle_says_in_several_ways_that_nobody_is_there(tmp_path: Path, nobody: list[Any]) -> None:
    source = write_crowd("uni_sign", tmp_path, [[SIGNER]] * 3)
    content = pickled([[SIGNER]] * 3)
    content["keypoints"][1], content["scores"][1] = nobody
    (tmp_path / "pose_format" / "a.pkl").write_bytes(pickle.dumps(content))
    assert places(source.read(source.entries("train")[0])) == [100, None, 100]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("lists", [False, True])
def test_arrays_without_an_axis_of_people_are_one_person(
    tmp_path: Path, whole: bool, column: bool, lists: bool
) -> None:
    source = write_crowd("uni_sign", tmp_path, [[SIGNER]] * 3)
    entry = source.entries("train")[0]
    expected = source.read(entry).keypoints
    content = {name: [frame[0] for frame in frames] for name, frames in pickled([[SIGNER]] * 3).items()}
    if column:
        content["scores"] = [frame[:, None] for frame in content["scores"]]
    if whole:
        content = {name: np.stack(frames) for name, frames in content.items()}  # type: ignore[misc]
    if lists:
        content = {name: [frame.tolist() for frame in frames] for name, frames in content.items()}
    (tmp_path / "pose_format" / "a.pkl").write_bytes(pickle.dumps(content))
    np.testing.assert_array_equal(source.read(entry).keypoints, expected)
