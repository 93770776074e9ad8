"""The reader of the Uni-Sign layout, on made-up corpora and on the shared data."""

from __future__ import annotations

import gzip
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import CorpusConfig
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import MISSING, SPLITS, Entry, fingerprint
from signdpo.corpora.uni_sign import UniSignSource
from signdpo.data.clips import prepare_clip
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.layout import COCO_WHOLEBODY_133


def open_at(root: Path) -> UniSignSource:
    return UniSignSource(CorpusConfig(kind="uni_sign", root=str(root)))


def pose(frames: int, joints: int = 133, people: int = 1) -> dict[str, Any]:
    """Joint j of frame t is at (j, t)."""
    positions = np.stack(np.meshgrid(np.arange(joints), np.arange(frames)), axis=-1).astype(np.float32)
    return {
        "keypoints": [np.repeat(frame[None], people, axis=0) for frame in positions],
        "scores": [np.ones((people, joints), np.float32) for _ in range(frames)],
    }


def listed(content: dict[str, Any]) -> dict[str, Any]:
    """The same with plain lists in place of arrays, as some users' pipelines write it."""
    return {name: [frame.tolist() for frame in frames] for name, frames in content.items()} | {"w_h": [850, 720]}


def write_corpus(root: Path, poses: dict[str, Any], split: str = "train", **label: Any) -> UniSignSource:
    (root / "pose_format").mkdir(exist_ok=True)
    labels = {}
    for name, content in poses.items():
        labels[name] = {"name": name, "gloss": "A B", "text": "a word", "video_path": f"{name}.mp4", **label}
        (root / "pose_format" / f"{name}.pkl").write_bytes(pickle.dumps(content))
    (root / f"labels.{split}").write_bytes(gzip.compress(pickle.dumps(labels)))
    return open_at(root)


def read_one(root: Path, content: Any, **label: Any) -> np.ndarray:
    source = write_corpus(root, {"clip": content}, **label)
    return source.read(source.entries("train")[0]).keypoints


def test_labels_are_listed_in_their_order(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, {"b": pose(1), "a": pose(1)})
    listed = [replace(entry, size=0, stamp="") for entry in source.entries("train")]
    assert listed == [
        Entry("b", "train", "b.mp4", "a word", ("A", "B")),
        Entry("a", "train", "a.mp4", "a word", ("A", "B")),
    ]


@pytest.mark.parametrize(("gloss", "expected"), [("", ()), (["X", "Y"], ("X", "Y")), (None, ())])
def test_glosses_come_as_lists_or_strings(tmp_path: Path, gloss: Any, expected: tuple[str, ...]) -> None:
    assert write_corpus(tmp_path, {"a": pose(1)}, gloss=gloss).entries("train")[0].gloss == expected


def test_plain_pickled_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "labels.dev").write_bytes(pickle.dumps({"a": {"text": "t", "video_path": "a.mp4"}}))
    assert open_at(tmp_path).entries("dev") == [Entry("a", "dev", "a.mp4", "t", stamp=MISSING)]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_missing_split_is_named_with_the_remedy(tmp_path: Path, split: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"labels\.{split} is missing.*corpus\.root={tmp_path}"):
        open_at(tmp_path).entries(split)


def test_joints_are_those_of_the_layout(tmp_path: Path) -> None:
    keypoints = read_one(tmp_path, pose(2))
    assert keypoints.dtype == np.float32
    np.testing.assert_array_equal(keypoints[1, :, 0], COCO_WHOLEBODY_133)
    np.testing.assert_array_equal(keypoints[1, :, 1], 1)
    np.testing.assert_array_equal(keypoints[..., 2], 1)


@pytest.mark.parametrize("numbers", [np.float32, np.float64, np.int64])
def test_plain_lists_are_read_as_the_arrays_they_were(tmp_path: Path, numbers: type) -> None:
    arrays = {name: [frame.astype(numbers) for frame in frames] for name, frames in pose(3).items()}
    np.testing.assert_array_equal(read_one(tmp_path, listed(arrays)), read_one(tmp_path, arrays))


def test_lists_of_numpy_numbers_and_tuples_are_read(tmp_path: Path) -> None:
    content = {
        "keypoints": [[[tuple(joint) for joint in frame[0]]] for frame in pose(2)["keypoints"]],
        "scores": [[list(frame[0])] for frame in pose(2)["scores"]],
    }
    np.testing.assert_array_equal(read_one(tmp_path, content), read_one(tmp_path, pose(2)))


def test_real_clips_of_plain_lists_are_read(shared_data: Path) -> None:
    root = shared_data / "uni_sign_lists"
    source = open_source(CorpusConfig(kind="csl_news", root=str(root)))
    entries = [entry for split in SPLITS for entry in source.entries(split)]
    assert [entry.id for entry in entries] == ["12_10_2023_0.mp4", "12_10_2023_47.mp4"]
    for entry, frames in zip(entries, (126, 266), strict=True):
        clip = prepare_clip(source.read(entry), 256)
        assert source.read(entry).keypoints.shape == (frames, 69, 3)
        assert clip.text.startswith(("Tutti voi", "Irricevibile"))
        with (root / "pose_format" / entry.location).open("rb") as file:
            published = pickle.load(file)
        positions = np.array(published["keypoints"], np.float32)[:, 0, COCO_WHOLEBODY_133]
        np.testing.assert_array_equal(source.read(entry).keypoints[..., :2], positions)


