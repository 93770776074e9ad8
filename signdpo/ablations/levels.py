"""What each level is worth: every arm from the same baseline, over seeds, beside a control of equal steps and time.

Everything lies in `ablation/` of a run directory, each arm and seed as a run of its own that finds the first stages in
the run. Arms train by Ray Tune on negatives that are made once for each seed and guidance. What is done is skipped, so
the same command goes on after a kill.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console

from signdpo.ablations.arms import (
    ALL,
    EQUAL_TIME,
    METHOD,
    Arm,
    chosen_arms,
    comparisons_of_arms,
    equal_epochs,
    equal_time,
    level_rows,
    markdown,
    notes_of,
    time_rows,
)
from signdpo.cluster.plan import joined_cluster, start_ray
from signdpo.config import Config, ConfigError, lay_over
from signdpo.data.stream import ClipStore
from signdpo.evaluation.replicates import Replicates, show_rows
from signdpo.evaluation.significance import Measurements
from signdpo.evaluation.systems import ALIGNED, CONTROL, name_of
from signdpo.levels import LEVELS
from signdpo.monitoring.teaching import NothingTaughtError
from signdpo.pipeline.commands import open_console
from signdpo.pipeline.preflight import check_run
from signdpo.pipeline.run import show_plan
from signdpo.pipeline.stage import Results, Stage, finished, plan, read_manifest, run_stages
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.align import Align, Alignment
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.control import Control
from signdpo.pipeline.stages.negatives import Negatives, training_clips
from signdpo.pipeline.stages.perturber import Perturber
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.pipeline.stages.translation import Translation
from signdpo.replicas import SEEDS, measure_systems
from signdpo.report.forest import arms_figure
from signdpo.report.scores import SPLITS
from signdpo.run_context import RunContext, Upstream
from signdpo.storage.files import absolute, exists, join, read_json, write_bytes, write_json, write_text
from signdpo.training.fit import DivergedError
from signdpo.training.step_metrics import read_metrics
from signdpo.tuning.plan import TRIAL_CPUS, trial_capacity
from signdpo.tuning.results import last_line
from signdpo.tuning.search import quiet

FOLDER: Final = "ablation"
FAILURE: Final = "failure.json"
FAILED: Final = {"NothingTaughtError": "taught nothing", "DivergedError": "diverged"}  # results, not faults


class ArmsFailedError(RuntimeError):
    """Some arms did not come to an end."""


@dataclass(frozen=True)
class Run:
    """An arm with a seed, as a run of its own.

    Args:
        arm: what it is.
        seed: of control and alignment.
        config, directory, upstream: as a `RunContext` has them.
    """

    arm: Arm
    seed: int
    config: Config
    directory: str
    upstream: Upstream

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.seed}"

    def stage(self, store: ClipStore | None = None) -> Stage[Any]:
        """What trains it, on clips that are in the object store already."""
        return Control(store) if self.arm.system == CONTROL else Align(Alignment(store))

    def context(self, console: Console) -> RunContext:
        return RunContext(self.config, self.directory, console, self.upstream)

    def train(self, context: RunContext, before: Results, store: ClipStore | None = None) -> None:
        """Train it; that it taught nothing or diverged is noted, since it is a result."""
        stages = [*([] if self.arm.system == CONTROL else [Negatives()]), self.stage(store)]
        try:
            run_stages(context, stages, before)
        except (NothingTaughtError, DivergedError) as error:
            key = self.stage().inputs(self.config, before).key
            write_json(context.path(FAILURE), {"key": key, "why": FAILED[type(error).__name__], "said": str(error)})

    def failure(self, context: RunContext, before: Results) -> str | None:
        """Why there is no policy, if training ended without one."""
        place = context.path(FAILURE)
        found = read_json(place) if exists(place) else {}
        return str(found["why"]) if found.get("key") == self.stage().inputs(self.config, before).key else None


class ArmTranslation(Translation):
    """What the policy of one arm says.

    Args:
        system: baseline, control or aligned.
        policy_hash: hash of its weights.
    """

    def __init__(self, system: str, policy_hash: str) -> None:
        self.system, self.policy_hash = system, policy_hash

    def purpose(self, config: Config) -> str:
        return f"beam search on {' and '.join(config.evaluation.splits)}"

    def results(self, before: Results) -> dict[str, Any]:
        return {"clips.content_hash": before[Clips].content_hash, "policy_hash": self.policy_hash}

    def policies(self, context: RunContext) -> dict[str, str]:
        folders = {ALIGNED: context.aligned, CONTROL: context.control}
        return {self.system: folders.get(self.system, context.baseline)}


def train_run(settings: dict[str, Any], runs: Mapping[str, Run], before: Results, store: ClipStore) -> None:
    """A trial of Ray Tune: train one run."""
    run = runs[settings["run"]]
    start_ray(run.config)
    run.train(run.context(open_console()), before, store)
    tune.report({"done": 1})


class TellRuns(Callback):
    """A line for each run that ends."""

    def __init__(self, context: RunContext, total: int) -> None:
        self.context, self.total, self.done = context, total, 0

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._tell(trial, "done")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._tell(trial, f"failed ({last_line(trial.get_error())})")

    def _tell(self, trial: Trial, how: str) -> None:
        self.done += 1
        self.context.say(f"{trial.config['run']}: {how} ({self.done} of {self.total})")


class LevelsAblation:
    """The ablation of one run directory.

    Args:
        config: of the run.
        directory: of the run, finished or new.
        seeds: of control and alignment.
        console: where a person reads.
        arms: names of those beside baseline and control; all by default.
    """

    def __init__(
        self, config: Config, directory: str, seeds: Sequence[int], console: Console, arms: Sequence[str] = ()
    ) -> None:
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"the seeds {' '.join(map(str, seeds))} must all differ")
        self.config, self.arms, self.seeds = config, chosen_arms(config, arms), list(seeds)
        control = config.control if config.control != "none" else "steps"
        shared = {"negatives.mode": "cached", "negatives.cache": None, "negatives.levels": list(LEVELS)}
        self.main = RunContext(lay_over(config, {**shared, "control": control}), absolute(directory), console)
        self.before = Results()

    def run(self) -> Replicates:
        """Do what is not done, and write `ablation/levels.md`, `.json` and `.png`."""
        main, stages = self.main, stages_of(self.main.config)
        first = [stage for stage in stages if stage.name in SEEDS.stages]
        needed = check_run(main, stages)
        show_plan(main, plan(main, first), needed)
        if not exists(main.path("config.yaml")):
            write_text(main.path("config.yaml"), self.config.to_yaml())
        self.before = run_stages(main, first)
        runs = [self.run_of(arm, seed) for arm in self.arms.values() for seed in self._seeds_of(arm)]
        self.train([run for run in runs if run.arm.system != "baseline"])
        longer = self.longer_control(runs)
        self.train(longer)
        runs += longer
        measured, failed = self.measure(runs)
        config = main.config
        resampling = {"samples": config.evaluation.bootstrap_samples, "seed": config.seed}
        found = Replicates.of(measured, comparisons_of_arms(list(self.arms.values())), **resampling)
        self.write(found, failed, runs)
        return found

    def _seeds_of(self, arm: Arm) -> list[int]:
        return self.seeds[:1] if arm.system == "baseline" else self.seeds

    def run_of(self, arm: Arm, seed: int) -> Run:
        """An arm with a seed; an aligned one reads the negatives of its seed and guidance."""
        settings = {"dpo.seed": seed, **arm.settings}
        if arm.system == ALIGNED:
            guidance = settings.get("negatives.guidance", self.main.config.negatives.guidance)
            settings["negatives.cache"] = self.negatives_of(guidance, seed).path(Negatives.name)
        return Run(arm, seed, lay_over(self.main.config, settings), *self._place(arm.folder, seed))

    def _place(self, folder: str, seed: int) -> tuple[str, Upstream]:
        return join(self.main.directory, FOLDER, f"{folder}-{seed}"), Upstream(self.main.directory, SEEDS.stages)

    def negatives_of(self, guidance: str, seed: int) -> RunContext:
        """Where the negatives of a guidance and seed are made."""
        config = lay_over(self.main.config, {"dpo.seed": seed, "negatives.guidance": guidance})
        directory, upstream = self._place(f"negatives_{guidance}", seed)
        return RunContext(config, directory, self.main.console, upstream)

    def train(self, runs: Sequence[Run]) -> None:
        """By Ray Tune, as many at a time as there is room for; raises `ArmsFailedError` if one did not end."""
        context = self.main
        waiting = {run.name: run for run in runs if not self.is_done(run)}
        if not waiting:
            return
        aligned = [run for run in waiting.values() if run.arm.system == ALIGNED]
        for guidance, seed in sorted({(run.config.negatives.guidance, run.seed) for run in aligned}):
            context.say(f"negatives with guidance {guidance}, seed {seed}")
            run_stages(self.negatives_of(guidance, seed), [Negatives()], self.before)
        capacity = trial_capacity(context.config, joined_cluster(), trials=len(waiting))
        context.say(f"{len(waiting)} of {len(runs)} runs, {capacity.trials} at a time; {capacity.why}")
        quiet()
        analysis = tune.run(
            tune.with_parameters(train_run, runs=waiting, before=self.before, store=training_clips(context)),
            name="tune",
            storage_path=context.path(FOLDER),
            config={"run": tune.grid_search(list(waiting))},
            max_concurrent_trials=capacity.trials,
            resources_per_trial={"cpu": TRIAL_CPUS},
            callbacks=[TellRuns(context, len(waiting))],
            raise_on_failed_trial=False,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
            verbose=0,
        )
        failed = [trial for trial in analysis.trials if trial.status == Trial.ERROR]
        if failed:
            said = "; ".join(f"{trial.config['run']}: {last_line(trial.get_error())}" for trial in failed)
            raise ArmsFailedError(f"{len(failed)} of {len(waiting)} runs failed; the same command goes on ({said})")

    def is_done(self, run: Run) -> bool:
        context = run.context(self.main.console)
        return bool(finished(context, run.stage(), self.before) or run.failure(context, self.before))

    def longer_control(self, runs: Sequence[Run]) -> list[Run]:
        """Controls that train for as long as all levels took: their perturber, negatives and alignment."""
        dpo = self.main.config.dpo
        if not (spent := self.spent(runs)):
            return []
        longer = equal_epochs(dpo.epochs, sum(spent[name] for name in METHOD), spent[CONTROL])
        arm = equal_time(dpo.epochs, dpo.checkpoint_every, longer)
        return [self.run_of(arm, seed) for seed in self.seeds]

    def spent(self, runs: Sequence[Run]) -> dict[str, float]:
        """Seconds of the control and of what all levels took, medians over the seeds; none where that failed."""
        console, guidance = self.main.console, self.main.config.negatives.guidance
        aligned = [run.context(console) for run in runs if run.arm.name == ALL]
        if not all(read_manifest(context, Align) for context in aligned):
            return {}
        control = [run.context(console) for run in runs if run.arm.name == CONTROL]
        negatives = [self.negatives_of(guidance, seed) for seed in self.seeds]
        return {
            CONTROL: _seconds(control, Control),
            Perturber.name: _seconds([self.main], Perturber),
            Negatives.name: _seconds(negatives, Negatives),
            Align.name: _seconds(aligned, Align),
        }

    def measure(self, runs: Sequence[Run]) -> tuple[dict[str, dict[int, Measurements]], dict[str, str]]:
        """Arm -> seed -> what its policy scores on the split of the headline; and arm -> why it has none."""
        split = self.split
        measured: dict[str, dict[int, Measurements]] = {run.arm.name: {} for run in runs}
        failed: dict[str, str] = {}
        for run in runs:
            context = run.context(self.main.console)
            if run.arm.system == "baseline":
                policy_hash = self.before[Pretrain].policy_hash
            elif (outputs := finished(context, run.stage(), self.before)) is not None:
                policy_hash = outputs.policy_hash
            else:
                failed[run.arm.name] = f"{run.failure(context, self.before)}"
                continue
            self.main.say(f"{run.name}: translated")
            run_stages(context, [ArmTranslation(run.arm.system, policy_hash)], self.before)
            found = measure_systems(context, split, [run.arm.system])[run.arm.system]
            for seed in self.seeds if run.arm.system == "baseline" else [run.seed]:
                measured[run.arm.name][seed] = found
        return measured, failed

    @property
    def split(self) -> str:
        return next(split for split in SPLITS if split in self.main.config.evaluation.splits)

    def write(self, found: Replicates, failed: Mapping[str, str], runs: Sequence[Run]) -> None:
        """Tables on the console, and as files with a picture."""
        context, spent = self.main, self.spent(runs)
        tables = [level_rows(found, failed, self.step_seconds(runs))]
        longer = [run.config.dpo.epochs for run in runs if run.arm.name == EQUAL_TIME]
        notes = notes_of(SPLITS[self.split], self.seeds, context.config.dpo.epochs, longer, spent)
        tables += [time_rows(found)] * bool(longer)
        for rows in tables:
            show_rows(context.console, rows, words=1)
        for note in notes:
            context.console.print(note, style="dim", markup=False)
        figures = {"split": self.split, "failed": dict(failed), "seconds": spent, **found.to_dict()}
        write_text(context.path(FOLDER, "levels.json"), json.dumps(figures, indent=1))
        write_text(context.path(FOLDER, "levels.md"), markdown("What each level is worth", found, tables, notes))
        compared = figures["comparison"]
        if drawn := {pair: compared[pair] for pair in compared if pair.endswith(name_of(("", CONTROL)))}:
            picture = io.BytesIO()
            arms_figure(drawn, found.shown()).savefig(picture, format="png", dpi=160, facecolor="white")
            write_bytes(context.path(FOLDER, "levels.png"), picture.getvalue())
        for name in ("levels.md", "levels.json", *(["levels.png"] if drawn else [])):
            context.console.print(f"{name:<12} {context.path(FOLDER, name)}", markup=False, soft_wrap=True)

    def step_seconds(self, runs: Sequence[Run]) -> dict[str, float]:
        """Arm -> seconds of its training by its steps, the median over its seeds."""
        seconds: dict[str, list[float]] = {}
        for run in runs:
            context = run.context(self.main.console)
            manifest = None if run.arm.system == "baseline" else read_manifest(context, run.stage())
            if manifest is not None:
                steps = read_metrics(context.path(run.stage().name, "metrics.jsonl"))[-1]["step"]
                seconds.setdefault(run.arm.name, []).append(manifest.seconds / steps)
        return {name: median(found) for name, found in seconds.items()}


def _seconds(contexts: Sequence[RunContext], stage: type[Stage[Any]]) -> float:
    """The median time of a stage in some runs."""
    found = [read_manifest(context, stage) for context in contexts]
    return median(manifest.seconds for manifest in found if manifest is not None)
