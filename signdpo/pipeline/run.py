"""A run from corpus to report: the plan a person sees first, the stages, and what came out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, begin_ray, generators
from signdpo.config import ConfigError, parse_config
from signdpo.config.tree import Config
from signdpo.evaluation.tables import show_systems
from signdpo.pipeline.preflight import check_run, demands_of
from signdpo.pipeline.stage import Planned, Results, Stage, finished, plan, read_outputs, run_stage, run_stages
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.evaluation import Evaluation, EvaluationOutputs
from signdpo.pipeline.stages.perturber import Perturber
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.pipeline.stages.report import Report
from signdpo.pipeline.stages.segments import Segments
from signdpo.pipeline.stages.translation import Translation
from signdpo.run_context import RunContext
from signdpo.storage.files import absolute, exists, join, read_text, write_text

if TYPE_CHECKING:
    from signdpo.report.negatives import NegativeExample


def run(config: Config, directory: str, console: Console) -> Results:
    """Do every stage that is not up to date, and show what came out.

    Raises:
        ConfigError: before any work, if the configuration cannot be run here.
    """
    context = RunContext(config, absolute(directory), console)
    stages = stages_of(config)
    needed = check_run(context, stages)
    show_plan(context, plan(context, stages), needed)
    write_text(context.path("config.yaml"), config.to_yaml())
    outputs = run_stages(context, stages)
    show_comparison(context, outputs)
    show_places(context, outputs)
    return outputs


def evaluate_run(directory: str, console: Console) -> EvaluationOutputs:
    """Translate and score dev and test again with the policies of a finished run, and show the comparison.

    Raises:
        ConfigError: if the run is not there, or was not aligned.
    """
    context = open_run(directory, console)
    again: list[Stage[Any]] = [Translation(), Evaluation()]
    before = Results()
    for stage in stages_of(context.config):
        if stage.name in {each.name for each in again}:
            break
        if (outputs := finished(context, stage, before)) is None:
            raise ConfigError(
                f"--run-dir {context.directory}: the stage {stage.name} is not up to date; run jobs/align.py first"
            )
        before.add(stage, outputs)
    begin_ray(context.config, demands_of(context.config, again))
    for stage in again:
        before.add(stage, run_stage(context, stage, before))
    show_comparison(context, before)
    return before[Evaluation]


def open_run(directory: str, console: Console, overrides: Iterable[str] = ()) -> RunContext:
    """An earlier run with the configuration it had, overrides laid over it.

    Raises:
        ConfigError: if there is no run.
    """
    directory = absolute(directory)
    if not exists(join(directory, "config.yaml")):
        raise ConfigError(f"--run-dir {directory}: there is no run here (no config.yaml)")
    config = parse_config(yaml.safe_load(read_text(join(directory, "config.yaml"))), overrides)
    return RunContext(config, directory, console)


def picture_run(
    context: RunContext, *, split: str = "train", ids: Sequence[str] = (), count: int = 3, epoch: int = 0
) -> list[NegativeExample]:
    """Negatives of a run whose perturber is there, made again; see `negative_examples`.

    Raises:
        ConfigError: if the run has not come so far.
    """
    from signdpo.negatives.skeleton.negative import check_operations
    from signdpo.pipeline.negative_examples import negative_examples

    read_outputs(context, Clips)
    reference_hash = read_outputs(context, Pretrain).policy_hash
    if Perturber().is_wanted(context.config):
        read_outputs(context, Perturber)
    if Segments().is_wanted(context.config):
        read_outputs(context, Segments)
    check_operations(context.config.negatives)
    begin_ray(context.config, [Demand("pictures", (generators(context.config.resources), DATA_TASK))])
    return negative_examples(context, reference_hash, split=split, ids=ids, count=count, epoch=epoch)


def show_plan(context: RunContext, planned: Sequence[Planned], needed: Sequence[Demand]) -> None:
    """Stages, why they are to be done, and resources, before anything starts."""
    table = Table(title=Text(f"SignDPO run in {context.directory}"), title_justify="left")
    for column in ("stage", "to do", "what", "logical CPUs and GPUs at a time"):
        table.add_column(column)
    for each in planned:
        resources = "\nthen ".join(str(demand) for demand in needed if demand.stage == each.stage.name)
        told = Text(each.reason or "up to date"), Text(each.stage.purpose(context.config))
        table.add_row(each.stage.name, *told, resources)
    context.console.print(table)


def show_comparison(context: RunContext, outputs: Results) -> None:
    """The systems beside each other, and what differs."""
    show_systems(context.console, outputs[Evaluation].splits, outputs[Translation].length_penalties)


def show_places(context: RunContext, outputs: Results) -> None:
    """Examples, what was refused, and where everything is."""
    report = outputs[Report]
    if report.warning:
        context.console.print(report.warning, style="yellow", markup=False)
    for example in report.examples:
        for name, sentence in example.items():
            context.console.print(f"  {name:<9} {sentence}", markup=False)
        context.console.print()
    refused = outputs[Clips].quarantined
    if refused:
        context.console.print(
            Text.assemble(
                (f"{refused} clips were quarantined:", "yellow"), f" {context.path('clips', 'quarantine.jsonl')}"
            )
        )
    for name, place in (
        ("aligned policy", context.aligned),
        ("scores", context.path(Evaluation.name)),
        ("report", context.path("report.html")),
    ):
        context.console.print(f"{name:<15} {place}", markup=False, soft_wrap=True)
