"""Reading the Grafana board: its panels, their queries, and the metrics these name."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any


def load_board() -> dict[str, Any]:
    return dict(json.loads((files("signdpo.monitoring") / "grafana.json").read_text(encoding="utf-8")))


def panels_of(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries_of(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in panels_of(board) for target in panel["targets"]]


def metrics_in(query: str) -> list[str]:
    """The names of metrics in a PromQL query; labels bear such names too."""
    without_labels = re.sub(r'\{(?:[^{}"]|"[^"]*")*\}', "", query)
    without_labels = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", without_labels)
    return re.findall(r"\bray_\w+", without_labels)
