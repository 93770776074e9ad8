"""The reader of `.pose` files: every version, stretches, hostile headers, and the published samples."""

from __future__ import annotations

import importlib.util
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.pose_file import PoseFileSource
from signdpo.data.clips import prepare_clip
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.layout import PARTS

pytest.importorskip("pose_format", reason="the group poses is not installed")

BODY = ("NOSE", "LEFT_SHOULDER", "RIGHT_SHOULDER", "LEFT_ELBOW")
FACE = ("4", "78")


def header(version: float, components: tuple[tuple[str, tuple[str, ...], str], ...] | None = None) -> bytes:
    """A header by hand, after docs/specs of pose-format: six points, the body with a depth in version 0.1 and later."""
    if components is None:
        components = (("POSE_LANDMARKS", BODY, "XYZC"), ("FACE_LANDMARKS", FACE, "XYC" if version == 0 else "XYZC"))
    content = struct.pack("<fHHHH", version, 640, 480, 0, len(components))
    for name, points, format_ in components:
        for text in (name, format_):
            content += struct.pack("<H", len(text)) + text.encode()
        content += struct.pack("<HHH", len(points), 0, 0)
        for text in points:
            content += struct.pack("<H", len(text)) + text.encode()
    return content


def point(frame: int, joint: int, confidence: float) -> tuple[float, float, float, float]:
    return (frame, 10.0 * joint, -1.0, confidence)


def pose_file(version: float, frames: int = 4, people: int = 1, confidences: tuple[float, ...] = (0.5, 0.5)) -> bytes:
    """Joint j of frame t is at (t, 10 j), for each of the people with a confidence of theirs."""
    numbers = np.array(
        [
            [[point(frame, joint, confidences[person]) for joint in range(6)] for person in range(people)]
            for frame in range(frames)
        ],
        dtype="<f4",
    ).reshape(frames, people, 6, 4)
    if version == 0:
        body = struct.pack("<HH", 24, frames)
        for frame in numbers:
            body += struct.pack("<H", people)
            for person in frame:
                body += struct.pack("<h", -1) + person[:4].tobytes() + person[4:][:, [0, 1, 3]].tobytes()
    else:
        body = struct.pack("<HHH", 24, frames, people) if version == 0.1 else struct.pack("<fIH", 24, frames, people)
        body += numbers[..., :3].tobytes() + numbers[..., 3].tobytes()
    return header(version) + body


def read(root: Path, content: bytes, **row: Any) -> Clip:
    (root / "a.pose").write_bytes(content)
    row = {"id": "a", "text": "word", "split": "train", **row}
    (root / "labels.csv").write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    source = PoseFileSource(CorpusConfig(kind="pose", root=str(root)))
    return source.read(source.entries("train")[0])


@pytest.mark.parametrize("version", [0, 0.1, 0.2])
def test_every_version_is_read(tmp_path: Path, version: float) -> None:
    keypoints = read(tmp_path, pose_file(version)).keypoints
    assert keypoints.shape == (4, 69, 3)
    assert np.flatnonzero(keypoints[2, :, 2]).tolist() == [0, 3, 4, 5, 60, 68]  # nose, shoulders, elbow, mouth, tip
    assert keypoints[2, [0, 3, 4, 5, 68, 60], 0].tolist() == [2] * 6
    assert keypoints[2, [0, 3, 4, 5, 68, 60], 1].tolist() == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("version", [0, 0.1, 0.2])
def test_a_clip_may_be_a_stretch_of_a_file(tmp_path: Path, version: float) -> None:
    assert read(tmp_path, pose_file(version), start=1, end=3).keypoints[:, 3, 0].tolist() == [1, 2]
    with pytest.raises(BadClipError, match="start 1 and end 5 do not lie in the 4 frames"):
        read(tmp_path, pose_file(version), start=1, end=5)


@pytest.mark.parametrize("version", [0, 0.1, 0.2])
def test_a_person_of_no_confidence_is_nobody(tmp_path: Path, version: float) -> None:
    for confidences in ((0.5, 0.0), (0.0, 0.5)):
        clip = read(tmp_path, pose_file(version, people=2, confidences=confidences))
        assert (clip.keypoints[:, 3, 2] == 0.5).all()
        assert clip.notes == ()


def test_a_frame_without_people_has_no_joint(tmp_path: Path) -> None:
    """Only version 0.0 can say so."""
    content = header(0) + struct.pack("<HHHH", 24, 2, 0, 1) + struct.pack("<h", 0) + struct.pack("<22f", *[1.0] * 22)
    assert read(tmp_path, content).keypoints[:, 3, 2].tolist() == [0, 1]


def test_the_count_of_a_long_file_may_have_overflowed(tmp_path: Path) -> None:
    """Version 0.1 counts frames in two bytes: 65,539 frames say they are 3."""
    frames = 2**16 + 3
    content = header(0.1) + struct.pack("<HHH", 24, 3, 1) + np.ones(frames * 6 * 4, "<f4").tobytes()
    assert len(read(tmp_path, content, start=frames - 2, end=frames).keypoints) == 2


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    component = PoseHeaderComponent("POSE_LANDMARKS", list(BODY), [(1, 2)], [(255, 0, 0)], "XYZC")
    data = np.arange(24, dtype=np.float32).reshape(2, 1, 4, 3)
    confidence = np.full((2, 1, 4), 0.75, np.float32)
    buffer = BytesIO()
    Pose(
        PoseHeader(0.2, PoseHeaderDimensions(640, 480, 1000), [component]), NumPyPoseBody(25.0, data, confidence)
    ).write(buffer)
    keypoints = read(tmp_path, buffer.getvalue()).keypoints
    assert keypoints[1, 3].tolist() == [15, 16, 0.75]  # the second of four points, whose numbers begin at 12


