"""The label files of CSL-Daily, How2Sign and OpenASL just as they were published, with made-up poses or none."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signdpo.config import CorpusConfig
from signdpo.corpora.ingest import TooManyBadClipsError, ingest
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import MISSING, SPLITS, Entry, Source
from signdpo.corpora.splits import recording_of

CLIPS = {
    "CSL_Daily.labels.train": 18401,
    "CSL_Daily.labels.dev": 1077,
    "How2Sign.labels.test": 2349,
    "OpenASL.labels.dev": 967,
}


def source_with(shared_data: Path, root: Path, files: dict[str, str], **corpus: Any) -> Source:
    """A corpus whose labels are published files, by split."""
    for split, file in files.items():
        shutil.copyfile(shared_data / "labels" / file, root / f"labels.{split}")
    return open_source(CorpusConfig(kind="uni_sign", root=str(root), **corpus))


def write_poses(root: Path, entries: list[Entry]) -> None:
    """A clip of 20 to 39 frames each: joints scattered over the picture, as shares of its width and height."""
    (root / "pose_format").mkdir(exist_ok=True)
    generator = np.random.default_rng(1)
    for number, entry in enumerate(entries):
        frames = 20 + number % 20
        pose = {
            "keypoints": [generator.random((1, 133, 2)) for _ in range(frames)],
            "scores": [generator.uniform(0.5, 1, (1, 133)).astype(np.float32) for _ in range(frames)],
        }
        (root / "pose_format" / entry.location.replace(".mp4", ".pkl")).write_bytes(pickle.dumps(pose))


@pytest.mark.parametrize("file", CLIPS)
def test_every_label_is_listed(shared_data: Path, tmp_path: Path, file: str) -> None:
    split = file.rpartition(".")[2]
    entries = source_with(shared_data, tmp_path, {split: file}).entries(split)
    assert len({entry.id for entry in entries}) == CLIPS[file]
    assert all(entry.text.strip() and entry.location.endswith(".mp4") for entry in entries)
    assert {(entry.size, entry.stamp) for entry in entries} == {(0, MISSING)}
    has_gloss = file.startswith("CSL_Daily")
    assert all(bool(entry.gloss) == has_gloss for entry in entries)
    assert all(bool(re.fullmatch(r"P\d{4}", entry.signer)) == has_gloss for entry in entries)


def test_csl_daily_keeps_sentences_in_one_split_as_its_publishers_do(shared_data: Path, tmp_path: Path) -> None:
    source = source_with(shared_data, tmp_path, {split: f"CSL_Daily.labels.{split}" for split in ("train", "dev")})
    train, dev = (source.entries(split) for split in ("train", "dev"))
    assert not {recording_of(entry) for entry in train} & {recording_of(entry) for entry in dev}
    assert {entry.signer for entry in dev} <= {entry.signer for entry in train}
    assert train[1] == Entry(
        "S000000_P0004_T00", "train", "S000000_P0004_T00.mp4", "你们好！", ("你们", "好"), "P0004", 0, MISSING
    )


def test_openasl_ids_are_those_of_the_published_predictions(shared_data: Path, tmp_path: Path) -> None:
    entries = source_with(shared_data, tmp_path, {"dev": "OpenASL.labels.dev"}).entries("dev")
    references = (shared_data / "predictions" / "openasl.dev.refs.txt").read_text(encoding="utf-8")
    published = re.findall(r"^sample: (\S+), ground-truth: ", references, flags=re.MULTILINE)
    assert len(published) == 967
    assert {entry.id for entry in entries} == set(published)


def test_how2sign_without_a_dev_set_has_one_held_out(shared_data: Path, tmp_path: Path) -> None:
    # The test set stands in for the training set, which is published with the poses only.
    source = source_with(
        shared_data, tmp_path, {"train": "How2Sign.labels.test", "test": "How2Sign.labels.test"}, hold_out=0.05
    )
    train, dev = source.entries("train"), source.entries("dev")
    assert len(train) + len(dev) == 2349
    assert dev
    assert not {entry.id[:11] for entry in train} & {entry.id[:11] for entry in dev}


@pytest.mark.usefixtures("ray_cluster")
def test_missing_poses_are_listed_and_do_not_end_the_ingest(shared_data: Path, tmp_path: Path) -> None:
    files = {"train": "OpenASL.labels.dev", "dev": "CSL_Daily.labels.dev", "test": "How2Sign.labels.test"}
    source = source_with(shared_data, tmp_path, files)
    corpus = CorpusConfig(kind="uni_sign", root=str(tmp_path), limit=40, max_bad_share=0.05)
    listed = {split: source.entries(split)[:40] for split in SPLITS}
    gone = [listed["train"][3], listed["train"][17], listed["test"][0]]
    write_poses(tmp_path, [entry for entries in listed.values() for entry in entries if entry not in gone])

    manifest = ingest(source, str(tmp_path / "clips"), corpus)
    assert {split: (s.clips, s.quarantined) for split, s in manifest.splits.items()} == {
        "train": (38, 2),
        "dev": (40, 0),
        "test": (39, 1),
    }
    lines = (tmp_path / "clips" / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["id"] for record in records) == sorted(entry.id for entry in gone)
    assert all(record["reason"].endswith(".pkl is missing") for record in records)

    with pytest.raises(TooManyBadClipsError, match=r"3 of 120 clips were refused.*\n.* is missing"):
        ingest(source, str(tmp_path / "clips"), corpus.model_copy(update={"max_bad_share": 0.02}))
