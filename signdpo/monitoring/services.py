"""Trackers of others, imported only where they are asked for: Weights & Biases and MLflow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

from signdpo.config import flat
from signdpo.monitoring.trackers import Tracker, Training, scalars
from signdpo.storage.files import is_local

EXPERIMENT = "signdpo"  # of MLflow
PARAMS_AT_ONCE = 100  # that MLflow takes


class WandbTracker(Tracker):
    """A run of Weights & Biases for each stage that trains, in a group with the name of our run.

    A resumed training goes on in the same run; steps that are done again are left out, since it takes no step twice.
    """

    def __init__(self, training: Training, project: str) -> None:
        import wandb

        self.run = wandb.init(
            project=project,
            group=training.run,
            name=f"{training.run}-{training.stage}",
            id=training.id,
            resume="allow",
            config=training.config.model_dump(mode="json"),
            dir=training.directory if is_local(training.directory) else tempfile.gettempdir(),
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.step = training.start_step

    def log(self, row: Mapping[str, Any]) -> None:
        if row["step"] > self.step:
            self.step = row["step"]
            self.run.log(scalars(row), step=self.step)

    def close(self) -> None:
        self.run.finish()


class MlflowTracker(Tracker):
    """A run of MLflow for each stage that trains, in the experiment `signdpo`; a resumed one goes on in its run."""

    def __init__(self, training: Training, uri: str) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self.client.create_experiment(EXPERIMENT)
        tags = {"signdpo.training": training.id, "signdpo.run": training.run, "signdpo.stage": training.stage}
        earlier = self.client.search_runs([experiment], f"tags.`signdpo.training` = '{training.id}'")
        self.step = 0
        if earlier:
            self.run_id = earlier[0].info.run_id
            logged = self.client.get_metric_history(self.run_id, "loss")
            self.step = max((metric.step for metric in logged), default=0)
            self.client.update_run(self.run_id, status="RUNNING")
        else:
            name = f"{training.run}-{training.stage}"
            self.run_id = self.client.create_run(experiment, run_name=name, tags=tags).info.run_id
            self._log_params(training)

    def _log_params(self, training: Training) -> None:
        from mlflow.entities import Param

        params = [Param(key, str(value)) for key, value in flat(training.config.model_dump(mode="json")).items()]
        for begin in range(0, len(params), PARAMS_AT_ONCE):
            self.client.log_batch(self.run_id, params=params[begin : begin + PARAMS_AT_ONCE])

    def log(self, row: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric

        if row["step"] > self.step:
            self.step = row["step"]
            now = int(1000 * time.time())
            metrics = [Metric(name, value, now, self.step) for name, value in scalars(row).items()]
            self.client.log_batch(self.run_id, metrics=metrics)

    def close(self) -> None:
        self.client.set_terminated(self.run_id)
