"""The reader of CSL-News, on made-up corpora."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import MISSING, SPLITS, Entry, Source
from signdpo.skeleton.clip import BadClipError


def write_labels(root: Path, content: Any) -> Source:
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "CSL_News_Labels.json").write_text(text, encoding="utf-8")
    return source_of(root)


def source_of(root: Path, **corpus: Any) -> Source:
    return open_source(CorpusConfig(kind="csl_news", root=str(root), language="zh", **corpus))


def items(count: int) -> list[dict[str, str]]:
    return [{"video": f"news_{n}.mp4", "pose": f"news_{n}.pkl", "text": '大家好[1]{2}\\"'} for n in range(count)]


def write_pose(root: Path, name: str, frames: int) -> None:
    (root / "pose_format").mkdir(exist_ok=True)
    pose = {
        "keypoints": [np.full((1, 133, 2), frame, np.float32) for frame in range(frames)],
        "scores": [np.ones((1, 133), np.float32)] * frames,
    }
    (root / "pose_format" / name).write_bytes(pickle.dumps(pose))


@pytest.mark.parametrize(
    ("count", "sizes"), [(1000, [990, 5, 5]), (150, [148, 1, 1]), (303, [299, 2, 2]), (0, [0, 0, 0])]
)
def test_the_last_hundredth_is_halved_between_dev_and_test(tmp_path: Path, count: int, sizes: list[int]) -> None:
    source = write_labels(tmp_path, items(count))
    listed = [source.entries(split) for split in SPLITS]
    assert list(map(len, listed)) == sizes
    assert [entry.id for entries in listed for entry in entries] == [f"news_{n}.mp4" for n in range(count)]
    assert all(entry.split == split for split, entries in zip(SPLITS, listed, strict=True) for entry in entries)


def test_a_clip_is_read(tmp_path: Path) -> None:
    write_pose(tmp_path, "news_0.pkl", frames=3)
    source = write_labels(tmp_path, items(2))
    found, gone = source.entries("train") + source.entries("dev") + source.entries("test")
    clip = source.read(found)
    assert (clip.id, clip.text, source.language) == ("news_0.mp4", '大家好[1]{2}\\"', "zh")
    assert clip.keypoints.shape == (3, 69, 3)
    assert clip.keypoints[:, 0, 0].tolist() == [0, 1, 2]
    assert found.size > 0
    assert gone.stamp == MISSING
    with pytest.raises(BadClipError, match=r"pose_format/news_1\.pkl is missing"):
        source.read(gone)


def test_the_labels_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("\ufeff" + json.dumps(items(100), indent=2), encoding="utf-8")
    assert len(source_of(tmp_path, labels=str(tmp_path / "annotations.json")).entries("train")) == 99


@pytest.mark.parametrize(
    ("item", "entry", "reason"),
    [
        ({"video": "a.mp4", "text": "t"}, Entry("a.mp4", "train", "", "t"), "the label has no pose"),
        ({"pose": 3, "text": None, "x": True}, Entry("item 0", "train", "", ""), "the label has no pose"),
        ({"video": "a.mp4", "pose": {"file": "a.pkl"}, "text": "t"}, Entry("a.mp4", "train", "", "t"), "has no pose"),
        ({"video": "\ud800", "pose": "../a"}, Entry("?", "train", "../a", "", stamp=MISSING), "leads out"),
    ],
)
def test_a_bad_item_says_what_is_wrong_when_it_is_read(tmp_path: Path, item: Any, entry: Entry, reason: str) -> None:
    source = write_labels(tmp_path, [item, *items(1)])
    assert source.entries("train") == [Entry(**{**vars(entry), "stamp": MISSING})]
    with pytest.raises(BadClipError, match=reason):
        source.read(entry)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        "[[]]",
        "null",
        json.dumps({"train": items(2)}),
        json.dumps(items(3))[:-1],
        json.dumps(items(3))[:-20],
        json.dumps(items(3)) + "x",
        json.dumps(items(3))[:-1] + ",]",
        "[" * 1_000_000,
        "[" + ",".join(["{}"] * 1000) + "]",
    ],
    ids=lambda content: content[:20] + content[-10:],
)
def test_a_file_that_is_no_such_list_is_one_clear_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadClipError, match=r"CSL_News_Labels\.json is not a list of video, pose and text: "):
        write_labels(tmp_path, content).entries("train")


def test_missing_labels_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"CSL_News_Labels\.json is missing.*corpus\.root={tmp_path}"):
        source_of(tmp_path).entries("train")


def test_nothing_can_be_held_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.hold_out=0\.02: CSL-News has all three splits"):
        source_of(tmp_path, hold_out=0.02)


def test_labels_take_no_multiple_of_their_size_in_memory(tmp_path: Path) -> None:
    source = write_labels(tmp_path, '[{"video": ' + "[" * 5_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadClipError, match="is not a list"):
            source.entries("train")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 5_000_000
