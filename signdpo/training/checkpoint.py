"""What lies in a checkpoint's folder; light enough for Ray's controllers to import."""

from __future__ import annotations

import json
from typing import Literal

import ray.train

MODEL_FOLDER = "model"  # a policy, or a language perturber
TRAINER_FILE = "trainer.pt"  # optimiser, schedule, random state
PROGRESS_FILE = "progress.json"
LOWER_IS_BETTER = frozenset({"eval_nll"})  # of the dev scores


def better(score: str | None) -> Literal["max", "min"]:
    """Which values of a dev score are better, as Ray says it."""
    return "min" if score in LOWER_IS_BETTER else "max"


def read_step(checkpoint: ray.train.Checkpoint) -> int:
    """The step a checkpoint was written at, without fetching the rest of it."""
    with checkpoint.filesystem.open_input_stream(f"{checkpoint.path}/{PROGRESS_FILE}") as file:
        return int(json.loads(file.read())["step"])
