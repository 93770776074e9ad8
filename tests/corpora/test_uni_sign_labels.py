"""The habits of published label files in the Uni-Sign layout: missing splits, other names, odd places."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import CorpusConfig
from signdpo.corpora.source import MISSING, SPLITS
from signdpo.corpora.splits import recording_of
from signdpo.corpora.uni_sign import UniSignSource
from signdpo.skeleton.clip import BadClipError

POSE = pickle.dumps({"keypoints": [np.ones((1, 133, 2))], "scores": [np.ones((1, 133))]})


def write_labels(folder: Path, name: str, ids: list[str], **label: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        id_: {"name": id_, "gloss": "", "text": "a word", "video_path": f"{id_.removesuffix('.mp4')}.mp4", **label}
        for id_ in ids
    }
    (folder / name).write_bytes(pickle.dumps(rows))


def source_of(root: Path, **corpus: Any) -> UniSignSource:
    return UniSignSource(CorpusConfig(kind="uni_sign", root=str(root), **corpus))


def videos(count: int) -> list[str]:
    return [f"video{number:06d}_{clip}-1-rgb_front.mp4" for number in range(count) for clip in range(2)]


def test_a_missing_dev_split_is_held_out_of_train(tmp_path: Path) -> None:
    write_labels(tmp_path, "labels.train", videos(200))
    write_labels(tmp_path, "labels.test", ["another0000_0-1-rgb_front.mp4"])
    source = source_of(tmp_path, hold_out=0.1)
    train, dev, test = (source.entries(split) for split in SPLITS)
    assert {entry.id for entry in train} | {entry.id for entry in dev} == set(videos(200))
    assert not {recording_of(entry) for entry in train} & {recording_of(entry) for entry in dev}
    assert 10 <= len(dev) <= 80
    assert {entry.split for entry in dev} == {"dev"}
    assert [entry.id for entry in test] == ["another0000_0-1-rgb_front.mp4"]


def test_a_published_dev_split_is_never_held_out(tmp_path: Path) -> None:
    for split in SPLITS:
        write_labels(tmp_path, f"labels.{split}", [f"{split}{number}" for number in range(50)])
    source = source_of(tmp_path, hold_out=0.3)
    assert [len(source.entries(split)) for split in SPLITS] == [50, 50, 50]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_without_a_share_to_hold_out_the_remedy_is_named(tmp_path: Path, split: str) -> None:
    write_labels(tmp_path, "labels.train", videos(2))
    assert len(source_of(tmp_path).entries("train")) == 4
    with pytest.raises(FileNotFoundError, match=rf"labels\.{split} is missing.*corpus\.hold_out=0\.02"):
        source_of(tmp_path).entries(split)


def test_no_share_replaces_a_missing_training_split(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"labels\.train is missing"):
        source_of(tmp_path, hold_out=0.1).entries("dev")


def test_the_dev_split_may_be_called_val(tmp_path: Path) -> None:
    write_labels(tmp_path, "labels.val", ["a"])
    assert [(entry.id, entry.split) for entry in source_of(tmp_path).entries("dev")] == [("a", "dev")]


def test_labels_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    write_labels(tmp_path / "data", "labels.train", ["a"])
    (tmp_path / "dataset" / "pose_format").mkdir(parents=True)
    (tmp_path / "dataset" / "pose_format" / "a.pkl").write_bytes(POSE)
    source = source_of(tmp_path / "dataset", labels=str(tmp_path / "data"))
    assert source.read(source.entries("train")[0]).keypoints.shape == (1, 69, 3)


@pytest.mark.parametrize("file", ["a-0:01.pkl", "a-0_01.pkl", "a-0-01.pkl", "train/a-0:01.pkl"])
def test_clips_are_found_where_people_put_them(tmp_path: Path, file: str) -> None:
    write_labels(tmp_path, "labels.train", ["a-0:01.mp4", "gone"])
    path = tmp_path / "pose_format" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(POSE)
    found, gone = (source := source_of(tmp_path)).entries("train")
    assert found.size == len(POSE)
    assert found.stamp not in ("", MISSING)
    assert source.read(found).keypoints.shape == (1, 69, 3)
    assert (gone.size, gone.stamp) == (0, MISSING)
    with pytest.raises(BadClipError, match=r"pose_format/gone\.pkl is missing"):
        source.read(gone)


def test_the_signer_is_read_off_the_names_of_csl_daily(tmp_path: Path) -> None:
    write_labels(tmp_path, "labels.train", ["S000020_P0008_T00", "P0008"])
    assert [entry.signer for entry in source_of(tmp_path).entries("train")] == ["P0008", ""]


def test_a_gloss_of_anything_but_words_is_left_out(tmp_path: Path) -> None:
    write_labels(tmp_path, "labels.train", ["a"], gloss=["X", 3, ("Y",), None])
    assert source_of(tmp_path).entries("train")[0].gloss == ("X", "3")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("a\0b.mp4", "is not the name of a file"),
        ("folder.pkl", "this is a folder"),
        ("x" * 300 + ".mp4", "is not the name of a file"),
    ],
)
def test_a_name_that_is_none_is_refused(tmp_path: Path, location: str, reason: str) -> None:
    write_labels(tmp_path, "labels.train", ["a"], video_path=location)
    (tmp_path / "pose_format" / "folder.pkl").mkdir(parents=True)
    source = source_of(tmp_path)
    with pytest.raises(BadClipError, match=reason):
        source.read(source.entries("train")[0])
