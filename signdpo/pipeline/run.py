"""A run from corpus to report: its stages, what each depends on, and the plan a person sees first."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import begin_ray
from signdpo.config import Config, ConfigError, parse_config
from signdpo.corpora.planning import list_entries
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import fingerprint
from signdpo.negatives.skeleton.negative import check_operations
from signdpo.pipeline.negative_examples import picture
from signdpo.pipeline.policy_checks import initial_files
from signdpo.pipeline.preflight import check_run
from signdpo.pipeline.stage import MANIFEST, Outputs, RunContext, Stage, finished, plan, run_stage, run_stages
from signdpo.pipeline.stages.align import align
from signdpo.pipeline.stages.clips import prepare
from signdpo.pipeline.stages.evaluation import SPLITS, evaluate
from signdpo.pipeline.stages.perturber import make_perturber
from signdpo.pipeline.stages.pretrain import pretrain
from signdpo.pipeline.stages.report import report
from signdpo.report.negatives import NegativeExample
from signdpo.storage.files import absolute, exists, join, read_json, read_text, write_text

COMPARED = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "rouge_l")


def run(config: Config, directory: str, console: Console) -> dict[str, Outputs]:
    """Do every stage that is not up to date, and show what came out.

    Raises:
        ConfigError: before any work, if the configuration cannot be run here.
    """
    context = RunContext(config, absolute(directory), console)
    stages = stages_of(config)
    needed = check_run(context)
    show_plan(context, plan(context, stages), needed)
    write_text(context.path("config.yaml"), config.to_yaml())
    outputs = run_stages(context, stages)
    show_comparison(context, outputs["evaluation"])
    show_places(context, outputs)
    return outputs


def evaluate_run(directory: str, console: Console) -> Outputs:
    """Translate and score dev and test again with the policies of a finished run, and show the comparison.

    Raises:
        ConfigError: if the run is not there, or was not aligned.
    """
    context = open_run(directory, console)
    config, directory = context.config, context.directory
    before: dict[str, Outputs] = {}
    begin_ray(config, "evaluation")
    for stage in stages_of(config):
        if stage.name == "evaluation":
            before[stage.name] = run_stage(context, stage, before)
            show_comparison(context, before[stage.name])
            return before[stage.name]
        outputs = finished(context, stage, before)
        if outputs is None:
            raise ConfigError(
                f"--run-dir {directory}: the stage {stage.name} is not up to date; run jobs/align.py first"
            )
        before[stage.name] = outputs
    raise AssertionError("a run has an evaluation stage")


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


def picture_run(context: RunContext, **choice: Any) -> list[NegativeExample]:
    """Negatives of a run whose perturber is there, made again; keywords are those of `picture`.

    Raises:
        ConfigError: if the run has not come so far.
    """
    for stage in ("clips", "pretrain", "perturber"):
        if not exists(context.path(stage, MANIFEST)):
            raise ConfigError(f"--run-dir {context.directory}: the stage {stage} is not done; run jobs/align.py first")
    check_operations(context.config.negatives)
    begin_ray(context.config, "evaluation")  # which takes as many generators at least
    reference_hash = read_json(context.path("pretrain", MANIFEST))["outputs"]["policy_hash"]
    return picture(context, reference_hash, **choice)


def stages_of(config: Config) -> list[Stage]:
    """The stages in order. What a stage's `inputs` return is all that decides its result."""
    corpus = open_source(config.corpus)
    tree = config.model_dump(mode="json")

    @cache
    def listed() -> str:
        entries = list_entries(corpus, config.corpus.limit)
        return fingerprint(corpus, (entry for split in entries.values() for entry in split))

    def clips(before: dict[str, Outputs]) -> dict[str, Any]:
        return {"corpus": tree["corpus"], "source": listed()}

    def policy(before: dict[str, Outputs]) -> dict[str, Any]:
        own = {key: tree[key] for key in ("seed", "policy", "pretrain")}
        own |= {"initial": files} if (files := initial_files(config)) else {}
        if held_out := config.negatives.perturber.held_out_share:
            own |= {"held_out_share": held_out}
        return own | {"clips": before["clips"]["hash"], "workers": config.resources.pretrain_workers}

    def perturber(before: dict[str, Outputs]) -> dict[str, Any]:
        own = {"seed": config.seed, "perturber": tree["negatives"]["perturber"]}
        own |= {key: tree["negatives"][key] for key in ("operations", "strength")}  # of the distorted clips
        own |= {key: tree["evaluation"][key] for key in ("num_beams", "max_new_tokens")}
        return own | {"clips": before["clips"]["hash"], "policy": before["pretrain"]["policy_hash"]}

    def aligned(before: dict[str, Outputs]) -> dict[str, Any]:
        own = {key: tree[key] for key in ("seed", "dpo")} | {"workers": config.resources.workers}
        # The same negatives, whether cached or streamed.
        own["negatives"] = {key: value for key, value in tree["negatives"].items() if key not in ("mode", "cache")}
        own |= {"reference": before["pretrain"]["policy_hash"], "pairs": before["perturber"]["pairs"]}
        return own | {"clips": before["clips"]["hash"]}  # a policy from outside says nothing about the clips

    def scores(before: dict[str, Outputs]) -> dict[str, Any]:
        hashes = {name: before[name]["policy_hash"] for name in ("pretrain", "align")}
        return hashes | {"evaluation": tree["evaluation"], "clips": before["clips"]["hash"]}

    def page(before: dict[str, Outputs]) -> dict[str, Any]:
        return {"evaluation": before["evaluation"], "aligned": before["align"]["policy_hash"]}

    return [
        Stage("clips", f"{config.corpus.kind} corpus to Parquet shards", clips, prepare),
        Stage("pretrain", "the policy by maximum likelihood", policy, pretrain),
        Stage("perturber", "the policy's failures, and a model that writes such sentences", perturber, make_perturber),
        Stage("align", "negatives stream from the generators into DPO", aligned, align),
        Stage("evaluation", "aligned beside baseline on dev and test", scores, evaluate),
        Stage("report", "report.html", page, report),
    ]


