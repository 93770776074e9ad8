"""The application metrics of a run: every name, its labels, its unit and where its value comes from.

Ray exports them to Prometheus under the prefix `ray_`, with labels of its own beside ours (`WorkerId`, `NodeAddress`,
`SessionName`). Of Ray 2.60 one must know that a gauge is gone two report intervals after it was last set, that a
histogram ignores negative values, and that its `_sum` is made of the middles of its buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import ray.util.metrics

RUN: Final = ("run",)
RUN_LEVEL: Final = ("run", "level")
RUN_STAGE: Final = ("run", "stage")
RUN_STAGE_LEVEL: Final = ("run", "stage", "level")


@dataclass(frozen=True)
class Definition:
    """One metric.

    Args:
        name: in Ray.
        kind: counters only grow, also over what died; gauges hold the last value.
        labels: `run` is the run directory's name, `stage` the stage that trains, `level` one of the five.
        unit: of its value.
        description: what it tells; Prometheus shows it.
        source: of a gauge, the metric in the rows that training reports, without its level.
        boundaries: of a histogram's buckets, positive.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    unit: str
    description: str
    source: str | None = None
    boundaries: tuple[float, ...] = ()

    def create(self, **labels: str) -> Any:
        """A metric of `ray.util.metrics`, with those labels given that do not change."""
        text = f"{self.description} ({self.unit})"
        if self.kind == "counter":
            metric = ray.util.metrics.Counter(self.name, text, self.labels)
        elif self.kind == "gauge":
            metric = ray.util.metrics.Gauge(self.name, text, self.labels)
        else:
            metric = ray.util.metrics.Histogram(self.name, text, list(self.boundaries), self.labels)
        return metric.set_default_tags(labels)

    @property
    def exported(self) -> tuple[str, ...]:
        """Its names in Prometheus."""
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
        return tuple(f"ray_{self.name}{ending}" for ending in endings[self.kind])


CLIPS_GENERATED = Definition(
    "signdpo_clips_generated", "counter", RUN, "clips", "Clips that generators have made negatives of"
)
NEGATIVES_GENERATED = Definition(
    "signdpo_negatives_generated", "counter", RUN_LEVEL, "negatives", "Negatives made, accepted or not"
)
NEGATIVES_ACCEPTED = Definition(
    "signdpo_negatives_accepted", "counter", RUN_LEVEL, "negatives", "Negatives that teach; the others are masked"
)
NEGATIVES_REDRAWN = Definition(
    "signdpo_negatives_redrawn", "counter", RUN_LEVEL, "draws", "Draws after the first, for margins outside the band"
)
REFERENCE_MARGIN = Definition(
    "signdpo_reference_margin",
    "histogram",
    RUN_LEVEL,
    "nats a sentence",
    "Reference margin log r(chosen) - log r(rejected) of the negatives; negative ones count as 0",
    boundaries=(0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0),
)
GENERATION_SECONDS = Definition(
    "signdpo_generation_seconds",
    "histogram",
    RUN,
    "seconds",
    "Time that a generator takes for a batch",
    boundaries=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0),
)
CLIPS_TRAINED = Definition("signdpo_clips_trained", "counter", RUN_STAGE, "clips", "Clips trained on, over all workers")
WAIT_SECONDS = Definition(
    "signdpo_wait_seconds",
    "counter",
    (*RUN_STAGE, "rank"),
    "seconds",
    "Time that a training worker has waited for batches; its rate is the share of the time",
)
RESTARTS = Definition("signdpo_restarts", "counter", RUN_STAGE, "restarts", "Times that training workers failed")

GAUGES: Final = (
    Definition("signdpo_step", "gauge", RUN_STAGE, "steps", "Optimiser steps done", "step"),
    Definition("signdpo_steps_planned", "gauge", RUN_STAGE, "steps", "Optimiser steps of the stage", "steps_planned"),
    Definition("signdpo_epoch", "gauge", RUN_STAGE, "epochs", "Epoch in training, from 0", "epoch"),
    Definition("signdpo_loss", "gauge", RUN_STAGE, "nats", "Training loss of the last step", "loss"),
    Definition("signdpo_gradient_norm", "gauge", RUN_STAGE, "norm", "Gradient norm before clipping", "grad_norm"),
    Definition("signdpo_learning_rate", "gauge", RUN_STAGE, "rate", "Learning rate of the last step", "lr"),
    Definition("signdpo_dev_bleu4", "gauge", RUN_STAGE, "BLEU-4", "Greedy BLEU-4 on dev", "eval_bleu4"),
    Definition("signdpo_dev_nll", "gauge", RUN_STAGE, "nats a token", "Negative log-likelihood on dev", "eval_nll"),
    Definition(
        "signdpo_chosen_drift",
        "gauge",
        RUN_STAGE,
        "nats a sentence",
        "log p(chosen) against step zero, where the policy is the reference",
        "logps/chosen_drift",
    ),
    Definition(
        "signdpo_policy_version_lag",
        "gauge",
        RUN_STAGE,
        "updates",
        "How many updates old the policy was that guided a step's negatives, with negatives.policy=current",
        "policy_version_lag",
    ),
    Definition("signdpo_level_loss", "gauge", RUN_STAGE_LEVEL, "nats", "Preference loss of a level", "losses"),
    Definition(
        "signdpo_reward_margin",
        "gauge",
        RUN_STAGE_LEVEL,
        "reward",
        "Chosen reward - rejected reward",
        "rewards/margins",
    ),
    Definition(
        "signdpo_reward_accuracy",
        "gauge",
        RUN_STAGE_LEVEL,
        "share",
        "Share of the pairs whose chosen reward is the higher",
        "rewards/accuracies",
    ),
)

DEFINITIONS: Final = (
    CLIPS_GENERATED,
    NEGATIVES_GENERATED,
    NEGATIVES_ACCEPTED,
    NEGATIVES_REDRAWN,
    REFERENCE_MARGIN,
    GENERATION_SECONDS,
    CLIPS_TRAINED,
    WAIT_SECONDS,
    RESTARTS,
    *GAUGES,
)
