"""What training reports, as metrics of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signdpo.levels import LEVELS
from signdpo.monitoring.metrics import CLIPS_TRAINED, GAUGES
from signdpo.monitoring.trackers import Tracker, Training


class RayGauges(Tracker):
    """Sets the gauges of `signdpo.monitoring.metrics` to what was last reported, again and again: Ray forgets them."""

    def __init__(self, training: Training) -> None:
        self.gauges = {gauge.source: gauge.create(**training.labels) for gauge in GAUGES}
        self.clips = CLIPS_TRAINED.create(**training.labels)
        self.values: dict[tuple[str, str | None], float] = {
            ("step", None): training.start_step,
            ("steps_planned", None): training.total_steps,
        }
        self.beat()

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            source, _, level = name.rpartition("/")
            place = (source, level) if level in LEVELS else (name, None)
            if place[0] in self.gauges:
                self.values[place] = float(value)
        if row.get("rows"):
            self.clips.inc(row["rows"])
        self.beat()

    def beat(self) -> None:
        for (source, level), value in self.values.items():
            self.gauges[source].set(value, {} if level is None else {"level": level})
