"""The gallery of a run's negatives."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.jobs import load_job
from support.small_runs import SmallRun

from signdpo.report import gallery
from signdpo.report.negatives import NegativeExample

inspect = load_job("inspect_negatives").main


def test_the_gallery_of_a_run(small_run: SmallRun, tmp_path: Path) -> None:
    chosen = ("--split", "dev", "--clips", "dev-00003", "dev-00001", "--gif")
    assert inspect(["--run-dir", str(small_run.directory), "--out", str(tmp_path), *chosen]) == 0
    page = (tmp_path / "index.html").read_text()
    assert page.index("dev-00003") < page.index("dev-00001")
    assert page.count('<img src="dev-0000') == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html",
        *(f"dev-0000{clip}.{ending}" for clip in (1, 3) for ending in ("png", "gif")),
    }


def test_of_clips_of_like_length_the_one_with_most_levels_is_shown(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[NegativeExample] = []
    monkeypatch.setattr(gallery, "gallery", lambda title, found, *_: shown.extend(found) or "")
    choice = ("--run-dir", str(small_run.directory), "--out", str(tmp_path), "--split", "dev")
    assert inspect([*choice, "--count", "3"]) == 0
    chosen = {example.id: len(example.left_out) for example in shown}
    assert inspect([*choice, "--clips", *(f"dev-{clip:05}" for clip in range(12))]) == 0
    left_out = [len(example.left_out) for example in shown[3:]]
    best = [4 * group + left_out[4 * group : 4 * group + 4].index(min(left_out[4 * group :][:4])) for group in range(3)]
    assert chosen == {f"dev-{clip:05}": left_out[clip] for clip in best}


def test_a_clip_or_run_that_is_not_there_is_named(
    small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path))
    assert inspect(["--run-dir", str(small_run.directory), "--clips", "nobody", *out]) == 2
    assert "there is no clip nobody in split train" in capsys.readouterr().out
    assert inspect(["--run-dir", str(tmp_path), *out]) == 2
    assert "there is no run here" in capsys.readouterr().out
