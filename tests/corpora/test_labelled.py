"""What the readers of labelled files share, seen through the simplest of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import CorpusConfig
from signdpo.corpora.npz import NpzSource
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import MISSING, SPLITS, Source
from signdpo.skeleton.clip import BadClipError


def corpus(root: Path, rows: Iterable[str], columns: str = "id,text,split", **settings: Any) -> Source:
    """A corpus with these rows of labels and a clip `a.npz` of 10 frames, whose joint 0 is at (1, frame)."""
    (root / "labels.csv").write_text("\n".join([columns, *rows]) + "\n")
    keypoints = np.ones((10, 69, 3), np.float32)
    keypoints[:, :, 1] = np.arange(10)[:, None]
    np.savez(root / "a.npz", keypoints=keypoints)
    return open_source(CorpusConfig(kind="npz", root=str(root), **settings))


def test_a_clip_carries_what_its_labels_say(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["a,good morning,train,GOOD MORNING,mary"], "id,text,split,gloss,signer")
    clip = source.read(source.entries("train")[0])
    assert (clip.id, clip.text, clip.gloss, clip.signer) == ("a", "good morning", ("GOOD", "MORNING"), "mary")
    assert clip.keypoints.shape == (10, 69, 3)


def test_splits_are_listed_in_the_order_of_the_labels_with_sizes_and_stamps(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["b,x,dev", "a,x,train", "c,x,test", "a2,x,dev"])
    assert [[entry.id for entry in source.entries(split)] for split in SPLITS] == [["a"], ["b", "a2"], ["c"]]
    (there,), (gone, _) = source.entries("train"), source.entries("dev")
    assert there.size == (tmp_path / "a.npz").stat().st_size
    assert (gone.size, gone.stamp) == (0, MISSING)
    assert there.stamp not in ("", MISSING)


def test_a_clip_may_be_a_stretch_of_a_file(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["x,one,train,a.npz,2,4", "y,two,train,a.npz,4,10"], "id,text,split,file,start,end")
    entries = source.entries("train")
    assert [entry.size for entry in entries] == [2, 6]  # the length of the clip, not of the file
    assert source.read(entries[0]).keypoints[:, 0, 1].tolist() == [2, 3]
    assert source.read(entries[1]).keypoints[:, 0, 1].tolist() == [4, 5, 6, 7, 8, 9]


def test_a_stretch_beyond_the_file_is_refused(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["x,one,train,a.npz,2,11"], "id,text,split,file,start,end")
    with pytest.raises(BadClipError, match="start 2 and end 11 do not lie in the 10 frames of the file"):
        source.read(source.entries("train")[0])


def test_a_bad_row_and_a_missing_file_are_named(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["a,x,nowhere", "b,x,train"])
    bad, gone = source.entries("train")
    with pytest.raises(BadClipError, match=r"labels\.csv, line 2: column split is 'nowhere'"):
        source.read(bad)
    with pytest.raises(BadClipError, match=r"b\.npz is missing"):
        source.read(gone)


def test_a_missing_split_comes_with_the_remedy(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["a,x,train"])
    for split in ("dev", "test"):
        with pytest.raises(FileNotFoundError, match=rf"no clip in split {split}; .* set corpus\.hold_out"):
            source.entries(split)
    with pytest.raises(FileNotFoundError, match="no clip in split train"):
        corpus(tmp_path, ["a,x,dev"]).entries("train")


def test_missing_splits_are_held_out_of_training(tmp_path: Path) -> None:
    rows = [f"clip{number},sentence {number},{'test' if number < 3 else 'train'}" for number in range(203)]
    source = corpus(tmp_path, rows, hold_out=0.1)
    ids = {split: {entry.id for entry in source.entries(split)} for split in SPLITS}
    assert ids["test"] == {"clip0", "clip1", "clip2"}  # published, so left as it is
    assert 10 <= len(ids["dev"]) <= 30
    assert len(ids["train"]) + len(ids["dev"]) == 200
    assert not ids["train"] & ids["dev"]
    assert all(entry.split == "dev" for entry in source.entries("dev"))


def test_a_source_holds_settings_only(tmp_path: Path) -> None:
    source = corpus(tmp_path, ["a,x,train"], language="de")
    copy = pickle.loads(pickle.dumps(source))
    assert isinstance(copy, NpzSource)
    assert (copy.language, copy.reading) == ("de", f"npz/2 {tmp_path} person=only")
    assert copy.entries("train") == source.entries("train")
