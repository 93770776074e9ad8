"""Configurations of the project that tests start from."""

from __future__ import annotations

from pathlib import Path

ALL_LEVELS = Path(__file__).resolve().parents[2] / "jobs" / "configs" / "all_levels.yaml"  # the default teaches one
