"""One trial: the alignment of an ordinary run, with the stages before it shared by all trials of the search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import tune
from rich.console import Console

from signdpo.cluster.plan import start_ray
from signdpo.data.stream import ClipStore
from signdpo.pipeline.run import stages_of
from signdpo.pipeline.stage import Outputs, RunContext, finished, input_key, run_stage
from signdpo.pipeline.stages.align import align, alignment_schedule
from signdpo.storage.files import join, write_text
from signdpo.training.fit import checkpoints_of
from signdpo.tuning.negatives import await_negatives
from signdpo.tuning.scores import ReportScores, report
from signdpo.tuning.space import Space


@dataclass(frozen=True)
class Shared:
    """What all trials of a search have in common.

    Args:
        space: what they vary.
        directory: of the search.
        before: outputs of the stages before the alignment.
        store: the training clips.
        turns: `TurnsActor`, which says when a trial may train.
        desk: `NegativesDesk` where the space decides negatives; None where all trials read the same.
    """

    space: Space
    directory: str
    before: dict[str, Outputs]
    store: ClipStore
    turns: Any
    desk: Any


def run_trial(settings: dict[str, Any], shared: Shared) -> None:
    """Align with these settings, as far as an earlier start of the search has not done it; report to Ray Tune."""
    config, trial_id = shared.space.config(settings), tune.get_context().get_trial_id()
    start_ray(config)
    directory = trial_directory(shared.directory, trial_id)
    context = RunContext(config, directory, Console(), upstream=shared.directory)
    write_text(context.path("config.yaml"), config.to_yaml())
    stage = next(stage for stage in stages_of(config) if stage.name == "align")
    checkpoints = checkpoints_of(context, "align", input_key(stage.inputs(shared.before)))
    epoch_steps = alignment_schedule(config, shared.store).epoch_steps

    def kept_score() -> float | None:
        return checkpoints.best_score(config.dpo.select_by)

    def work(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
        ray.get(shared.turns.take.remote(trial_id))
        if shared.desk is not None:
            await_negatives(shared.desk, config)
        scores = ReportScores(config.dpo.select_by, epoch_steps, kept_score())
        return align(context, before, key, store=shared.store, callbacks=[scores])

    if finished(context, stage, shared.before) is None:
        run_stage(context, replace(stage, work=work), shared.before)
    tune.report(report(kept_score(), epoch_steps[-1], epoch_steps))


def trial_directory(search: str, trial_id: str) -> str:
    """Where a trial of a search keeps what it makes: a run directory without the stages before the alignment."""
    return join(search, "trials", trial_id)
