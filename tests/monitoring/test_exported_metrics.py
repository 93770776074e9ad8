"""Every metric on the Grafana board comes out of the endpoint that Prometheus scrapes."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.train
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from support.grafana import load_board, metrics_in, queries_of
from support.reruns import align_again
from support.small_runs import SmallRun

from signdpo.levels import COUNTERFACTUAL, LANGUAGE, LEVELS, SKELETON_LEVELS
from signdpo.monitoring.recorders import CountRestarts

NEEDS_A_GPU = {"ray_node_gpus_utilization", "ray_node_gram_used"}
PATIENCE_SECONDS = 45.0  # Ray exports every ten


class Scraper:
    """Remembers every sample that the endpoint of this machine's Ray has shown."""

    def __init__(self) -> None:
        (node,) = ray.nodes()
        self.url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        self.samples: dict[str, set[str]] = {}  # name -> labels, as they are written
        self.stop = threading.Event()

    def scrape(self) -> None:
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, labels = line.partition("{")
                if labels:
                    self.samples.setdefault(name, set()).add(labels.rpartition("}")[0])

    def labelled(self, name: str, label: str) -> bool:
        return any(label in labels for labels in self.samples.get(name, ()))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Scrape while something runs: gauges of what has ended are gone after a while."""

        def watch() -> None:
            while not self.stop.wait(2.0):
                self.scrape()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join()


@pytest.mark.long
def test_every_metric_of_the_board_is_exported(small_run: SmallRun, tmp_path: Path) -> None:
    assert {name.removeprefix("ray_") for name in NEEDS_A_GPU} <= set(METRICS_GAUGES)
    named = {name for query in queries_of(load_board()) for name in metrics_in(query)} - NEEDS_A_GPU
    scraper = Scraper()
    with scraper.watching():
        following = (
            "negatives.policy=current",
            "negatives.refresh_every=2",
            "negatives.hardness.skeleton.min_margin=0",  # an untrained policy: half is drawn again
        )
        rows = align_again(small_run, tmp_path / "watched", *following)
        CountRestarts({"run": "watched", "stage": "align"}).after_exception(None, {0: RuntimeError("killed")})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while named - set(scraper.samples) and time.monotonic() < deadline:
            time.sleep(1.0)
    assert sorted(named - set(scraper.samples)) == []
    assert len(rows) == 10
    # Of a level without pairs there is no reward; an untrained policy may notice none of some kind.
    taught = {level for level in LEVELS if any(f"rewards/margins/{level}" in row for row in rows)}
    assert taught >= {LANGUAGE, COUNTERFACTUAL}
    assert taught & set(SKELETON_LEVELS)
    for level in LEVELS:
        rewards = ("reward_margin", "reward_accuracy") if level in taught else ()
        for name in ("negatives_generated_total", "reference_margin_bucket", *rewards):
            assert scraper.labelled(f"ray_signdpo_{name}", f'level="{level}"'), (name, level)
    assert any(scraper.labelled("ray_signdpo_negatives_redrawn_total", f'level="{level}"') for level in SKELETON_LEVELS)
    for name in ("step", "wait_seconds_total", "clips_trained_total", "chosen_drift"):
        assert scraper.labelled(f"ray_signdpo_{name}", 'run="watched"'), name
        assert scraper.labelled(f"ray_signdpo_{name}", 'stage="align"'), name
    assert scraper.labelled("ray_data_output_rows", 'dataset="watched-align_')
    assert scraper.labelled("ray_data_output_rows", "GenerateNegatives") or scraper.labelled(
        "ray_data_output_rows", "FollowPolicy"
    )


@pytest.mark.long
def test_a_killed_training_worker_is_counted(ray_cluster: None, tmp_path: Path) -> None:
    def die_once(settings: dict[str, Any]) -> None:  # in here, since Ray's workers cannot import this module
        marker = Path(settings["marker"])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        ray.train.report({"step": 1})

    scraper = Scraper()
    with scraper.watching():
        TorchTrainer(
            die_once,
            train_loop_config={"marker": str(tmp_path / "died")},
            scaling_config=ScalingConfig(num_workers=1),
            run_config=RunConfig(
                name="killed",
                storage_path=str(tmp_path),
                failure_config=FailureConfig(max_failures=1),
                callbacks=[CountRestarts({"run": "killed", "stage": "align"})],
            ),
        ).fit()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not scraper.labelled("ray_signdpo_restarts_total", 'run="killed"') and time.monotonic() < deadline:
            time.sleep(1.0)
    assert scraper.labelled("ray_signdpo_restarts_total", 'run="killed"')
