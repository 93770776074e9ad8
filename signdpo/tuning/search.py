"""A search from start to end: what trials share, the trials by Ray Tune, what came out."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import warnings
from fnmatch import fnmatch

import optuna
from ray import tune
from ray.tune import ResumeConfig
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console

from signdpo.cluster.plan import begin_ray, joined_cluster
from signdpo.config import Config, ConfigError, lay_over
from signdpo.pipeline.preflight import check_config, demands_of
from signdpo.pipeline.run import show_plan, stages_of
from signdpo.pipeline.stage import plan, run_stages
from signdpo.pipeline.stages.clips import training_clips
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.run_context import RunContext
from signdpo.storage.files import absolute, exists, join, list_folder, read_text, write_bytes, write_text
from signdpo.training.checkpoint import better
from signdpo.tuning.baseline import baseline_score
from signdpo.tuning.halving import Halving
from signdpo.tuning.picture import search_figure
from signdpo.tuning.plan import TRIAL_CPUS, TrialCapacity, show_search, trial_capacity
from signdpo.tuning.record import RECORD, check_record, record_of
from signdpo.tuning.results import TrialResult, ranked, show_results, to_csv
from signdpo.tuning.scores import SCORE
from signdpo.tuning.settings import SearchConfig
from signdpo.tuning.slots import FreeSlots, TrialSlotsActor
from signdpo.tuning.space import Space
from signdpo.tuning.trial import TrialInputs, run_trial
from signdpo.tuning.trial_logger import TrialLogger
from signdpo.tuning.winner import AFTERWARDS, report_winner

TUNE_FOLDER = "tune"  # Ray Tune's own records of the search
STATE_FILES = "experiment_state-*.json"
MOST_STARTUP_TRIALS = 10

# Tune's loggers and tracebacks would flood a log; its state is saved every second, so that a kill loses next to none.
# Its handler of Ctrl-C would let the search go on as if the trials had come to an end.
TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


def run_search(config: Config, search: SearchConfig, directory: str, console: Console) -> list[TrialResult]:
    """Do what trials share, then the trials that are not done, and show what came out; the best trial comes first.

    Args:
        config: the base of all trials.
        search: what to vary and how.
        directory: of the search, a local path or URI; the same command in the same directory goes on.
        console: where a person reads.

    Raises:
        ConfigError: before any work, if the base or a corner of the space cannot be run here, or if the directory holds
            another search.
    """
    space = Space.of(config, search.space)
    base = space.base
    check_config(base)
    context = RunContext(base, absolute(directory), console)
    check_record(context, search)
    stages = [stage for stage in stages_of(base) if stage.shared]
    needed = demands_of(base, stages)
    begin_ray(base, [*needed, *demands_of(base, [stage for stage in stages_of(base) if stage.name in AFTERWARDS])])
    show_plan(context, plan(context, stages), needed)
    capacity = trial_capacity(base, joined_cluster(), trials=search.trials, concurrent=search.concurrent)
    show_search(console, space, search, capacity)
    if not exists(context.path(RECORD)):  # config.yaml may be that of best.yaml by now, aligned in this directory
        write_text(context.path("config.yaml"), base.to_yaml())
        write_text(context.path(RECORD), record_of(base, search))
    before = run_stages(context, stages)
    slots = TrialSlotsActor.remote(capacity.trials)
    shared = TrialInputs(space, context.directory, before, training_clips(context), slots)
    baseline = baseline_score(context, before[Pretrain].policy_hash)
    trials = run_trials(context, shared, search, capacity)
    results = ranked([TrialResult.of(trial) for trial in trials], base.dpo.select_by)
    show_results(console, results, base.dpo.select_by, baseline)
    save(context, space, results, baseline)
    report_winner(context, shared, results)
    point_to_best(context, results, config)
    return results


def run_trials(context: RunContext, shared: TrialInputs, search: SearchConfig, capacity: TrialCapacity) -> list[Trial]:
    """All trials by Ray Tune; those that ended in an earlier start are only read.

    `tune.run`, since `Tuner.restore` takes callbacks, scheduler and concurrency from a pickle of the first start.
    """
    metric = context.config.dpo.select_by
    scheduler: TrialScheduler = FIFOScheduler()
    if search.scheduler == "asha":
        scheduler = Halving(
            epochs=shared.space.most_epochs(), grace_epochs=search.grace_epochs, keep_one_in=search.keep_one_in
        )
    resume = ResumeConfig(errored=ResumeConfig.ResumeType.RESUME) if can_resume(context) else None
    quiet()
    analysis = tune.run(
        tune.with_parameters(run_trial, shared=shared),
        name=TUNE_FOLDER,
        storage_path=context.directory,
        config=shared.space.domains(),
        num_samples=search.trials,
        metric=SCORE,
        mode=better(metric),
        search_alg=OptunaSearch(sampler=sampler_of(search)),
        scheduler=scheduler,
        max_concurrent_trials=capacity.trials,
        resources_per_trial={"cpu": TRIAL_CPUS},
        callbacks=[TrialLogger(context.console, metric, search.trials), FreeSlots(shared.slots)],
        raise_on_failed_trial=False,
        resume_config=resume,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
        verbose=0,
    )
    return list(analysis.trials)


def sampler_of(search: SearchConfig) -> optuna.samplers.BaseSampler:
    """Who suggests settings. TPE draws at random until it has seen a third of the trials, or ten."""
    if search.algorithm == "random":
        return optuna.samplers.RandomSampler(seed=search.seed)
    startup = min(MOST_STARTUP_TRIALS, math.ceil(search.trials / 3))
    return optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=startup)


def can_resume(context: RunContext) -> bool:
    """Whether an earlier start of the search has left trials.

    Raises:
        ConfigError: if what it left cannot be read; Ray Tune would begin anew without a word.
    """
    folder = context.path(TUNE_FOLDER)
    states = [name for name in list_folder(folder) if fnmatch(name, STATE_FILES)]
    if not states:
        return False
    newest = join(folder, max(states))
    try:
        return bool(json.loads(read_text(newest))["trial_data"])
    except (json.JSONDecodeError, KeyError) as error:
        raise ConfigError(
            f"{newest} was cut off while it was written: remove it to go on from the state before it, or, if "
            "there is no other experiment_state-*.json, to begin the trials anew"
        ) from error


def quiet() -> None:
    """Leave what is said about trials to the announcer."""
    for name, value in TUNE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A trial that goes on reports to Optuna from the beginning; what counts there is what it ends with.
    warnings.filterwarnings("ignore", message="The reported value is ignored")


def save(context: RunContext, space: Space, results: list[TrialResult], baseline: float) -> None:
    """Write `trials.csv` and `search.png`."""
    write_text(context.path("trials.csv"), to_csv(results))
    picture = io.BytesIO()
    search_figure(results, space, baseline).savefig(picture, format="png", dpi=160)
    write_bytes(context.path("search.png"), picture.getvalue())


def point_to_best(context: RunContext, results: list[TrialResult], config: Config) -> None:
    """Write the best trial's configuration as `best.yaml`, and say how to use it and where everything is."""
    console, best = context.console, results[0]
    for name in ("trials.csv", "search.png"):
        console.print(f"{name:<12} {context.path(name)}", markup=False, soft_wrap=True)
    if best.score is None:
        console.print("no trial was scored, so there is no best.yaml; run the same command again", style="yellow")
        return
    place = context.path("best.yaml")
    write_text(place, lay_over(config, best.settings).to_yaml())
    console.print(f"{'best.yaml':<12} {place}: trial {best.id}", markup=False, soft_wrap=True)
    console.print(
        f"align with it, from the clips, baseline and negatives of this search:\n"
        f"  python jobs/align.py --config {place} --run-dir {context.directory} --set negatives.mode=cached",
        markup=False,
        soft_wrap=True,
    )
