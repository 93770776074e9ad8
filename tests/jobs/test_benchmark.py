"""`jobs/benchmark.py` runs and writes its figures; what they are is no matter for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.jobs import load_job

benchmark = load_job("benchmark").main


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("preprocess", {"ratio", "largest difference"}),
        ("ingest", {"reading, clips/s", "reading and storing, clips/s"}),
        ("rows", {"ratio of seconds", "views, MiB"}),
    ],
)
def test_a_benchmark_prints_and_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, figures: set[str]
) -> None:
    arguments = ["--clips", "3", "--frames", "5", "--json", str(tmp_path / "figures.json")]
    assert benchmark([name, *arguments]) == 0
    written = json.loads((tmp_path / "figures.json").read_text())
    assert figures | {"machine", "python", "numpy"} <= written.keys()
    assert written["clips"] == 3
    printed = capsys.readouterr().out
    assert all(figure in printed for figure in figures)


def test_the_policy_benchmark_measures_each_stage_and_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["corpus.max_frames=24", "policy.max_text_tokens=6", "evaluation.max_new_tokens=4"]
    arguments = [*(word for key in small for word in ("--set", key)), "--batches", "1", "--batch-sizes", "2"]
    assert benchmark(["policy", *arguments, "--json", str(tmp_path / "figures.json")]) == 0
    written = json.loads((tmp_path / "figures.json").read_text())
    stages = {name.split(",")[0] for name in written if name.endswith("clips/s")}
    assert stages == {"pretrain", "align", "salience", "translate"}
    assert written["align, bfloat16, 2, clips/s"] > 0
    assert written["frames"] == 24
    assert "parameters" in capsys.readouterr().out
