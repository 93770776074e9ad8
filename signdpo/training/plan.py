"""What a stage hands to a training, and a training to the loop of each worker; light, since Ray's processes read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray.data

from signdpo.config import Config, DpoConfig, PretrainConfig
from signdpo.training.checkpoint import CheckpointStore


@dataclass(frozen=True)
class MleSettings:
    """Settings of maximum likelihood: pre-training, or the control of an alignment.

    Args:
        initial: folder of the policy that training starts from.
        clips: folder of the ingested clips.
        epoch_steps: steps done at the end of each epoch.
        choices: how to optimise.
        precision: `float32` or `bfloat16`, and the key that says so.
        label_smoothing: of the likelihood.
        seed: of dropout and augmentation.
        dropout: whether the policy trains with dropout.
        own_norm: whether it keeps its batch normalisation as it is.
        weight: of the likelihood.
        checkpoint_every: steps between two checkpoints; None: one an epoch.
        from_zero: whether the initial policy is a checkpoint, too, that may be the best.
    """

    initial: str
    clips: str
    epoch_steps: Sequence[int]
    choices: PretrainConfig | DpoConfig
    precision: tuple[str, str]
    label_smoothing: float
    seed: int
    dropout: bool = True
    own_norm: bool = False
    weight: float = 1.0
    checkpoint_every: int | None = None
    from_zero: bool = False

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is due after so many steps."""
        return step in self.epoch_steps or (self.checkpoint_every is not None and step % self.checkpoint_every == 0)


@dataclass(frozen=True)
class LanguageSettings:
    """Settings of what a language model learns from text.

    Args:
        initial: folder of the untrained model and its tokenizer.
        text: folder of `sentences.parquet` (`text`).
    """

    initial: str
    text: str


@dataclass(frozen=True)
class PerturberSettings:
    """Settings of the perturber's fine-tuning.

    Args:
        policy: folder of the policy, for its tokenizer.
        pairs: folder of `pairs.parquet` (`reference`, `hypothesis`) and of `texts.parquet` (`text`).
    """

    policy: str
    pairs: str


@dataclass(frozen=True)
class DpoSettings:
    """Settings of the alignment.

    Args:
        reference: folder of the frozen reference policy, which training starts from.
        reference_hash: what its weights must hash to.
        clips: folder of the ingested clips.
        warm_steps: first steps, which wait for the generators to load their models.
        epoch_steps: steps done at the end of each epoch.
        ledger: folder of the ledger.
        weights: `WeightStore` that generators follow; None where the reference guides them.
    """

    reference: str
    reference_hash: str
    clips: str
    warm_steps: int
    epoch_steps: Sequence[int]
    ledger: str
    weights: Any = None


Settings = MleSettings | LanguageSettings | PerturberSettings | DpoSettings


@dataclass(frozen=True)
class WorkerRun:
    """What every loop is given beside its settings.

    Args:
        config: configuration of the run.
        threads: threads of torch.
        total_steps: steps of the whole training.
        labels: `run` and `stage`, for metrics.
        identity: what a checkpoint must agree on to be resumed.
        checkpoints: where checkpoints are.
    """

    config: Config
    threads: int
    total_steps: int
    labels: Mapping[str, str]
    identity: Mapping[str, str]
    checkpoints: CheckpointStore


@dataclass(frozen=True)
class TrainingPlan:
    """One training of a stage.

    Args:
        stage: its name, or that of a folder in its folder where it trains several; checkpoints lie there in a folder
            named after `key`, so other inputs never resume from them.
        key: hash of what decides the training.
        section: of the configuration that says how to optimise.
        loop: function of each worker, which Ray Train calls with `settings` and `run`.
        settings: settings of the loop.
        identity: what a checkpoint must agree on to be resumed.
        total_steps: steps of the whole training.
        workers: workers in the training group.
        cpus: CPUs of each worker; also its threads.
        score: metric to keep the best checkpoint by; None keeps the latest.
        stream: first step -> the dataset `train` from there on. Called anew whenever the worker group starts, so what a
            checkpoint has consumed is not made again.
    """

    stage: str
    key: str
    section: str
    loop: Callable[[dict[str, Any]], None]
    settings: Settings
    identity: Mapping[str, str]
    total_steps: int
    workers: int
    cpus: float
    score: str | None
    stream: Callable[[int], ray.data.Dataset] | None = None