BOMB = (("POSE_LANDMARKS", ("",) * 6_000, "XYZC"),) * 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "this is an empty file"),
        (header(0.2)[:-3], "damaged .pose file, its header cannot be read"),
        (header(0.2), "it ends after its header"),
        (header(0.3), "of version 0.3, known are"),
        (header(float("nan")), "of version nan, known are"),
        (header(0.2, (("BODY_135", BODY, "XYC"),)), "unknown components BODY_135"),
        (header(0.2, (("POSE_LANDMARKS", BODY, "C"),)), "POSE_LANDMARKS has format C, expected XYC or XYZC"),
        (header(0.2, ()), "unknown components"),
        (pose_file(0.2)[:-4], "promises 4 frames of 96 bytes each, but 380 bytes follow"),
        (pose_file(0.1)[:-4], "promises 4 frames of 96 bytes each, but 380 bytes follow"),
        (pose_file(0.2) + b"more", "promises 4 frames of 96 bytes each, but 388 bytes follow"),
        (header(0.2) + struct.pack("<fIH", 24, 2**32 - 1, 65535), "promises 4294967295 frames of 6291360 bytes each"),
        (header(0.2) + struct.pack("<fIH", 24, 0, 1), "the clip has 0 frames"),
        (header(0.2) + struct.pack("<fIH", 24, 5, 0), "holds 0 people of 6 points"),
        (header(0) + struct.pack("<HHH", 24, 2, 65535), "it ends within a frame"),
        (pose_file(0)[:-1], "it ends within a frame"),
        (pose_file(0) + b"more", "4 bytes follow its 4 frames"),
        (header(0, BOMB) + struct.pack("<HH", 24, 65535) + bytes(2 * 65535), "takes 18874080000 bytes, at most"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BadClipError, match=reason):
        read(tmp_path, content)


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'signdpo\[poses\]'"):
        PoseFileSource(CorpusConfig(kind="pose", root="/nowhere"))


@pytest.fixture
def samples(shared_data: Path, tmp_path: Path) -> dict[str, Clip]:
    root = tmp_path / "corpus"
    root.mkdir()
    names = ("mediapipe", "mediapipe_long", "openpose")
    for name in names:
        (root / f"{name}.pose").symlink_to(shared_data / "pose_files" / f"{name}.pose")
    (root / "labels.csv").write_text("id,text\n" + "".join(f"{name},word\n" for name in names))
    source = PoseFileSource(CorpusConfig(kind="pose", root=str(root)))
    return {entry.id: source.read(entry) for entry in source.entries("train")}


def test_published_samples_are_people(samples: dict[str, Clip]) -> None:
    """Each signer faces the camera: left is at the right of the picture, and y runs downward."""
    assert {name: len(clip.keypoints) for name, clip in samples.items()} == {
        "mediapipe": 170,
        "mediapipe_long": 278,
        "openpose": 93,
    }
    for clip in samples.values():
        stored = prepare_clip(clip, max_frames=256).keypoints
        assert (stored[..., 2] > 0)[:, [0, 3, 4, 5, *range(51, 69)]].all()
        x, y, _ = np.moveaxis(clip.keypoints, -1, 0)  # (frames, 69) each
        assert (x[:, 3] > x[:, 4]).all()  # shoulders
        jaw, mouth = x[:, 51:60], x[:, [60, 64]]
        assert (np.diff(jaw[:, 1:-1]) > 0).all()  # from the right of the person to the left
        assert (mouth[:, 0] < mouth[:, 1]).all()
        assert (y[:, 55] > y[:, 66]).all()  # the chin below the lower lip
        assert (y[:, 66] >= y[:, 62] - 1).all()  # that below the upper lip
        assert (y[:, 62] > y[:, 0]).all()  # that below the nose
        assert (y[:, 3] > y[:, 55]).all()  # and the shoulders below it all
        np.testing.assert_allclose(
            np.median(np.abs(clip.keypoints[:, 0, :2] - clip.keypoints[:, 68, :2])), 0, atol=3
        )  # body and face agree on the nose


def test_hands_are_at_the_wrists_they_belong_to(samples: dict[str, Clip]) -> None:
    for clip in samples.values():
        widths = np.abs(clip.keypoints[:, 3, 0] - clip.keypoints[:, 4, 0])
        for part, wrist in (("left_hand", 7), ("right_hand", 8)):
            root = PARTS[part].start
            both = (clip.keypoints[:, [root, wrist], 2] > 0.3).all(axis=1)
            distance = np.linalg.norm(clip.keypoints[:, root, :2] - clip.keypoints[:, wrist, :2], axis=1)
            assert (distance[both] < 0.35 * widths[both]).all()
    assert not samples["mediapipe"].keypoints[:, PARTS["left_hand"]].any()  # it hangs down, out of the picture
    assert samples["mediapipe"].keypoints[:, PARTS["right_hand"], 2].mean() > 0.8
