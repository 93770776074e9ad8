"""A negative with its picture, and the rows of a run, as the report is given them."""

from __future__ import annotations

import numpy as np

from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.report.negatives import NegativeExample


def random_clip(frames: int, seed: int) -> np.ndarray:
    clip = np.random.default_rng(seed).uniform(-1, 1, size=(frames, 69, 3)).astype(np.float32)
    clip[..., 2] = 1.0
    return clip


def negative_example(text: str = "go home now", rejected_text: str = "go away now") -> NegativeExample:
    clip = random_clip(30, seed=1)
    frozen = clip.copy()
    frozen[10:20] = frozen[10]
    return NegativeExample(
        id="clip-7",
        text=text,
        rejected_text=rejected_text,
        keypoints=clip,
        perturbed={**dict.fromkeys(SKELETON_LEVELS, clip[::-1]), "temporal_local": frozen},
        frame_salience=np.linspace(0, 1, 30),
        part_salience=np.array([1.0, 2.0, 6.0, 1.0]),
        operations={"temporal_local": "freeze"},
        reference_margins={level: index - 1.5 for index, level in enumerate(LEVELS)},
    )


def logged_rows(count: int = 60) -> list[dict[str, float]]:
    return [
        {"step": step, "loss": 1 / (1 + step), "logps/chosen": -30.0 - step, "wait_share": 0.1}
        | {f"rewards/margins/{level}": 0.1 * step for level in LEVELS}
        | {f"rewards/accuracies/{level}": 0.5 for level in LEVELS}
        for step in range(count)
    ]
