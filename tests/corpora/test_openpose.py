"""The reader of OpenPose's folders, in the tree of How2Sign and in a plain one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.openpose import CLIP, frame, person, write_clip

from signdpo.config import CorpusConfig
from signdpo.corpora.openpose import OpenPoseSource
from signdpo.corpora.source import MISSING
from signdpo.skeleton.clip import BadClipError, Clip

HOW2SIGN = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\n"


def open_at(root: Path, **settings: Any) -> OpenPoseSource:
    return OpenPoseSource(CorpusConfig(kind="openpose", root=str(root), **settings))


def read(root: Path, frames: list[str] | None = None) -> np.ndarray:
    """The clip of `root/clip`, made of these frames."""
    (root / "labels.csv").write_text("id,text,split\nclip,word,train\n")
    if frames is not None:
        write_clip(root / "clip", frames)
    source = open_at(root)
    return source.read(source.entries("train")[0]).keypoints


def test_joints_come_from_all_four_parts(tmp_path: Path) -> None:
    keypoints = read(tmp_path, [frame(person(x=100))])
    assert keypoints.shape == (1, 69, 3)
    assert keypoints[0, :9, 0].tolist() == [100 + joint for joint in (0, 18, 17, 5, 2, 6, 3, 7, 4)]
    assert keypoints[0, 9:30, 0].tolist() == keypoints[0, 30:51, 0].tolist() == list(range(100, 121))
    assert keypoints[0, 51:, 1].tolist() == [*range(10, 27, 2), *range(70, 78), 40]
    assert (keypoints[..., 2] == 0.5).all()


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in (10, 9, 11):  # 9 without leading zeros sorts last by name
        (folder / f"v2_{number}_keypoints.json").write_text(frame(person(x=number)))
    (folder / "notes.txt").write_text("ignored")
    assert read(tmp_path)[:, 0, 0].tolist() == [9, 10, 11]


def test_a_frame_without_people_has_no_joint(tmp_path: Path) -> None:
    keypoints = read(tmp_path, [frame(person()), frame(), frame(person(confidence=0))])
    assert keypoints[:, :, 2].any(axis=1).tolist() == [True, False, False]
    assert not keypoints[1:].any()


def test_a_part_openpose_was_not_asked_for_is_absent(tmp_path: Path) -> None:
    keypoints = read(tmp_path, [frame(person(face_keypoints_2d=[], hand_left_keypoints_2d=[]))])
    assert keypoints[0, :, 2].astype(bool).tolist() == [*[True] * 9, *[False] * 21, *[True] * 21, *[False] * 18]


def test_a_second_detection_without_confidence_is_nobody(tmp_path: Path) -> None:
    assert read(tmp_path, [frame(person(x=5, confidence=0), person(x=7))])[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([frame(person(), person(x=5))], "two people may be the signer"),
        ([frame(*[{}] * 101)], "0_keypoints.json: there are 101 people, at most 100"),
        (
            [frame(person(pose_keypoints_2d=[0] * 45))],
            "0_keypoints.json: pose_keypoints_2d has 45 numbers, expected 75 or 54",
        ),
        ([frame(person(pose_keypoints_2d={}))], "pose_keypoints_2d has a dict, expected 75 or 54"),
        ([frame(person(face_keypoints_2d=[0] * 54))], "face_keypoints_2d has 54 numbers, expected 210"),
        ([frame({"body_parts": [1, 2, 3]})], "0_keypoints.json: a person has 'body_parts', expected pose_keypoints_2d"),
        ([frame(person(hand_left_keypoints_2d=["1"] * 63))], "hand_left_keypoints_2d holds something that is not a"),
        (["{}"], "is no frame of OpenPose's JSON: KeyError: 'people'"),
        (["[]"], "is no frame of OpenPose's JSON: TypeError"),
        (['{"people": [1]}'], "is no frame of OpenPose's JSON: AttributeError"),
        (["{"], "0_keypoints.json: the file is cut off"),
        (["[" * 100_000], "0_keypoints.json: this is not JSON"),
        (['{"people": [{"pose_keypoints_2d": [1' + "0" * 400 + ",0" * 74 + "]}]}"], "OverflowError"),
        ([""], "0_keypoints.json: this is an empty file"),
        ([" " * (1024**2 + 1)], "takes 1048577 bytes"),
        ([], "is missing"),
    ],
)
def test_a_bad_clip_says_what_is_wrong(tmp_path: Path, frames: list[str], reason: str) -> None:
    with pytest.raises(BadClipError, match=reason):
        read(tmp_path, frames)


def numbered(root: Path, numbers: Iterable[int], labels: str = "id,text,split\nclip,word,train\n") -> Clip:
    """A clip of files with these numbers, in each of which somebody stands at the place of its number."""
    (root / "clip").mkdir()
    for number in numbers:
        (root / "clip" / f"v_{number:012d}_keypoints.json").write_text(frame(person(x=100 + number)))
    (root / "labels.csv").write_text(labels)
    source = open_at(root)
    return source.read(source.entries("train")[0])


@pytest.mark.parametrize(
    ("numbers", "places", "notes"),
    [
        (range(5), [0, 1, 2, 3, 4], ()),
        (range(7, 10), [7, 8, 9], ()),
        ([5], [5], ()),
        ([0, 1, 2, 4, 7], [0, 1, 2, None, 4, None, None, 7], ("3 of 8 frames have no file",)),
        ([0, 2], [0, None, 2], ("1 of 3 frames have no file",)),
        ([10, 15, 20], [10, 15, 20], ("frames are numbered in steps of 5",)),
        ([0, 5, 10, 20], [0, 5, 10, None, 20], ("1 of 5 frames have no file", "frames are numbered in steps of 5")),
    ],
)
def test_a_number_without_a_file_is_a_frame_without_anyone(
    tmp_path: Path, numbers: Sequence[int], places: list[int | None], notes: tuple[str, ...]
) -> None:
    clip = numbered(tmp_path, numbers)
    assert [int(first[0]) - 100 if first[2] else None for first in clip.keypoints[:, 0]] == places
    assert not clip.keypoints[[place is None for place in places]].any()
    assert len(clip.notes) == len(notes)
    assert all(note.startswith(expected) for note, expected in zip(clip.notes, notes, strict=True))


def test_the_holes_of_a_stretch_alone_count(tmp_path: Path) -> None:
    clip = numbered(tmp_path, [0, 1, 5, 6, 8], "id,text,split,file,start,end\nclip,word,train,clip,5,9\n")
    assert clip.keypoints[:, 0, 0].tolist() == [105, 106, 0, 108]
    assert clip.notes == ("1 of 4 frames have no file, and became frames without anyone",)


@pytest.mark.parametrize(
    ("numbers", "labels", "reason"),
    [
        ([0, 1, 6], "", "4 of 7 frames have no file: more are missing than are there"),
        ([0, 1, 10**11], "", "has 100000000001 frames, expected 1 to 100000"),
        ([0, 1, 2, 3, 4, 9], "5,9", "4 of 4 frames have no file"),
    ],
)
def test_a_clip_of_more_holes_than_frames_is_refused(
    tmp_path: Path, numbers: list[int], labels: str, reason: str
) -> None:
    table = "id,text,split\nclip,word,train\n"
    if labels:
        table = f"id,text,split,file,start,end\nclip,word,train,clip,{labels}\n"
    with pytest.raises(BadClipError, match=reason):
        numbered(tmp_path, numbers, table)


def test_a_number_that_is_there_twice_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip", [frame()] * 3)
    (tmp_path / "clip" / f"{CLIP}_1_keypoints.json").write_text(frame())
    with pytest.raises(BadClipError, match=r"frame 1 is there twice, as .*_000000000001_.* and as .*front_1_"):
        read(tmp_path)


def test_frames_of_two_clips_in_a_folder_are_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip", [frame()])
    (tmp_path / "clip" / "other_000000000001_keypoints.json").write_text(frame())
    with pytest.raises(BadClipError, match="holds frames of several clips"):
        read(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "video.mp4").write_text("")
    with pytest.raises(BadClipError, match="holds no file called"):
        read(tmp_path)


def test_sizes_are_checked_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signdpo.corpora.openpose.MAX_CLIP_BYTES", 100)
    with pytest.raises(BadClipError, match="more than 100000 frames or 100 bytes"):
        read(tmp_path, ["not JSON" * 10] * 2)


@pytest.mark.parametrize(
    "tree",
    [
        "openpose_output/json",
        "json",
        "",
        "{split}_2D_keypoints/openpose_output/json",
        "{split}/rgb_front/features/openpose_output/json",
    ],
)
def test_how2sign_is_found_at_every_level_of_its_tree(tmp_path: Path, tree: str) -> None:
    for split in ("train", "val", "test"):
        clip = f"{split:_<11}_0-1-rgb_front"
        write_clip(tmp_path / tree.replace("{split}", split) / clip, [frame(person())] * 3, clip)
        row = f"v\tv\tv\t{clip}\t1.0\t1.5\tWe go.\n"
        (tmp_path / f"how2sign_realigned_{split}.csv").write_text(HOW2SIGN + row)
    source = open_at(tmp_path)
    for split in ("train", "dev", "test"):
        (entry,) = source.entries(split)
        assert entry.size == 500  # milliseconds, since the size of a folder says little
        assert entry.stamp not in ("", MISSING)
        assert source.read(entry).keypoints.shape == (3, 69, 3)


def test_held_out_clips_lie_where_training_lies(tmp_path: Path) -> None:
    """How2Sign's training alone: its folder is the one that dev and test are read from."""
    rows = []
    for number in range(40):
        clip = f"video{number:06d}_0-1-rgb_front"
        write_clip(tmp_path / "train_2D_keypoints" / "openpose_output" / "json" / clip, [frame(person())], clip)
        rows.append(f"v\tv\tv\t{clip}\t0\t1\tWe go.\n")
    (tmp_path / "how2sign_realigned_train.csv").write_text(HOW2SIGN + "".join(rows))
    source = open_at(tmp_path, hold_out=0.2)
    for split in ("dev", "test"):
        entry = source.entries(split)[0]
        assert entry.location.startswith("train_2D_keypoints/openpose_output/json/")
        assert len(source.read(entry).keypoints) == 1


def test_a_clip_may_be_a_stretch_of_a_folder(tmp_path: Path) -> None:
    write_clip(tmp_path / "video", [frame(person(x=number)) for number in range(5)], first=1)
    (tmp_path / "labels.csv").write_text("id,text,split,file,start,end\nclip,word,train,video,1,3\n")
    source = open_at(tmp_path)
    assert source.read(source.entries("train")[0]).keypoints[:, 0, 0].tolist() == [1, 2]
