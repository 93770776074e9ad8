"""Clips as OpenPose writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CLIP = "-fZc293MpJk_0-1-rgb_front"


def person(x: float = 0.0, confidence: float = 0.5, **parts: Any) -> dict[str, Any]:
    """Point p of each part is at (x + p, 10 + p)."""
    counts = {"pose": 25, "face": 70, "hand_left": 21, "hand_right": 21}
    numbers = {
        f"{part}_keypoints_2d": [number for point in range(count) for number in (x + point, 10.0 + point, confidence)]
        for part, count in counts.items()
    }
    return {"person_id": [-1], **numbers, **parts}


def frame(*people: dict[str, Any]) -> str:
    return json.dumps({"version": 1.3, "people": list(people)})


def write_clip(folder: Path, frames: list[str], name: str = CLIP, first: int = 0) -> None:
    folder.mkdir(parents=True)
    for number, content in enumerate(frames, start=first):
        (folder / f"{name}_{number:012d}_keypoints.json").write_text(content)
