"""The reader of JSON landmarks: names that users have, holes, and what is refused with the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mediapipe import HAND, POSE

from signdpo.config import ConfigError, CorpusConfig, load_config
from signdpo.corpora import json_landmarks
from signdpo.corpora.json_landmarks import JsonSource
from signdpo.corpora.pose_file import PoseFileSource
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.layout import PARTS
from signdpo.skeleton.people import People

COUNTS = {"pose_landmarks": 25, "left_hand_landmarks": 21, "right_hand_landmarks": 21, "face_landmarks": 478}
MOST = {"POSE_LANDMARKS": 33, "FACE_LANDMARKS": 478, "LEFT_HAND_LANDMARKS": 21, "RIGHT_HAND_LANDMARKS": 21}
# Name of a component of a `.pose` file -> name of a point -> its place among MediaPipe's.
PLACES: dict[str, Callable[[str], int | None]] = {
    "POSE_LANDMARKS": dict(zip(POSE, range(len(POSE)), strict=True)).get,
    "FACE_LANDMARKS": int,
    "LEFT_HAND_LANDMARKS": HAND.index,
    "RIGHT_HAND_LANDMARKS": HAND.index,
    "POSE_WORLD_LANDMARKS": lambda _: None,
}


def frame(at: float = 0.0, *, channels: int = 2, **parts: Any) -> dict[str, Any]:
    """Point p of each part is at (100 + p, at), further numbers are 0.5, 0.25."""
    further = [0.5, 0.25][: channels - 2]
    points = {name: [[100.0 + point, at, *further] for point in range(count)] for name, count in COUNTS.items()}
    return {**points, **parts}


def read(
    root: Path, content: Any, name: str = "a.json", *, table: str = "id,text,split\na,word,train\n", **keys: Any
) -> Clip:
    lines = content if isinstance(content, str) else json.dumps(content)
    (root / name).write_text(lines)
    (root / "labels.csv").write_text(table or "id,text,split\na,word,train\n")
    source = JsonSource(CorpusConfig(kind="json", root=str(root), landmarks=keys))
    return source.read(source.entries("train")[0])


def test_the_release_of_a_user_of_youtube_asl_is_read(tmp_path: Path) -> None:
    clip = read(tmp_path, {"cropped_keypoints": [frame(1), frame(2)], "keypoints": [frame(3), frame(4), frame(5)]})
    assert clip.keypoints.shape == (3, 69, 3)
    assert clip.keypoints[:, 0].tolist() == [[100, at, 1] for at in (3, 4, 5)]  # nothing says how sure it is
    assert clip.keypoints[0, PARTS["body"], 0].tolist() == [100 + joint for joint in (0, 7, 8, 11, 12, 13, 14, 15, 16)]
    assert clip.keypoints[0, PARTS["right_hand"], 0].tolist() == [100 + joint for joint in range(21)]
    assert clip.keypoints[0, 68, 0] == 104  # the tip of the nose
    cropped = read(tmp_path, {"cropped_keypoints": [frame(1), frame(2)]}, frames="cropped_keypoints")
    assert cropped.keypoints[:, 0, 1].tolist() == [1, 2]


@pytest.mark.parametrize("hole", [[], None, "missing"])
def test_a_part_that_was_not_found_is_a_hole(tmp_path: Path, hole: Any) -> None:
    without = frame(1, left_hand_landmarks=hole)
    if hole == "missing":
        del without["left_hand_landmarks"]
    clip = read(tmp_path, {"keypoints": [frame(1), without, frame(1)]})
    assert not clip.keypoints[1, PARTS["left_hand"]].any()
    assert clip.keypoints[1, PARTS["right_hand"], 2].all()


@pytest.mark.parametrize("nobody", [None, {}, {name: [] for name in COUNTS}])
def test_a_frame_without_anyone_is_a_hole(tmp_path: Path, nobody: Any) -> None:
    clip = read(tmp_path, {"keypoints": [frame(1), nobody, frame(1)]})
    assert clip.keypoints[:, :, 2].any(axis=1).tolist() == [True, False, True]


def test_frames_may_be_numbered_the_file_itself_or_lines(tmp_path: Path) -> None:
    numbered = read(tmp_path, {"joints": {"10": frame(3), "7": frame(1), "8": frame(2)}}, frames="joints")
    assert numbered.keypoints[:, 0, 1].tolist() == [1, 2, 0, 3]
    assert read(tmp_path, [frame(1), frame(2)], frames=None).keypoints[:, 0, 1].tolist() == [1, 2]
    assert read(tmp_path, {"a": {"b": [frame(5)]}}, frames="a.b").keypoints[:, 0, 1].tolist() == [5]
    (tmp_path / "a.json").unlink()
    lines = "".join(json.dumps(frame(at)) + "\n" for at in (1, 2)) + "\n"
    assert read(tmp_path, lines, "a.jsonl").keypoints[:, 0, 1].tolist() == [1, 2]


def test_a_file_may_be_a_video_of_which_labels_name_a_stretch(tmp_path: Path) -> None:
    table = "id,text,split,file,start,end\nb,word,train,a.mp4,1,3\n"
    clip = read(tmp_path, {"keypoints": [frame(at) for at in range(5)]}, table=table)
    assert clip.keypoints[:, 0, 1].tolist() == [1, 2]


def test_of_lines_only_those_of_the_clip_are_parsed_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["no JSON", *(json.dumps(frame(at)) for at in (1, 2)), "nor this"]
    table = "id,text,split,file,start,end\nb,word,train,a.jsonl,1,3\n"
    content = "\n".join([*lines, "x" * 2_000_000])
    assert read(tmp_path, content, "a.jsonl", table=table).keypoints[:, 0, 1].tolist() == [1, 2]
    with pytest.raises(BadClipError, match="start 1 and end 3 do not lie in the 2 frames"):
        read(tmp_path, "\n".join(lines[:2]), "a.jsonl", table=table)
    (tmp_path / "a.json").unlink(missing_ok=True)
    with pytest.raises(BadClipError, match="the line of frame 4 is longer than"):
        read(tmp_path, content, "a.jsonl")
    monkeypatch.setattr(json_landmarks, "MAX_JSON_BYTES", len(lines[1]))
    with pytest.raises(BadClipError, match="the clip takes more than 0 MiB of the file"):
        read(tmp_path, content, "a.jsonl", table=table)


def test_an_error_names_the_frame_of_the_file(tmp_path: Path) -> None:
    table = "id,text,split,file,start,end\nb,word,train,a.json,1,3\n"
    with pytest.raises(BadClipError, match="frame 2: it is a int"):
        read(tmp_path, {"keypoints": [frame(), frame(), 5]}, table=table)


def test_a_confidence_is_a_place_or_a_name_of_a_point(tmp_path: Path) -> None:
    listed = {"keypoints": [frame(1, channels=4)]}
    assert set(read(tmp_path, listed, confidence=3).keypoints[..., 2].flat) == {0.25}
    by_name = [{"x": 100.0 + point, "y": 1.0, "z": 9.0, "visibility": 0.25} for point in range(33)]
    only_body = {"keypoints": [{"pose_landmarks": [*by_name[:7], None, *by_name[8:]]}]}
    clip = read(tmp_path, only_body, confidence="visibility")
    assert clip.keypoints[0, :3].tolist() == [[100, 1, 0.25], [0, 0, 0], [108, 1, 0.25]]
    assert read(tmp_path, only_body).keypoints[0, 0, 2] == 1


@pytest.mark.parametrize("joints", [69, 133, 137])
def test_all_joints_may_be_in_one_list(tmp_path: Path, joints: int) -> None:
    points = [[100.0 + joint, 1.0, 0.5] for joint in range(joints)]
    within = read(tmp_path, {"keypoints": [{"all": points}] * 2}, joints="all").keypoints
    assert within.shape == (2, 69, 3)
    assert set(within[..., 2].flat) == {0.5}
    apart = {"keypoints": [{"all": [point[:2] for point in points], "sure": [0.5] * joints}] * 2}
    np.testing.assert_array_equal(read(tmp_path, apart, joints="all", confidence="sure").keypoints, within)


def test_shares_of_the_picture_are_said_to_be_such(tmp_path: Path) -> None:
    small = {name: [[point / 500, -0.01] for point in range(count)] for name, count in COUNTS.items()}
    notes = read(tmp_path, {"keypoints": [small]}).notes
    assert notes == ("coordinates are shares of the picture, which was taken to be as wide as high",)


@pytest.mark.parametrize(
    ("content", "keys", "reason"),
    [
        ({"frames": []}, {}, r"'keypoints' is no list of frames; the file has 'frames': set corpus\.landmarks\.frames"),
        ([frame()], {}, r"'keypoints' is no list of frames: set corpus\.landmarks\.frames"),
        ({"a": 1}, {"frames": None}, "the file is no list of frames; the file has 'a'"),
        ({"keypoints": []}, {}, "the clip has 0 frames"),
        ({"keypoints": {"0": {}, "999999999": {}}}, {}, "frames are numbered 0 to 999999999, at most 100000"),
        ({"keypoints": [{"pose": []}]}, {}, "no frame has anything under pose_landmarks, .*; a frame has 'pose'"),
        ({"keypoints": [{"people": [{"a": 1}]}]}, {"people": "people"}, "anything under .* of people; a frame has"),
        ({"keypoints": [{"people": 3}]}, {"people": "people"}, "frame 0: 'people' is a int, expected a list of people"),
        ({"keypoints": [{"people": [{}] * 101}]}, {"people": "people"}, "there are 101 people, at most 100"),
        ({"keypoints": [frame(), 5]}, {}, "frame 1: it is a int, expected an object"),
        (
            {"keypoints": [frame(left_hand_landmarks=[[1, 2]] * 20)]},
            {},
            "left_hand_landmarks has 20 points",
        ),
        ({"keypoints": [frame(pose_landmarks={"x": 1})]}, {}, "pose_landmarks is a dict, expected a list of points"),
        ({"keypoints": [frame(pose_landmarks=[[1, "2"]] * 33)]}, {}, "pose_landmarks holds '2', which is not"),
        ({"keypoints": [frame(pose_landmarks=[[True, False]] * 33)]}, {}, "pose_landmarks holds True, which is not"),
        (
            {"keypoints": [frame(pose_landmarks=[[1]] * 33)]},
            {},
            r"a point of pose_landmarks is \[1\], expected",
        ),
        ({"keypoints": [frame(pose_landmarks=[[1, 10**400]] * 33)]}, {}, "a number that is too large"),
        ({"keypoints": [frame(pose_landmarks=[[1, 1e39]] * 33)]}, {}, "hold NaN or infinity"),
        ({"keypoints": [frame()]}, {"confidence": 2}, "a point of pose_landmarks has 2 numbers, and none at place 2"),
        ({"keypoints": [frame()]}, {"confidence": "c"}, r"expected x and y and, for its confidence, c"),
        ({"keypoints": [{"pose_landmarks": [{"x": 1, "y": 2}] * 33}]}, {"confidence": "c"}, "has 'x', 'y', and no c"),
        ({"keypoints": [{"all": [[1, 2, 1]] * 70}]}, {"joints": "all"}, "all has 70 joints, expected 69, 133, 137"),
        (
            {"keypoints": [{"all": [[1, 2]] * 69, "c": [1]}]},
            {"joints": "all", "confidence": "c"},
            "c is not a list",
        ),
        (
            {"keypoints": [{"all": [[1, 2, 1]] * count} for count in (69, 133)]},
            {"joints": "all"},
            "frames have 69 and 133 joints",
        ),
        ('{"keypoints": [{"pose', {}, "the file is cut off"),
        ("version https://git-lfs.github.com/spec/v1\n", {}, "a Git LFS pointer, not the file: run git lfs pull"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(
    tmp_path: Path, content: Any, keys: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadClipError, match=reason):
        read(tmp_path, content, **keys).check()


def test_other_names_read_a_clip_anew(tmp_path: Path) -> None:
    settings = {"kind": "json", "root": str(tmp_path)}
    one = JsonSource(CorpusConfig(**settings)).reading
    assert one != JsonSource(CorpusConfig(**settings, landmarks={"frames": "cropped_keypoints"})).reading


def test_a_mistyped_name_of_the_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"corpus\.landmarks\.frame.*did you mean .*frames"):
        load_config(None, ["corpus.landmarks.frame=x"])


@pytest.mark.parametrize("name", ["mediapipe", "mediapipe_long", "phoenix_25October_2010_Monday_tagesschau-17"])
def test_a_recording_is_the_same_from_json_and_from_a_pose_file(shared_data: Path, tmp_path: Path, name: str) -> None:
    pose_format = pytest.importorskip("pose_format", reason="the group poses is not installed")
    path = shared_data / "pose_files" / f"{name}.pose"
    pose = pose_format.Pose.read(path.read_bytes())
    numbers = np.concatenate([pose.body.data.filled(0)[:, 0, :, :2], pose.body.confidence[:, 0, :, None]], axis=-1)
    frames: list[dict[str, list[Any]]] = [{} for _ in numbers]
    begin = 0
    for component in pose.header.components:
        places = list(map(PLACES[component.name], component.points))
        for place, landmarks in enumerate(frames):
            points: list[Any] = [None] * MOST.get(component.name, 0)  # a reduced file lacks most of them
            for there, point in zip(places, numbers[place, begin : begin + len(places)], strict=True):
                if there is not None:
                    points[there] = point.tolist()
            landmarks[component.name.lower()] = points
        begin += len(places)
    from_pose = PoseFileSource(CorpusConfig(kind="pose", root=str(path.parent))).keypoints(str(path), None)
    assert isinstance(from_pose, People)
    expected, _ = from_pose.signer("only")
    for landmarks, tip in zip(frames, expected[:, 68].tolist(), strict=True):
        landmarks["face_landmarks"][4] = tip  # which a reduced file lacks, and its reader has from the contours
    clip = read(tmp_path, {"keypoints": frames}, confidence=2)
    np.testing.assert_allclose(clip.keypoints, expected, rtol=1e-6)
    assert (clip.keypoints[..., 2] > 0).mean() > 0.5
