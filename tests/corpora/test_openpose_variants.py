"""OpenPose's folders as its versions, its options and people's disks make them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.openpose import frame, person, write_clip
from support.watching import ingested

from signdpo.config import CorpusConfig
from signdpo.corpora.openpose import OpenPoseSource
from signdpo.data.clips import prepare_clip
from signdpo.skeleton.clip import BadClipError, Clip

TABLE = "id,text,split\nclip,word,train\n"


def opened(root: Path) -> OpenPoseSource:
    return OpenPoseSource(CorpusConfig(kind="openpose", root=str(root)))


def read(root: Path) -> Clip:
    """The first clip of the table."""
    source = opened(root)
    return source.read(source.entries("train")[0])


def test_what_macos_puts_beside_the_files_is_ignored(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip", [frame(person(x=100))] * 3)
    for name in [path.name for path in (tmp_path / "clip").iterdir()]:
        (tmp_path / "clip" / f"._{name}").write_bytes(b"\0\5\26\7")
    (tmp_path / "clip" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "._labels.csv").write_bytes(b"\0\5\26\7")
    (tmp_path / "._clip").write_bytes(b"\0\5\26\7")
    (tmp_path / "labels.csv").write_text(TABLE)
    assert read(tmp_path).keypoints[:, 0, 0].tolist() == [100] * 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "._v_0_keypoints.json").write_bytes(b"\0\5\26\7")
    (tmp_path / "labels.csv").write_text("id,text,split\nother,word,train\n")
    with pytest.raises(BadClipError, match="other is missing"):
        read(tmp_path)


def as_1_0(people: dict[str, Any]) -> dict[str, Any]:
    """A person with the keys of format 1.0."""
    return {key.removesuffix("_2d"): numbers for key, numbers in people.items()}


def test_keys_of_format_1_0_are_those_of_today(tmp_path: Path) -> None:
    frames = [frame(person(x=100 + number)) for number in range(3)]
    old = [json.dumps({"version": 1.0, "people": [as_1_0(person(x=100 + number))]}) for number in range(3)]
    for name, contents in (("new", frames), ("old", old)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.csv").write_text(TABLE)
        write_clip(tmp_path / name / "clip", contents)
    assert read(tmp_path / "new").keypoints[..., 2].all()
    np.testing.assert_array_equal(read(tmp_path / "new").keypoints, read(tmp_path / "old").keypoints)


@pytest.mark.parametrize("key", ["pose_keypoints", "pose_keypoints_2d"])
def test_a_body_of_coco_has_the_same_joints(tmp_path: Path, key: str) -> None:
    """By name: Nose, Neck, RShoulder, RElbow, RWrist, LShoulder, LElbow, LWrist, 3 + 3 of the legs, REye, LEye, REar,
    LEar. Point p is at (100 + p, 10)."""
    numbers = [number for point in range(18) for number in (100.0 + point, 10.0, 0.5)]
    (tmp_path / "labels.csv").write_text(TABLE)
    write_clip(tmp_path / "clip", [frame({key: numbers})])
    keypoints = read(tmp_path).keypoints
    assert keypoints[0, :9, 0].tolist() == [100, 117, 116, 105, 102, 106, 103, 107, 104]
    assert keypoints[0, :9, 2].all()
    assert not keypoints[0, 9:].any()


@pytest.mark.parametrize(
    ("low", "high", "confidence", "note"),
    [
        (0.0, 1.0, 0.9, "coordinates are shares of the picture (OpenPose's keypoint_scale=3)"),
        (0.1, 1.04, 0.9, "coordinates are shares of the picture (OpenPose's keypoint_scale=3)"),
        (-1.0, 1.0, 0.9, "coordinates are halves of the picture, -1 to 1 (OpenPose's keypoint_scale=4)"),
        (0.0, 640.0, 0.9, None),
        (-3.0, 640.0, 0.9, None),
        (0.0, 1.0, 0.0, None),  # nobody
    ],
)
def test_shares_of_the_picture_are_told_by_their_range(
    tmp_path: Path, low: float, high: float, confidence: float, note: str | None
) -> None:
    places = np.random.default_rng(1).uniform(low, high, (137, 2))
    points = np.concatenate([places, np.full((137, 1), confidence)], axis=1)
    points[0, :2] = low, high
    points[100] = 0  # a point that was not found is at (0, 0) on every scale
    begins = np.cumsum([0, 25, 70, 21, 21])
    names = ("pose", "face", "hand_left", "hand_right")
    parts = {
        f"{name}_keypoints_2d": points[begin:end].ravel().tolist()
        for name, begin, end in zip(names, begins, begins[1:], strict=False)
    }
    (tmp_path / "labels.csv").write_text(TABLE)
    write_clip(tmp_path / "clip", [frame(parts)] * 2)
    clip = read(tmp_path)
    assert [given.partition(",")[0] for given in clip.notes] == ([] if note is None else [note.partition(",")[0]])
    assert note is None or clip.notes[0].startswith(note)
    assert clip.keypoints[0, 0, :2].tolist() == (pytest.approx([low, high]) if confidence else [0, 0])


def test_the_scale_of_the_picture_does_not_change_what_is_stored(tmp_path: Path) -> None:
    """Of a picture that is as wide as high, pixels and shares are one clip."""
    stored = []
    for scale, offset in ((500.0, 0.0), (1.0, 0.0), (2.0, -1.0)):
        root = tmp_path / str(scale)
        write_clip(root / "clip", [frame(scaled(person(), scale, offset))])
        (root / "labels.csv").write_text(TABLE)
        stored.append(prepare_clip(read(root), 9).keypoints)
    np.testing.assert_allclose(stored[1], stored[0], atol=1e-5)
    np.testing.assert_allclose(stored[2], stored[0], atol=1e-5)


def scaled(people: dict[str, Any], scale: float, offset: float) -> dict[str, Any]:
    """A person within 100 pixels, on another scale."""
    moved = {}
    for key, numbers in people.items():
        if key != "person_id":
            points = np.array(numbers).reshape(-1, 3)
            points[:, :2] = points[:, :2] / 100 * scale + offset
            moved[key] = points.ravel().tolist()
    return moved


@pytest.mark.parametrize("absent", [[], None])
def test_a_corpus_of_bodies_is_said_once_and_not_of_each_clip(tmp_path: Path, absent: list[float] | None) -> None:
    parts = [f"{part}_keypoints_2d" for part in ("face", "hand_left", "hand_right")]
    somebody = person(x=100, **dict.fromkeys(parts, absent))
    if absent is None:
        somebody = {key: numbers for key, numbers in somebody.items() if key not in parts}
    for number in range(3):
        write_clip(tmp_path / f"clip{number}", [frame(somebody)] * 2)
    rows = "".join(f"clip{number},word,train\n" for number in range(3))
    (tmp_path / "labels.csv").write_text(f"id,text,split\n{rows}")
    outcome = ingested(opened(tmp_path), tmp_path)
    assert (outcome.frames, outcome.quarantined) == ([2, 2, 2], [])
    unseen = ("left hand", "right hand", "face")
    assert outcome.notes == {f"the {part} is never seen": 3 for part in unseen}
