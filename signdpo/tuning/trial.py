"""One trial: the alignment of an ordinary run, with the stages before it shared by all trials of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from rich.console import Console

from signdpo.cluster.plan import start_ray
from signdpo.data.stream import ClipStore
from signdpo.pipeline.commands import open_console
from signdpo.pipeline.stage import Inputs, Results, finished, run_stage
from signdpo.pipeline.stages import shared_stages
from signdpo.pipeline.stages.align import Align, Alignment, AlignOutputs, align
from signdpo.pipeline.stages.clips import alignment_schedule
from signdpo.run_context import RunContext, Upstream
from signdpo.storage.files import join, write_text
from signdpo.training.fit import checkpoints_of
from signdpo.tuning.plan import fewest_generators
from signdpo.tuning.scores import ReportScores, report
from signdpo.tuning.space import Space


@dataclass(frozen=True)
class TrialInputs:
    """What all trials of a search have in common.

    Args:
        space: what they vary.
        directory: directory of the search.
        before: outputs of the stages before the alignment.
        store: training clips.
        slots: `TrialSlots` actor, which says when a trial may train.
    """

    space: Space
    directory: str
    before: Results
    store: ClipStore
    slots: Any


class TrialAlign(Align):
    """The stage `align` of a trial, which waits for its slot and reports its scores.

    Args:
        trial_id: name of the trial.
        shared: inputs that all trials have in common.
    """

    def __init__(self, trial_id: str, shared: TrialInputs) -> None:
        self.trial_id, self.trials = trial_id, shared

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> AlignOutputs:
        ray.get(self.trials.slots.take.remote(self.trial_id))
        metric, epoch_steps = (
            context.config.dpo.select_by,
            alignment_schedule(context.config, self.trials.store).epoch_steps,
        )
        scores = ReportScores(metric, epoch_steps, self.best_score(context, inputs))
        return align(context, before, inputs, Alignment(self.trials.store, [scores]))

    def best_score(self, context: RunContext, inputs: Inputs) -> float | None:
        """The dev score of the policy that the trial keeps, so far."""
        return checkpoints_of(context, self.name, inputs.training_key).best_score(context.config.dpo.select_by)


def run_trial(settings: dict[str, Any], shared: TrialInputs) -> None:
    """Align with these settings, as far as an earlier start of the search has not done it; report to Ray Tune."""
    trial_id = tune.get_context().get_trial_id()
    context = trial_context(shared, trial_id, settings, open_console())
    config = context.config
    start_ray(config)
    write_text(context.path("config.yaml"), config.to_yaml())
    stage = TrialAlign(trial_id, shared)
    if finished(context, stage, shared.before) is None:
        run_stage(context, stage, shared.before)
    epoch_steps = alignment_schedule(config, shared.store).epoch_steps
    score = stage.best_score(context, stage.inputs(config, shared.before))
    tune.report(report(score, epoch_steps[-1], epoch_steps))


def trial_context(shared: TrialInputs, trial_id: str, settings: Mapping[str, Any], console: Console) -> RunContext:
    """A trial as a run of its own, which finds the stages before the alignment in the search's directory."""
    config = fewest_generators(shared.space.config(settings))
    upstream = Upstream(shared.directory, shared_stages())
    return RunContext(config, join(shared.directory, "trials", trial_id), console, upstream)
