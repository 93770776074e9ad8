"""What lies in a checkpoint's folder; light enough for Ray's controllers to import."""

from __future__ import annotations

import json

import ray.train

MODEL_FOLDER = "model"  # a policy, or a language perturber
TRAINER_FILE = "trainer.pt"  # optimiser, schedule, random state
PROGRESS_FILE = "progress.json"


def read_step(checkpoint: ray.train.Checkpoint) -> int:
    """The step a checkpoint was written at, without fetching the rest of it."""
    with checkpoint.filesystem.open_input_stream(f"{checkpoint.path}/{PROGRESS_FILE}") as file:
        return int(json.loads(file.read())["step"])
