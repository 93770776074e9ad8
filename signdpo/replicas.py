"""A run with several seeds: alignments and controls of the same baseline, or several baselines.

Each seed is a run of its own in `<run directory>/seeds/<seed>` or `baselines/<seed>`, which finds the first stages in
the run directory; the run's own seed is the run itself. What is up to date is skipped, as in any run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from signdpo.config import Config, ConfigError, lay_over
from signdpo.data.clips import read_clips
from signdpo.evaluation.replicates import Replicates, show_rows
from signdpo.evaluation.significance import Measurement, Measurements
from signdpo.evaluation.systems import comparisons_of, protocol_of
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.pipeline.preflight import check_run
from signdpo.pipeline.run import show_plan
from signdpo.pipeline.stage import Stage, plan, run_stages
from signdpo.pipeline.stages import shared_stages, stages_of
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.negatives import Negatives
from signdpo.pipeline.stages.report import Report
from signdpo.pipeline.stages.translation import read_split
from signdpo.report.markdown import to_markdown
from signdpo.report.scores import SPLITS
from signdpo.run_context import RunContext, Upstream
from signdpo.storage.files import absolute, join, write_text


@dataclass(frozen=True)
class Replication:
    """What the seeds of a run vary.

    Args:
        name: of the folder that has a run for each seed, and of the files with the table.
        key: of the configuration that is the seed.
        stages: names of the stages that all of them share.
        said: what the seeds are of, in words.
    """

    name: str
    key: str
    stages: frozenset[str]
    said: str

    def seed_of(self, config: Config) -> int:
        """The seed of the run itself."""
        return config.seed if self.key == "seed" else config.alignment_seed


SEEDS: Final = Replication(
    "seeds", "dpo.seed", shared_stages() - {Negatives.name}, "control and alignment of the same baseline"
)
BASELINES: Final = Replication("baselines", "seed", frozenset({Clips.name}), "baseline, control and alignment")


def run_replicas(
    config: Config, directory: str, seeds: Sequence[int], console: Console, kind: Replication = SEEDS
) -> Replicates:
    """Do all that is not up to date, and show one table; it is kept as `<name>.json` and `.md`.

    Raises:
        ConfigError: before any work, if a seed is named twice or the configuration cannot be run here.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"the seeds {' '.join(map(str, seeds))} must all differ")
    main = RunContext(config, absolute(directory), console)
    replicas = {seed: replica_of(main, seed, kind) for seed in seeds}
    shared = [stage for stage in stages_of(config) if stage.name in kind.stages]
    needed = check_run(main, stages_of(config))
    show_plan(main, plan(main, shared), needed)
    write_text(main.path("config.yaml"), config.to_yaml())
    run_stages(main, shared)
    for place, (seed, context) in enumerate(replicas.items()):
        which = f" ({place + 1} of {len(seeds)})  {context.directory}"
        console.print(Text.assemble((f"\nseed {seed}", "bold"), which), soft_wrap=True)
        write_text(context.path("config.yaml"), context.config.to_yaml())
        run_stages(context, replica_stages(context))
    split = next(split for split in SPLITS if split in config.evaluation.splits)
    found = compare_replicas(config, replicas, split)
    tell(main, found, kind, split)
    return found


def replica_of(main: RunContext, seed: int, kind: Replication) -> RunContext:
    """The run of a seed; of the run's own seed that is the run."""
    if seed == kind.seed_of(main.config):
        return main
    config = lay_over(main.config, {kind.key: seed})
    directory = join(main.directory, kind.name, str(seed))
    return RunContext(config, directory, main.console, Upstream(main.directory, kind.stages))


def replica_stages(context: RunContext) -> list[Stage[Any]]:
    """All, but a page for the run itself alone."""
    return [stage for stage in stages_of(context.config) if context.upstream is None or stage.name != Report.name]


def compare_replicas(config: Config, replicas: dict[int, RunContext], split: str) -> Replicates:
    """The systems of runs that are done, from their stored sentences."""
    measured: dict[str, dict[int, Measurements]] = {}
    for seed, context in replicas.items():
        for system, found in measure_systems(context, split).items():
            measured.setdefault(system, {})[seed] = found
    resampling = {"samples": config.evaluation.bootstrap_samples, "seed": config.seed}
    return Replicates.of(measured, comparisons_of(list(measured)), **resampling)


def measure_systems(
    context: RunContext, split: str, systems: Sequence[str] | None = None
) -> dict[str, dict[str, Measurement]]:
    """System -> all that can be resampled of what it said to a split; `systems`: as `read_split` has them."""
    training = TrainingSentences.of(read_clips(context.clips, "train", columns=["text"]).column("text").to_pylist())
    said = read_split(context, split, systems)
    return {system: said.measure(system, training, **protocol_of(context.config)) for system in said.hypotheses}


def tell(main: RunContext, found: Replicates, kind: Replication, split: str) -> None:
    """The table on the console and in files."""
    note = (
        f"Seeds of {kind.said}. Intervals and p-values are of other clips and other seeds (bootstrap of both, all "
        "seeds of a clip kept together); of few seeds they underrate the spread, so see each seed."
    )
    console = main.console
    console.print(f"\nBeam search on {SPLITS[split]}", style="bold", markup=False)
    show_rows(console, found.score_rows(), words=2)
    show_rows(console, found.difference_rows(), words=2)
    console.print(note, style="dim", markup=False)
    tables = "\n".join(map(to_markdown, (found.score_rows(), found.difference_rows())))
    write_text(main.path(f"{kind.name}.md"), f"{SPLITS[split]}\n\n{tables}\n{note}\n")
    write_text(main.path(f"{kind.name}.json"), json.dumps({"split": split, **found.to_dict()}, indent=1))
    for name in (f"{kind.name}.md", f"{kind.name}.json"):
        console.print(f"{name:<15} {main.path(name)}", markup=False, soft_wrap=True)