def test_start_and_end_cut_the_clip(tmp_path: Path) -> None:
    assert read_one(tmp_path, {**pose(10), "start": 3, "end": 6})[:, 0, 1].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pose(0), "the clip has 0 frames"),
        (pose(2, joints=17), "keypoints of frame 0 have 17 joints, expected 133"),
        (pose(2, people=2), "two people may be the signer"),
        (pose(2, people=101), "frame 0 has 101 people, at most 100"),
        ({**pose(2), "scores": pose(2, people=2)["scores"]}, "frame 0 has 1 people in keypoints but 2 in scores"),
        ({**pose(3), "scores": pose(2)["scores"]}, "3 frames of keypoints but 2 of scores"),
        ({**pose(3), "start": 2, "end": 2}, "start 2 and end 2 do not lie in the 3 frames"),
        ({**pose(3), "start": 0, "end": 4}, "start 0 and end 4 do not lie in the 3 frames"),
        ({**pose(3), "start": 0}, "start and end are int and NoneType"),
        ({"keypoints": []}, "not a dict of keypoints and scores"),
        ({"keypoints": 3, "scores": []}, "keypoints is a int"),
        ({"keypoints": [[1]], "scores": [[1]]}, "keypoints of frame 0 are no array"),
        ({**pose(1), "keypoints": pose(1)["scores"]}, r"keypoints of frame 0 have shape \(1, 133\)"),
        (listed(pose(2, joints=17)), "keypoints of frame 0 have 17 joints, expected 133"),
        (listed(pose(2, people=2)), "two people may be the signer"),
        ({**pose(1), "scores": [[[1.0] * 132 + ["1"]]]}, "scores of frame 0 are lists of unequal length, or hold"),
        (
            {**pose(1), "keypoints": [[[[0.0, 1.0]] * 132 + [[0.0]]]]},
            "keypoints of frame 0 are lists of unequal length",
        ),
        ({**pose(1), "scores": [[[[1.0]] * 132 + [[1.0, 2.0]]]]}, "scores of frame 0 are lists of unequal length"),
        ({**pose(1), "scores": [[[np.ones(9)] * 133]]}, "scores of frame 0 are lists of unequal length, or hold"),
        ([], "not a dict"),
    ],
)
def test_a_bad_clip_says_what_is_wrong(tmp_path: Path, content: Any, reason: str) -> None:
    with pytest.raises(BadClipError, match=reason):
        read_one(tmp_path, content)


@pytest.mark.parametrize("location", ["../secret.mp4", "/etc/secret.mp4", "a/../../secret.mp4"])
def test_a_label_cannot_lead_out_of_the_corpus(tmp_path: Path, location: str) -> None:
    with pytest.raises(BadClipError, match="leads out of the corpus"):
        read_one(tmp_path, pose(1), video_path=location)


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadClipError, match=r"pose_format/gone\.pkl is missing"):
        read_one(tmp_path, pose(1), video_path="gone.mp4")


def test_the_fingerprint_changes_with_the_labels_and_the_poses(tmp_path: Path) -> None:
    def fingerprint_of(clip: dict[str, Any], **label: Any) -> str:
        source = write_corpus(tmp_path, {"a": clip}, **label)
        os.utime(tmp_path / "pose_format" / "a.pkl", (1, 1))
        return fingerprint(source, source.entries("train"))

    before = fingerprint_of(pose(1))
    assert fingerprint_of(pose(1)) == before
    assert fingerprint_of(pose(1), text="another word") != before
    assert fingerprint_of(pose(2)) != before


def test_a_listing_says_which_files_are_there(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, {"short": pose(1), "long": pose(9), "gone": pose(1)})
    (tmp_path / "pose_format" / "gone.pkl").unlink()
    short, long, gone = source.entries("train")
    assert 0 < short.size < long.size
    assert (gone.size, gone.stamp) == (0, MISSING)


@pytest.mark.parametrize(("name", "clips"), [("CSL_Daily.labels.train", 18401), ("How2Sign.labels.test", 2349)])
def test_published_labels_are_read(shared_data: Path, tmp_path: Path, name: str, clips: int) -> None:
    os.symlink(shared_data / "labels" / name, tmp_path / "labels.train")
    entries = open_at(tmp_path).entries("train")
    assert len(entries) == clips
    assert all(entry.text and entry.location.endswith(".mp4") for entry in entries)


def test_real_fingerspelling_is_read(shared_data: Path) -> None:
    source = open_source(CorpusConfig(kind="uni_sign", root=str(shared_data / "fingerspelling")))
    entries = source.entries("test")
    assert len(entries) == 120
    clip = source.read(entries[0])
    clip.check()
    assert (clip.text, clip.gloss) == ("chain", ("C", "H", "A", "I", "N"))
    assert clip.keypoints.shape[1:] == (69, 3)
    assert (clip.keypoints[:, 30:51, 2] > 0.3).mean() > 0.9  # the right hand is seen
    assert not clip.keypoints[:, 9:30, 2].any()  # the left one is not
