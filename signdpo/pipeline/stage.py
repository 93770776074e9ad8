"""The stages of a run and their resumption."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from signdpo.config import Config
from signdpo.storage.files import exists, join, read_json, write_json

MANIFEST = "stage.json"
BEFORE_ALIGNMENT = ("clips", "pretrain", "perturber", "negatives")  # folders that many alignments can share


@dataclass(frozen=True)
class RunContext:
    """What every stage is given.

    Args:
        config: resolved.
        directory: of the run, a local path or an fsspec URI.
        console: where a person reads.
        upstream: the run whose clips, baseline, perturber and cached negatives this one builds on; None: its own.
    """

    config: Config
    directory: str
    console: Console
    upstream: str | None = None

    def path(self, *parts: str) -> str:
        """A place in the run directory, or in the upstream one's if that has this stage."""
        upstream = self.upstream if parts[0] in BEFORE_ALIGNMENT else None
        return join(upstream or self.directory, *parts)

    @property
    def name(self) -> str:
        """Of the run: its directory's, after that of the upstream one. The dashboards tell runs apart by it."""
        directories = (self.upstream, self.directory)
        return "-".join(place.rstrip("/").rsplit("/", 1)[-1] for place in directories if place is not None)

    def warn(self, message: str) -> None:
        self.console.print(f"  {message}", style="yellow", markup=False, soft_wrap=True)

    # Places are derived and never stored: a run directory may be moved.

    @property
    def baseline(self) -> str:
        """The MLE policy, which is also the frozen reference."""
        return self.path("pretrain", "policy")

    @property
    def perturber(self) -> str:
        return self.path("perturber", "model")

    @property
    def aligned(self) -> str:
        return self.path("align", "policy")


Outputs = dict[str, Any]  # of a stage: plain JSON, small


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: also of its folder in the run directory.
        purpose: a few words for the plan.
        inputs: outputs of the stages before -> everything that decides this stage's result, as plain JSON.
        work: does it; is given the context, the outputs of the stages before and a short key of the inputs.
    """

    name: str
    purpose: str
    inputs: Callable[[dict[str, Outputs]], dict[str, Any]]
    work: Callable[[RunContext, dict[str, Outputs], str], Outputs]


def input_key(inputs: dict[str, Any]) -> str:
    """A short hash of a stage's inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def finished(context: RunContext, stage: Stage, before: dict[str, Outputs]) -> Outputs | None:
    """The outputs of a stage that is up to date, else None."""
    path = context.path(stage.name, MANIFEST)
    if not exists(path):
        return None
    manifest = read_json(path)
    return dict(manifest["outputs"]) if manifest["key"] == input_key(stage.inputs(before)) else None


def plan(context: RunContext, stages: list[Stage]) -> list[tuple[Stage, bool]]:
    """Each stage and whether it is up to date; what follows a stage that must run must run too."""
    planned: list[tuple[Stage, bool]] = []
    before: dict[str, Outputs] = {}
    current = True
    for stage in stages:
        outputs = finished(context, stage, before) if current else None
        current = outputs is not None
        before[stage.name] = outputs or {}
        planned.append((stage, current))
    return planned


def run_stages(context: RunContext, stages: list[Stage]) -> dict[str, Outputs]:
    """Run what is not up to date, in order."""
    before: dict[str, Outputs] = {}
    for stage in stages:
        outputs = finished(context, stage, before)
        before[stage.name] = run_stage(context, stage, before) if outputs is None else outputs
    return before


def run_stage(context: RunContext, stage: Stage, before: dict[str, Outputs]) -> Outputs:
    """Run one stage; its manifest is written last, so a stage that is cut off runs again."""
    context.console.print(f"[bold]{stage.name}[/]  {stage.purpose}")
    inputs = stage.inputs(before)
    key = input_key(inputs)
    began = time.monotonic()
    outputs = stage.work(context, before, key)
    seconds = time.monotonic() - began
    manifest = {"key": key, "inputs": inputs, "outputs": outputs, "seconds": round(seconds, 1)}
    write_json(context.path(stage.name, MANIFEST), manifest)
    context.console.print(f"  done in {seconds:.0f} s")
    return outputs
