"""What may be said of the best trial: its test, once and beside a control, and how much of its lead luck may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from signdpo.evaluation.significance import PairedBootstrap
from signdpo.evaluation.tables import show_systems
from signdpo.pipeline.stage import finished, read_manifest, run_stages
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.align import Align
from signdpo.pipeline.stages.control import Control
from signdpo.pipeline.stages.evaluation import Evaluation
from signdpo.pipeline.stages.translation import Translation
from signdpo.run_context import RunContext
from signdpo.tuning.results import TrialResult
from signdpo.tuning.trial import TrialInputs, trial_context

WIDTH: Final = 2 * NormalDist().inv_cdf(0.975)  # standard errors in a 95 % interval
AFTERWARDS: Final = (Control.name, Translation.name, Evaluation.name)  # stages that only the best trial has


def report_winner(context: RunContext, shared: TrialInputs, results: Sequence[TrialResult]) -> None:
    """Train the best trial's control, evaluate it as a run is, and say how much of its lead may be luck.

    Args:
        context: of the search.
        shared: inputs of its trials.
        results: of the trials, the best first; nothing is evaluated while some are unfinished.
    """
    best = results[0]
    if best.score is None or any(result.state == "unfinished" for result in results):
        return
    trial = trial_context(shared, best.id, best.settings, context.console)
    aligned = finished(trial, Align(), shared.before)
    if aligned is None:
        context.warn(f"trial {best.id}, the best, was stopped early, so it is not tested: align with best.yaml")
        return
    earlier = [
        result.id
        for result in results[1:]
        if read_manifest(trial_context(shared, result.id, result.settings, context.console), Evaluation)
    ]
    before = shared.before.extended(Align(), aligned)
    outputs = run_stages(trial, [stage for stage in stages_of(trial.config) if stage.name in AFTERWARDS], before)
    found = outputs[Evaluation].splits
    context.console.print(f"\nThe best trial, {best.id}, beside the control of its settings", style="bold")
    show_systems(context.console, found, outputs[Translation].length_penalties)
    scored = sum(result.score is not None for result in results)
    if context.config.dpo.select_by == "eval_bleu4":
        context.say(describe_luck(next(iter(found["dev"].comparison.values()))["bleu4"], scored))
    if "test" not in found:
        context.say("evaluation.splits leaves test alone: what there is was used to choose the trial")
    if earlier:
        context.warn(f"test was looked at before, for trial {', '.join(earlier)}: this is another look, and less worth")


def expected_best(trials: int) -> float:
    """The expected maximum of so many independent standard normal numbers: 0 of one, 0.56 of two, 1.42 of eight."""
    places = np.linspace(-9.0, 9.0, 9001)
    below = np.array([NormalDist().cdf(place) for place in places]) ** trials
    return float(np.sum((places[1:] + places[:-1]) / 2 * np.diff(below)))


def describe_luck(difference: PairedBootstrap, trials: int) -> str:
    """What the best of so many trials is expected to gain on dev if all are equal in truth.

    Args:
        difference: between two trainings on dev. Trials are scored on the same clips, so what tells equal ones apart is
            the error of such a difference, of which each of the two has its share.
        trials: number that were scored.
    """
    error = (difference.confidence_high - difference.confidence_low) / WIDTH / math.sqrt(2)
    lead = expected_best(trials)
    return (
        f"of {trials} trials that are equal in truth the best is expected {lead * error:.2f} BLEU-4 above their mean "
        f"on dev, by luck ({lead:.2f} standard errors of {error:.2f}, by the paired bootstrap)"
    )
