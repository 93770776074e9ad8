"""Which trackers follow a training."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from rich.console import Console

from signdpo.config import Config, ConfigError
from signdpo.monitoring.gauges import RayGauges
from signdpo.monitoring.services import MlflowTracker, WandbTracker
from signdpo.monitoring.tensorboard import TensorBoardTracker
from signdpo.monitoring.trackers import Tracker, Trackers, Training
from signdpo.storage.files import join


def follow(training: Training, console: Console) -> Trackers:
    """The trackers of a training: Ray's metrics and TensorBoard always, others if the configuration asks for them."""
    tracking = training.config.tracking
    openers: dict[str, Callable[[], Tracker]] = {
        "Ray metrics": lambda: RayGauges(training),
        "TensorBoard": lambda: TensorBoardTracker(
            join(training.directory, training.stage, "tensorboard"), start_step=training.start_step
        ),
    }
    if (project := tracking.wandb) is not None:
        openers["Weights & Biases"] = lambda: WandbTracker(training, project)
    if (uri := tracking.mlflow) is not None:
        openers["MLflow"] = lambda: MlflowTracker(training, uri)
    return Trackers(openers, console)


def check_tracking(config: Config) -> None:
    """Raise `ConfigError` if a tracker is asked for that is not installed."""
    for key, asked, module, package in (
        ("wandb", config.tracking.wandb, "wandb", "wandb"),
        ("mlflow", config.tracking.mlflow, "mlflow", "mlflow-skinny"),
    ):
        if asked is not None and importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"tracking.{key}={asked}: {module} is not installed here: pip install {package}, or set "
                f"tracking.{key}=null"
            )
