"""`jobs/prepare.py` stores a corpus and says what is in it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from support.jobs import load_job

from signdpo.data.clips import read_manifest, read_quarantine

prepare = load_job("prepare").main


@pytest.mark.usefixtures("ray_cluster")
def test_the_job_stores_a_corpus_and_prints_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [f"--set=corpus.synthetic.{key}" for key in ("train_clips=6", "dev_clips=2", "test_clips=3")]
    assert prepare(["--out", str(tmp_path), "--picture", str(tmp_path / "clips.png"), *sizes]) == 0
    assert (tmp_path / "clips.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "train │ 6" in printed
    assert "test  │ 3" in printed
    assert (tmp_path / "manifest.json").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_a_missing_corpus_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "corpus.kind=uni_sign", "--set", f"corpus.root={tmp_path}/nowhere"]
    assert prepare(["--out", str(tmp_path / "clips"), *arguments]) == 2
    printed = capsys.readouterr().out
    assert "labels.train is missing" in printed
    assert "Traceback" not in printed


def write_uni_sign(root: Path, missing: int) -> None:
    """Ten clips a split, of which `missing` in train have no file and one in test has no sentence."""
    (root / "pose_format").mkdir(parents=True)
    pose = pickle.dumps({"keypoints": [np.random.rand(1, 133, 2)] * 5, "scores": [np.ones((1, 133))] * 5})
    for split in ("train", "dev", "test"):
        labels = {f"{split}-{n}": {"text": "a word", "video_path": f"{split}-{n}.mp4"} for n in range(10)}
        if split == "test":
            labels["test-0"]["text"] = " "
            labels["dev-3"] = {"text": "a word", "video_path": "dev-3.mp4"}
        (root / f"labels.{split}").write_bytes(pickle.dumps(labels))
        for n in range(missing if split == "train" else 0, 10):
            (root / "pose_format" / f"{split}-{n}.pkl").write_bytes(pose)


@pytest.mark.parametrize(("missing", "code"), [(1, 0), (4, 2)])
def test_a_check_reads_no_clip_and_tells_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: int, code: int
) -> None:
    write_uni_sign(tmp_path, missing)
    monkeypatch.setattr("signdpo.corpora.uni_sign.read_pose", None)
    arguments = ["--set=corpus.kind=uni_sign", f"--set=corpus.root={tmp_path}", "--set=corpus.max_bad_share=0.1"]
    assert prepare(["--check", *arguments]) == code
    printed = capsys.readouterr().out
    rows = {line.split()[1]: line.split("│")[2:-1] for line in printed.splitlines() if line.startswith("│")}
    counts = {split: [int(cell) for cell in cells] for split, cells in rows.items()}
    assert counts["train"] == [10, 10 - missing, missing, 0, 0, 0]
    assert (counts["dev"], counts["test"]) == ([10, 10, 0, 0, 0, 0], [11, 11, 0, 0, 1, 1])
    assert "train, missing: 'train-0.mp4'" in printed
    assert "test, repeated: 'dev-3'" in printed
    if code:
        assert "and 1 more" in printed
        assert "error: 6 of 31 clips cannot be used, more than corpus.max_bad_share=0.1 allows" in printed


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("real", [False, True])
def test_a_corpus_of_two_clips_is_converted(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], real: bool
) -> None:
    """Two clips of CSL-News leave its development split empty: the real ones, of plain lists, and made-up ones."""
    root = tmp_path
    if real:
        root = request.getfixturevalue("shared_data") / "uni_sign_lists"
    else:
        items = [{"video": f"{name}.mp4", "pose": f"{name}.pkl", "text": "a word"} for name in "ab"]
        (root / "CSL_News_Labels.json").write_text(json.dumps(items))
        (root / "pose_format").mkdir()
        for name in "ab":
            pose = {"keypoints": np.random.rand(5, 1, 133, 2).tolist(), "scores": np.ones((5, 1, 133)).tolist()}
            (root / "pose_format" / f"{name}.pkl").write_bytes(pickle.dumps(pose))
    clips = tmp_path / "clips"
    arguments = ["--set=corpus.kind=csl_news", f"--set=corpus.root={root}", "--picture", str(tmp_path / "clips.png")]
    assert prepare(["--out", str(clips), *arguments]) == 0, capsys.readouterr().out
    splits = read_manifest(str(clips)).splits
    assert {split: summary.clips for split, summary in splits.items()} == {"train": 1, "dev": 0, "test": 1}
    assert read_quarantine(str(clips)) == []


@pytest.mark.usefixtures("ray_cluster")
def test_the_summary_counts_missing_files_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_uni_sign(tmp_path, missing=2)
    arguments = ["--set=corpus.kind=uni_sign", f"--set=corpus.root={tmp_path}", "--set=corpus.max_bad_share=0.2"]
    assert prepare(["--out", str(tmp_path / "clips"), *arguments]) == 0
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line.startswith("│")]
    assert [(split, clips, missing, rest) for split, clips, *_, missing, rest in rows] == [
        ("train", "8", "2", "0"),
        ("dev", "10", "0", "0"),
        ("test", "9", "0", "2"),
    ]
