"""What a job's log shows of a stage."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from signdpo.monitoring.progress import StageProgress


@pytest.mark.parametrize(("total", "line"), [(40, "clips: 15/40 clips"), (None, "clips: 15 clips")])
def test_a_line_has_the_total_where_it_is_known(monkeypatch: pytest.MonkeyPatch, total: int | None, line: str) -> None:
    monkeypatch.setattr("signdpo.monitoring.progress.LOG_SECONDS", 0.0)
    console = Console(file=StringIO(), width=100)
    with StageProgress(console, "clips", total=None, unit="clips") as progress:
        progress.update(15, total=total)
    assert line in console.file.getvalue()  # type: ignore[attr-defined]
