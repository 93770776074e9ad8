"""What is said of a corpus: reasons without one clip's numbers for all, and which splits are absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.jobs import load_job

from signdpo.config import CorpusConfig
from signdpo.corpora.ingest import commonest_reasons
from signdpo.corpora.planning import list_entries
from signdpo.corpora.registry import open_source
from signdpo.data.clips import Quarantined

prepare = load_job("prepare").main


def refused(*reasons: str) -> list[Quarantined]:
    return [Quarantined(f"clip{place}", "train", "", reason) for place, reason in enumerate(reasons)]


def test_a_group_claims_no_number_of_one_clip_for_all() -> None:
    """One clip of the ten has nobody in frame 4, the others have two people in other frames."""
    reasons = ["frame 4 has 0 people", *(f"frame {frame} has 2 people" for frame in range(5, 14))]
    assert commonest_reasons(refused(*reasons)) == [
        "10 x frame 4 to 13 has 0 to 2 people (such as clip clip0: frame 4 has 0 people)"
    ]


def test_what_all_clips_say_is_said_of_all() -> None:
    assert commonest_reasons(refused(*["the clip has 0 frames, expected 1 to 100000"] * 3)) == [
        "3 x the clip has 0 frames, expected 1 to 100000 (clip clip0)"
    ]


def test_the_commonest_reasons_come_first() -> None:
    reasons = ["/data/a.pkl is missing", "the sentence is empty", "/data/b.pkl is missing", "odd", "odder", "oddest"]
    assert commonest_reasons(refused(*reasons)) == [
        "2 x ... is missing (such as clip clip0: /data/a.pkl is missing)",
        "1 x the sentence is empty (clip clip1)",
        "1 x odd (clip clip3)",
    ]


def write_corpus(root: Path, *splits: str) -> Path:
    """A clip in each of these splits."""
    np.savez(root / "a.npz", keypoints=np.random.default_rng(1).random((3, 69, 3)) + 0.4)
    rows = "".join(f"{split},word,{split},a.npz\n" for split in splits)
    (root / "labels.csv").write_text(f"id,text,split,file\n{rows}")
    return root


@pytest.mark.parametrize("present", [("train",), ("dev",), ("test",), ("train", "test"), ("train", "dev", "test")])
def test_a_corpus_of_any_split_is_listed_and_a_training_asks_for_all(tmp_path: Path, present: tuple[str, ...]) -> None:
    source = open_source(CorpusConfig(kind="npz", root=str(write_corpus(tmp_path, *present))))
    listing = list_entries(source, None)
    assert tuple(listing.entries) == present
    assert set(listing.absent) == {"train", "dev", "test"} - set(present)
    if len(present) == 3:
        assert listing.whole() == listing.entries
    else:
        with pytest.raises(FileNotFoundError, match=f"no clip in split {next(iter(listing.absent))}"):
            listing.whole()


def test_a_corpus_without_any_split_is_refused(tmp_path: Path) -> None:
    source = open_source(CorpusConfig(kind="npz", root=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="has no labels: put labels"):
        list_entries(source, None)


def test_a_check_takes_one_split_and_says_what_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path, "test")
    assert prepare(["--check", "--set=corpus.kind=npz", f"--set=corpus.root={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    rows = [line.split()[1] for line in printed.splitlines() if line.startswith("│")]
    assert rows == ["test"]
    for split in ("train", "dev"):
        assert f"no split {split}, which training needs: the labels in {tmp_path} have no clip in split" in printed


@pytest.mark.usefixtures("ray_cluster")
def test_one_split_is_stored_and_progress_has_its_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signdpo.monitoring.progress.LOG_SECONDS", 0.0)
    write_corpus(tmp_path, "test")
    clips, picture = tmp_path / "clips", tmp_path / "clips.png"
    arguments = ["--set=corpus.kind=npz", f"--set=corpus.root={tmp_path}", "--picture", str(picture)]
    assert prepare(["--out", str(clips), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "no split train, which training needs" in printed
    assert "1/1 clips" in printed
    manifest = json.loads((clips / "manifest.json").read_text())
    assert (list(manifest["splits"]), list(manifest["absent"])) == (["test"], ["train", "dev"])
    assert picture.stat().st_size
