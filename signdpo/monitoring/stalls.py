"""Stages that stand still: a person is told what is missing, and the run ends before it has cost a night."""

from __future__ import annotations

import _thread
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import ray
from ray._private.state import actors
from ray.autoscaler.v2.sdk import get_cluster_status
from rich.console import Console

from signdpo.config import ResourcesConfig
from signdpo.monitoring.hangs import describe, new_attempts

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0  # for the main thread to leave what it waits for
ASK_SECONDS = 10  # for an answer of Ray's
OURS = ("MapWorker", "RayTrainWorker", "TrainController", "SplitCoordinator")  # classes of actors that do the work


class StalledError(RuntimeError):
    """A stage that reported nothing for `resources.give_up_seconds`."""


class Watchdog:
    """Watches a stage from a thread of the driver, from the moment it is entered.

    Args:
        console: where a person reads.
        resources: for `stall_seconds`, `give_up_seconds` and `generator_timeout_seconds`.
    """

    def __init__(self, console: Console, resources: ResourcesConfig) -> None:
        self.console, self.resources = console, resources
        self.attempts = new_attempts(resources.generator_timeout_seconds)
        self.given_up: str | None = None
        self.heard_at = 0.0
        self.left = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def heard(self) -> None:
        """The stage has come further."""
        self.heard_at = time.monotonic()

    def __enter__(self) -> Watchdog:
        self.heard()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Raises `StalledError` in place of what the main thread was interrupted with."""
        self.left.set()
        self.thread.join()
        if self.given_up is not None:
            raise StalledError(self.given_up) from None

    def _watch(self) -> None:
        told_at = self.heard_at
        while not self.left.wait(POLL_SECONDS):
            self._tell_hangs()
            silent = time.monotonic() - self.heard_at
            if silent > self.resources.give_up_seconds:
                self._give_up(silent)
                return
            told_at = max(told_at, self.heard_at)
            if time.monotonic() - told_at > self.resources.stall_seconds:
                told_at = time.monotonic()
                self._say(f"nothing has been reported for {silent:.0f} s. {describe_cluster()}")

    def _tell_hangs(self) -> None:
        for attempt in ray.get(self.attempts.take.remote()):
            self._say(describe(attempt, self.resources.generator_timeout_seconds))

    def _say(self, text: str) -> None:
        self.console.print(f"  {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def _give_up(self, silent: float) -> None:
        """Interrupt the main thread; end the process if it does not come out of what it waits for."""
        self.given_up = (
            f"nothing has been reported for {silent:.0f} s (resources.give_up_seconds="
            f"{self.resources.give_up_seconds:g}). {describe_cluster()} Start the same command again and it goes on "
            "from the last checkpoint"
        )
        _thread.interrupt_main()
        if not self.left.wait(PATIENCE_SECONDS):
            self.console.print(f"error: {self.given_up}", style="bold red", markup=False, soft_wrap=True)
            os._exit(1)


def describe_cluster() -> str:
    """Who is alive, who waits for a place, what there is and where the logs are, for a person."""
    try:
        return _describe_cluster()
    except Exception as error:  # of many kinds, when the head of the cluster is what has failed
        return f"Ray does not answer either ({error}). Logs: {_logs()}."


def _describe_cluster() -> str:
    status = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=ASK_SECONDS)
    job = ray.get_runtime_context().get_job_id()
    states: dict[str, Counter[str]] = {"alive": Counter(), "to come": Counter()}
    for actor in actors().values():
        if actor["JobID"] == job and actor["State"] != "DEAD" and actor["ActorClassName"].startswith(OURS):
            made_by = re.findall(r"MapBatches\((\w+)\)", actor["ActorClassName"])  # of operators in one actor the last
            name = made_by[-1] if made_by else actor["ActorClassName"]
            states["alive" if actor["State"] == "ALIVE" else "to come"][name] += 1
    demands = status.resource_demands
    asked = [*demands.placement_group_demand, *demands.ray_task_actor_demand, *demands.cluster_constraint_demand]
    pending = Counter[str]()
    for demand in asked:
        for request in demand.bundles_by_count:
            pending[_resources(request.bundle)] += request.count
    nodes = len(status.active_nodes) + len(status.idle_nodes)
    free = {
        name: ray.available_resources().get(name, 0.0) for name in ("CPU", "GPU") if name in ray.cluster_resources()
    }
    return (
        f"Alive: {_counted(states['alive'])}. Starting or starting again: {_counted(states['to come'])}. "
        f"Waiting for a place: {_counted(pending)}. The cluster has {nodes} nodes, free are {_resources(free)}"
        + _trouble(status)
        + f". Logs: {_logs()}, or the Ray dashboard."
    )


def _counted(what: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(what.items())) or "nothing"


def _resources(bundle: dict[str, float]) -> str:
    return " + ".join(f"{amount:g} {name}" for name, amount in bundle.items()) or "nothing"


def _trouble(status: Any) -> str:
    """What the autoscaler is doing, or failed to do."""
    parts: Iterable[tuple[str, list[Any]]] = (
        ("nodes being started", [*status.pending_launches, *status.pending_nodes]),
        ("launches failed", status.failed_launches),
        ("nodes lost", status.failed_nodes),
    )
    return "".join(f", {len(found)} {name}" for name, found in parts if found)


def _logs() -> str:
    return f"{ray._private.worker.global_worker.node.get_logs_dir_path()} on each node"
