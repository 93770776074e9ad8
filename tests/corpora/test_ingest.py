"""The ingest on a real Ray: deterministic, complete, and unharmed by bad inputs."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow.parquet import read_table
from ray import cloudpickle

from signdpo.config import CorpusConfig
from signdpo.corpora.ingest import TooManyBadClipsError, ingest
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import Entry
from signdpo.data.clips import read_clips, read_manifest, read_quarantine
from signdpo.data.rows import keypoints_of
from signdpo.skeleton.clip import Clip
from signdpo.skeleton.layout import NUM_JOINTS

pytestmark = pytest.mark.usefixtures("ray_cluster")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test


class MadeUpSource:
    """Clips named by their number of frames; `bad` ones raise what no reader should."""

    language = "en"

    def __init__(self, train: int = 10, dev: int = 2, test: int = 2, bad: int = 0, reading: str = "made-up/1") -> None:
        self.reading = reading
        self.sizes = {"train": train, "dev": dev, "test": test}
        self.bad = bad

    def entries(self, split: str) -> list[Entry]:
        return [Entry(f"{split}-{i}", split, str(i), f"sentence {i}") for i in range(self.sizes[split])]

    def read(self, entry: Entry) -> Clip:
        index = int(entry.location)
        if entry.split == "train" and index < self.bad:
            raise ZeroDivisionError("a bug in the reader")
        random = np.random.default_rng(index)
        return Clip(entry.id, entry.text, random.uniform(0.5, 1, (index + 1, NUM_JOINTS, 3)).astype(np.float32))


def files_of(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_clip_is_stored_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    manifest = ingest(MadeUpSource(), str(tmp_path), CorpusConfig(shard_rows=4, max_frames=6))
    train = read_clips(tmp_path, "train")
    assert train["id"].to_pylist() == [f"train-{i}" for i in range(10)]
    assert train["num_frames"].to_pylist() == [1, 2, 3, 4, 5, 6, 6, 6, 6, 6]
    assert keypoints_of(train["keypoints"][7].as_py(), 6).shape == (6, NUM_JOINTS, 3)
    assert manifest == read_manifest(str(tmp_path))
    summary = manifest.splits["train"]
    assert (summary.clips, len(summary.files), summary.shortest, summary.median, summary.longest) == (
        10,
        len(list((tmp_path / "train").iterdir())),
        1,
        5.5,
        6,
    )
    assert read_quarantine(str(tmp_path)) == []


def test_training_clips_are_stored_longer_where_asked_for(tmp_path: Path) -> None:
    corpus = CorpusConfig(max_frames=3, stored_frames=6)
    splits = ingest(MadeUpSource(train=9, dev=9, test=9), str(tmp_path), corpus).splits
    assert {split: summary.longest for split, summary in splits.items()} == {"train": 6, "dev": 3, "test": 3}


def test_the_same_corpus_gives_the_same_files_whatever_the_parallelism(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = CorpusConfig(shard_rows=3)
    source = MadeUpSource(train=12)
    ingest(source, str(tmp_path / "parallel"), corpus)
    monkeypatch.setattr("signdpo.corpora.ingest.CPUS_PER_SHARD", 7)  # one task at a time
    ingest(source, str(tmp_path / "one_by_one"), corpus)
    assert files_of(tmp_path / "parallel") == files_of(tmp_path / "one_by_one")


def test_the_content_hash_is_that_of_the_content_not_of_the_shards(tmp_path: Path) -> None:
    hashes = [
        ingest(source, str(tmp_path), CorpusConfig(shard_rows=shard_rows)).content_hash
        for source, shard_rows in [(MadeUpSource(), 5), (MadeUpSource(), 100), (MadeUpSource(train=9), 100)]
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_smaller_corpus_leaves_nothing_of_a_larger_one(tmp_path: Path) -> None:
    ingest(MadeUpSource(train=9), str(tmp_path), CorpusConfig(shard_rows=2))
    ingest(MadeUpSource(train=3), str(tmp_path), CorpusConfig(shard_rows=2))
    assert read_clips(tmp_path, "train").num_rows == 3
    kept = read_manifest(str(tmp_path)).splits["train"].files
    assert sorted(kept) == sorted(path.name for path in (tmp_path / "train").iterdir())


def test_the_limit_holds_for_every_split(tmp_path: Path) -> None:
    manifest = ingest(MadeUpSource(train=10, dev=3, test=1), str(tmp_path), CorpusConfig(limit=2))
    assert {split: summary.clips for split, summary in manifest.splits.items()} == {"train": 2, "dev": 2, "test": 1}


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ingest(MadeUpSource(), str(tmp_path), CorpusConfig(shard_rows=4), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (14, 14)
    assert seen[0] == (0, 14)  # the total is known from the beginning
    assert len(seen) == 1 + len(list(tmp_path.rglob("*.parquet")))


class Measured(MadeUpSource):
    """Clips whose files have sizes, and which write down each time they are read."""

    def __init__(self, log: Path, sizes: dict[str, int], failing: str = "") -> None:
        super().__init__()
        self.log, self.lengths, self.failing = log, sizes, failing

    def entries(self, split: str) -> list[Entry]:
        return [
            Entry(f"{split}-{id_}", split, id_, "text", size=size, stamp=str(size))
            for id_, size in self.lengths.items()
        ]

    def read(self, entry: Entry) -> Clip:
        with self.log.open("a") as log:
            log.write(f"{entry.id}\n")
        if entry.id == self.failing:
            raise ConnectionError("the storage went away")
        return Clip(entry.id, entry.text, np.full((entry.size, NUM_JOINTS, 3), 0.5, np.float32) + np.eye(69, 3))

    def were_read(self) -> list[str]:
        lines = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


def test_shards_hold_clips_of_like_length(tmp_path: Path) -> None:
    sizes = {str(index): 1 + index * 7 % 64 for index in range(64)}
    corpus = CorpusConfig(shard_rows=8)
    manifest = ingest(Measured(tmp_path / "log", sizes), str(tmp_path / "clips"), corpus)
    lengths = read_clips(tmp_path / "clips", "train")["num_frames"].to_pylist()
    assert lengths == sorted(lengths) != list(sizes.values())
    rows = [read_table(tmp_path / "clips" / "train" / file).num_rows for file in manifest.splits["train"].files]
    assert sum(rows) == 64
    assert all(4 <= count <= 8 for count in rows[:-1])


def test_a_second_ingest_reads_only_what_changed(tmp_path: Path) -> None:
    sizes = {f"clip{index}": 1 + index for index in range(120)}
    log, clips, corpus = tmp_path / "log", str(tmp_path / "clips"), CorpusConfig(shard_rows=8)
    source = Measured(log, sizes)
    first = ingest(source, clips, corpus)
    assert len(source.were_read()) == 360
    assert ingest(source, clips, corpus) == first
    assert source.were_read() == []

    changed = Measured(log, {**sizes, "clip60": 200, "new": 5})
    again = ingest(changed, clips, corpus)
    read = changed.were_read()
    assert {"train-new", "train-clip60"} <= set(read)
    assert len(read) < 0.4 * 363
    fresh = ingest(changed, str(tmp_path / "fresh"), corpus)
    assert again == fresh
    assert files_of(tmp_path / "clips") == files_of(tmp_path / "fresh")


def test_an_ingest_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    sizes = {f"clip{index}": 1 + index for index in range(40)}
    log, clips, corpus = tmp_path / "log", str(tmp_path / "clips"), CorpusConfig(shard_rows=8)
    source = Measured(log, sizes)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(source, clips, corpus, stop)
    recorded = sum(len(json.loads(path.read_text())["frames"]) for path in (tmp_path / "clips" / "shards").iterdir())
    later = Measured(tmp_path / "later", sizes)  # tasks of the first may still be dying
    ingest(later, clips, corpus)
    assert 0 < recorded < 120
    assert len(later.were_read()) <= 120 - recorded


def test_what_a_broken_connection_refused_is_read_again(tmp_path: Path) -> None:
    sizes = {f"clip{index}": 1 + index for index in range(20)}
    log, clips, corpus = tmp_path / "log", str(tmp_path / "clips"), CorpusConfig(shard_rows=4, max_bad_share=0.5)
    broken = ingest(Measured(log, sizes, failing="train-clip3"), clips, corpus)
    assert broken.splits["train"].quarantined == 1
    mended = ingest(Measured(log, sizes), clips, corpus)
    assert mended.splits["train"].clips == 20


class Repeating(MadeUpSource):
    def entries(self, split: str) -> list[Entry]:
        return [*super().entries(split), Entry("train-1", split, "5", "another sentence")]


def test_a_repeated_id_is_quarantined_within_and_across_splits(tmp_path: Path) -> None:
    ingest(Repeating(), str(tmp_path), CorpusConfig(max_bad_share=0.5))
    assert read_clips(tmp_path, "train")["text"].to_pylist() == [f"sentence {i}" for i in range(10)]
    assert [(record.id, record.split) for record in read_quarantine(str(tmp_path))] == [
        ("train-1", "train"),
        ("train-1", "dev"),
        ("train-1", "test"),
    ]
    assert "after split train" in read_quarantine(str(tmp_path))[0].reason


def test_a_reader_that_crashes_costs_its_clips_only(tmp_path: Path) -> None:
    manifest = ingest(MadeUpSource(bad=2), str(tmp_path), CorpusConfig(max_bad_share=0.5))
    assert (manifest.splits["train"].clips, manifest.splits["train"].quarantined) == (8, 2)
    assert read_quarantine(str(tmp_path))[0].reason == "ZeroDivisionError: a bug in the reader"


def test_too_many_bad_clips_are_one_error_that_says_what_to_do(tmp_path: Path) -> None:
    ingest(MadeUpSource(), str(tmp_path), CorpusConfig(shard_rows=5))
    with pytest.raises(TooManyBadClipsError) as caught:
        ingest(MadeUpSource(bad=3, reading="made-up/2"), str(tmp_path), CorpusConfig(max_bad_share=0.2))
    message = str(caught.value)
    assert "3 of 14 clips were refused, more than corpus.max_bad_share=0.2" in message
    assert "3 x ZeroDivisionError: a bug in the reader (clip train-0)" in message
    assert f"{tmp_path}/quarantine.jsonl" in message
    assert len(read_quarantine(str(tmp_path))) == 3
    assert not (tmp_path / "manifest.json").exists()  # not even the one of the run before


def test_a_split_that_lost_every_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TooManyBadClipsError, match="split train has no clip left"):
        ingest(MadeUpSource(train=2, bad=2), str(tmp_path), CorpusConfig(max_bad_share=1))


def test_a_split_that_lists_nothing_is_stored_as_empty(tmp_path: Path) -> None:
    splits = ingest(MadeUpSource(dev=0), str(tmp_path), CorpusConfig()).splits
    assert {split: summary.clips for split, summary in splits.items()} == {"train": 10, "dev": 0, "test": 2}
    assert (splits["dev"].files, splits["dev"].quarantined, splits["dev"].longest) == ([], 0, 0)
    assert read_clips(tmp_path, "dev").num_rows == 0


def test_a_corpus_that_lists_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="lists no clip at all"):
        ingest(MadeUpSource(train=0, dev=0, test=0), str(tmp_path), CorpusConfig())


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def person(frames: int, joints: int = 133, people: int = 1) -> dict[str, list[np.ndarray]]:
    random = np.random.default_rng(0)
    return {
        "keypoints": [random.uniform(size=(people, joints, 2)).astype(np.float16) for _ in range(frames)],
        "scores": [np.ones((people, joints), np.float16) for _ in range(frames)],
    }


def write_uni_sign(root: Path, clips: dict[str, dict[str, bytes]], texts: dict[str, str]) -> None:
    (root / "pose_format").mkdir(parents=True)
    for split, contents in clips.items():
        labels = {}
        for name, content in contents.items():
            text = texts.get(name, "a word")
            labels[name] = {"name": name, "gloss": "", "text": text, "video_path": f"{name}.mp4"}
            (root / "pose_format" / f"{name}.pkl").write_bytes(content)
        (root / f"labels.{split}").write_bytes(gzip.compress(pickle.dumps(labels)))


def test_bad_inputs_are_quarantined_with_their_reason_and_the_run_goes_on(tmp_path: Path) -> None:
    not_a_number = person(3)
    not_a_number["keypoints"][1][0, 5, 0] = np.nan
    unseen = person(3)
    unseen["scores"] = [np.full((1, 133), 0.3, np.float32)] * 3
    good = pickle.dumps(person(3))
    bad = {
        "truncated": (good[:-50], "the pickle is cut off within a string"),
        "attack": (pickle.dumps(Runs(f"touch {tmp_path}/it_ran")), "forbidden global posix.system"),
        "nan": (pickle.dumps(not_a_number), "NaN or infinity, first in frame 1"),
        "no_frames": (pickle.dumps(person(0)), "0 frames"),
        "body_17": (pickle.dumps(person(3, joints=17)), "17 joints, expected 133"),
        "two_people": (pickle.dumps(person(3, people=2)), "two people may be the signer"),
        "unseen": (pickle.dumps(unseen), "the body is not visible"),
        "mute": (good, "the sentence is empty"),
    }
    train = {"good_1": good, **{name: content for name, (content, _) in bad.items()}, "good_2": good}
    write_uni_sign(
        tmp_path / "corpus", {"train": train, "dev": {"good_3": good}, "test": {"good_4": good}}, {"mute": " "}
    )
    corpus = CorpusConfig(kind="uni_sign", root=str(tmp_path / "corpus"), max_bad_share=0.9, shard_rows=3)

    manifest = ingest(open_source(corpus), str(tmp_path / "clips"), corpus)

    assert (manifest.splits["train"].clips, manifest.splits["train"].quarantined) == (2, len(bad))
    assert sorted(read_clips(tmp_path / "clips", "train")["id"].to_pylist()) == ["good_1", "good_2"]
    quarantined = {record.id: record for record in read_quarantine(str(tmp_path / "clips"))}
    assert set(quarantined) == set(bad)
    for name, (_, reason) in bad.items():
        assert reason in quarantined[name].reason
        assert quarantined[name].location == f"{name}.mp4"
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_missing_split_stops_the_ingest_before_it_removes_anything(tmp_path: Path, split: str) -> None:
    before = ingest(MadeUpSource(), str(tmp_path / "clips"), CorpusConfig())
    good = {"train": {"a": pickle.dumps(person(2))}, "dev": {}, "test": {}}
    write_uni_sign(tmp_path / "corpus", {name: clips for name, clips in good.items() if name != split}, {})
    corpus = CorpusConfig(kind="uni_sign", root=str(tmp_path / "corpus"))
    with pytest.raises(FileNotFoundError, match=rf"labels\.{split} is missing"):
        ingest(open_source(corpus), str(tmp_path / "clips"), corpus)
    assert read_manifest(str(tmp_path / "clips")) == before


def test_real_fingerspelling_is_ingested(shared_data: Path, tmp_path: Path) -> None:
    corpus = CorpusConfig(kind="uni_sign", root=str(shared_data / "fingerspelling"), max_frames=128, limit=60)
    manifest = ingest(open_source(corpus), str(tmp_path), corpus)
    assert {split: summary.clips for split, summary in manifest.splits.items()} == {"train": 60, "dev": 60, "test": 60}
    test = read_clips(tmp_path, "test")
    keypoints = keypoints_of(test["keypoints"][0].as_py(), test["num_frames"][0].as_py())
    assert np.abs(keypoints[..., :2]).max() == 1.0
    assert max(test["num_frames"].to_pylist()) <= 128
    glosses = dict(zip(test["text"].to_pylist(), test["gloss"].to_pylist(), strict=True))
    assert glosses["chain"] == ["C", "H", "A", "I", "N"]
