"""Stages of the small run done anew in a directory of their own, and what to compare of them."""

from __future__ import annotations

import shutil
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from signdpo.config import load_config
from signdpo.models.policy import Policy
from signdpo.pipeline.stage import Results, finished, run_stage
from signdpo.pipeline.stages import stages_of
from signdpo.run_context import RunContext
from signdpo.training.ledger import read_ledger
from signdpo.training.step_metrics import read_metrics
from support.small_runs import SMALL, SmallRun

VARYING = {"wait_share", "generators"}  # of the machine and its processes, not of the training
JOBS = Path(__file__).parents[2] / "jobs"


def command(directory: Path | str, *overrides: str) -> list[str]:
    """`jobs/align.py` on the small run."""
    settings = [part for override in (*SMALL, *overrides) for part in ("--set", override)]
    return [sys.executable, str(JOBS / "align.py"), "--run-dir", str(directory), *settings]


def context_of(directory: Path, *overrides: str) -> RunContext:
    return RunContext(load_config(None, [*SMALL, *overrides]), str(directory), Console(file=StringIO(), width=300))


def run_again(run: SmallRun, directory: Path, stage: str, *overrides: str) -> RunContext:
    """One stage of the small run anew, in a directory that has what comes before it."""
    if not directory.exists():
        shutil.copytree(run.directory, directory, ignore=shutil.ignore_patterns(stage, "translation"))
    context, before = context_of(directory, *overrides), Results()
    for each in stages_of(context.config):
        if each.name == stage:
            run_stage(context, each, before)
            break
        if each.name == "control":  # nobody builds on it but the translation
            continue
        outputs = finished(context, each, before)
        # A stage between that the small run does not have: its cached negatives.
        before.add(each, run_stage(context, each, before) if outputs is None else outputs)
    return context


def metrics_of(directory: Path | str, stage: str) -> list[dict[str, Any]]:
    rows = read_metrics(f"{directory}/{stage}/metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in VARYING} for row in rows]


def ledger_of(directory: Path | str) -> list[dict[str, Any]]:
    (folder,) = Path(directory, "align").glob("ledger-*")
    return read_ledger(str(folder)).drop_columns(["generator"]).to_pylist()


def policy_hash(directory: Path | str, stage: str) -> str:
    return Policy.load(f"{directory}/{stage}/policy").hash()


def assert_same_training(directory: Path | str, straight: Path | str, stage: str) -> None:
    scores = {"eval_bleu4", "eval_nll"}  # where there were checkpoints
    for resumed, expected in zip(metrics_of(directory, stage), metrics_of(straight, stage), strict=True):
        for name in (resumed.keys() | expected.keys()) - scores:
            assert resumed[name] == expected[name], f"step {expected['step']}, {name}"


def align_again(run: SmallRun, directory: Path, *overrides: str) -> list[dict[str, Any]]:
    """Metrics of the align stage, run anew beside everything that comes before it."""
    context = run_again(run, directory, "align", *overrides)
    return read_metrics(context.path("align", "metrics.jsonl"))
