"""`jobs/prepare.py` stores a corpus and says what is in it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

JOB = str(Path(__file__).resolve().parents[2] / "jobs" / "prepare.py")


def run_job(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["prepare.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(JOB, run_name="__main__")
    return ended.value.code


@pytest.mark.usefixtures("ray_cluster")
def test_the_job_stores_a_corpus_and_prints_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [f"--set=corpus.synthetic.{key}" for key in ("train_clips=6", "dev_clips=2", "test_clips=3")]
    assert run_job(monkeypatch, "--out", str(tmp_path), *sizes) == 0
    printed = capsys.readouterr().out
    assert "train │ 6" in printed
    assert "test  │ 3" in printed
    assert (tmp_path / "manifest.json").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_a_missing_corpus_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--set", "corpus.kind=uni_sign", "--set", f"corpus.root={tmp_path}/nowhere"]
    assert run_job(monkeypatch, "--out", str(tmp_path / "clips"), *arguments) == 2
    printed = capsys.readouterr().out
    assert "labels.train is missing" in printed
    assert "Traceback" not in printed
