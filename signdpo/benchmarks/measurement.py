"""What benchmarks share: made-up clips, a stopwatch, and the machine that figures were taken on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Final, TypeVar

import numpy as np

SEED: Final = 1
Item = TypeVar("Item")
Figures = dict[str, float | str]
# The arrays of one clip as the pickles of the Uni-Sign release hold them: `keypoints` and `scores`.
Pose = dict[str, list[np.ndarray]]


def make_pose(generator: np.random.Generator, frames: int) -> Pose:
    """A made-up clip: joints anywhere in the picture, one in ten with a confidence below the threshold."""
    return {
        "keypoints": [generator.random((1, 133, 2)) for _ in range(frames)],
        "scores": [generator.uniform(0.22, 1, (1, 133)).astype(np.float32) for _ in range(frames)],
    }


def seconds_of(run: Callable[[Item], object], items: Iterable[Item]) -> float:
    """How long it takes to do something with each item. Results are dropped, as a reader does with a clip it stored."""
    begin = time.perf_counter()
    for item in items:
        run(item)
    return time.perf_counter() - begin


def machine() -> Figures:
    """What the figures were taken on."""
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
        "system": platform.system(),
        **{name: version(name) for name in ("numpy", "pyarrow", "ray", "torch", "signdpo")},
        "python": platform.python_version(),
    }