def show_plan(context: RunContext, planned: list[tuple[Stage, bool]], needed: list[Demand]) -> None:
    """Stages and resources, before anything starts."""
    table = Table(title=f"SignDPO run in {context.directory}", title_justify="left")
    for column in ("stage", "", "what", "logical CPUs and GPUs at a time"):
        table.add_column(column)
    for stage, current in planned:
        resources = "\nthen ".join(str(demand) for demand in needed if demand.stage == stage.name)
        table.add_row(stage.name, "up to date" if current else "to do", stage.purpose, resources)
    context.console.print(table)


def show_comparison(context: RunContext, evaluation: Outputs) -> None:
    """The aligned policy beside its baseline."""
    table = Table(title="Beam-search translation", title_justify="left")
    for column in ("split", "policy", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "chrF", "ROUGE-L"):
        table.add_column(column, justify="left" if column in ("split", "policy") else "right")
    for split in SPLITS:
        for name, result in evaluation["results"].items():
            table.add_row(split, name, *(f"{result[split][metric]:.2f}" for metric in COMPARED))
    context.console.print(table)
    for split in SPLITS:
        compared = evaluation["comparison"][split]
        context.console.print(
            f"{split}: BLEU-4 {compared['delta']:+.2f} "
            f"[95 % {compared['confidence_low']:+.2f} to {compared['confidence_high']:+.2f}], "
            f"p = {compared['p_value']:.3f} (paired bootstrap, {compared['samples']} samples)",
            markup=False,
        )
    context.console.print(evaluation["results"]["baseline"]["dev"]["signature"], style="dim", markup=False)


def show_places(context: RunContext, outputs: dict[str, Outputs]) -> None:
    """Examples, what was refused, and where everything is."""
    if outputs["report"]["warning"]:
        context.console.print(outputs["report"]["warning"], style="yellow", markup=False)
    for example in outputs["report"]["examples"]:
        for name, sentence in example.items():
            context.console.print(f"  {name:<9} {sentence}", markup=False)
        context.console.print()
    refused = outputs["clips"]["quarantined"]
    if refused:
        context.console.print(
            f"[yellow]{refused} clips were quarantined:[/] {context.path('clips', 'quarantine.jsonl')}"
        )
    context.console.print(f"aligned policy  {context.aligned}", markup=False, soft_wrap=True)
    context.console.print(f"scores          {context.path('evaluation')}", markup=False, soft_wrap=True)
    context.console.print(f"report          {context.path('report.html')}", markup=False, soft_wrap=True)
