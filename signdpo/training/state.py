"""What a training loop carries from step to step, what it reports, and its checkpoints."""

from __future__ import annotations

import json
import math
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ray.train
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from signdpo.config import DpoConfig, PerturberConfig, PretrainConfig, TextPretrainConfig
from signdpo.dpo.objective import Objective
from signdpo.totals import Total, means
from signdpo.training.checkpoint import (
    CONFIG_FILE,
    MODEL_FOLDER,
    PROGRESS_FILE,
    TRAINER_FILE,
    CheckpointStore,
    checkpoint_name,
    compare_identity,
    rank_file,
    seal,
)
from signdpo.training.plan import WorkerRun
from signdpo.training.step_metrics import Row, StepMetrics
from signdpo.training.workers import add_up, gather, rank_and_world

MOST_FAULTS = 5  # steps in a row that are not finite, and training has failed
NAMED = 5  # of what is not finite in a step


class Trainable(Protocol):
    """What a checkpoint holds beside the optimiser: a policy, a language model or a language perturber."""

    @property
    def model(self) -> Any:
        """A model of transformers or one with its `from_pretrained`."""

    def save(self, folder: str) -> None: ...


@dataclass
class TrainingState:
    """One model being optimised.

    There is no gradient scaler to keep: training is in float32, or in bfloat16 autocast, whose range needs none.

    Args:
        saved: what a checkpoint's folder holds beside the optimiser: a policy, a language model or a perturber.
        optimizer: over the model's parameters.
        scheduler: learning rate, one step a batch.
        metrics: what was reported of each step.
        start: of the worker group, the same name in all its ranks.
        identity: what a checkpoint must agree on to be resumed: the reference, the schedule of the rows.
        config: resolved, as YAML.
        step: batches consumed so far, over all epochs; with the schedule it tells which rows.
        committed_step: that of the last checkpoint.
        is_new: whether there was no checkpoint to go on from.
        rows: reported since the last one.
        faults: steps in a row, up to now, that were not finite.
    """

    saved: Trainable
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    metrics: StepMetrics
    start: str
    identity: dict[str, str]
    config: str
    step: int = 0
    committed_step: int = 0
    is_new: bool = True
    rows: list[Row] = field(default_factory=list)
    faults: int = 0

    def __post_init__(self) -> None:
        self._remember_buffers()

    @property
    def model(self) -> nn.Module:
        return self.saved.model

    @property
    def is_sound(self) -> bool:
        """Whether a checkpoint is worth having: a bad clip costs its own step, what follows tells of bad weights."""
        return self.faults < 2

    @property
    def has_failed(self) -> bool:
        """Whether there is no going on: too many steps in a row were not finite, as all ranks see."""
        return self.faults >= MOST_FAULTS

    def update(self, objective: Objective, ids: Sequence[str], *, clip_grad_norm: float) -> Row:
        """One optimiser step by the gradient on all workers' rows; none where that or the loss is not finite.

        Args:
            objective: on this worker's rows.
            ids: of their clips.
            clip_grad_norm: largest norm of the gradient.

        Returns:
            `step`, `rows`, `lr`, the metrics of the objective as means over all workers' rows, and `loss` and
            `grad_norm` before clipping; for a step that was skipped `fault`, which says what was not finite.
        """
        terms, metrics, rows = add_up(objective.terms, objective.metrics, {"rows": Total(len(ids), 1)})
        row: Row = {"step": self.step + 1, "rows": int(rows["rows"].sum), "lr": float(self.scheduler.get_last_lr()[0])}
        row |= {name: mean for name, mean in means(metrics).items() if math.isfinite(mean)}
        loss = sum(objective.weights[name] * mean for name, mean in means(terms).items())
        self.optimizer.zero_grad(set_to_none=True)
        sound = math.isfinite(loss)
        if sound:
            row["loss"] = loss
            counts = {name: term.count for name, term in terms.items()}
            objective.loss(counts, workers=rank_and_world()[1]).backward()
            norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), clip_grad_norm))
            sound = math.isfinite(norm)
        if sound:
            row["grad_norm"] = norm
            self.optimizer.step()
            self._remember_buffers()
        else:
            row["fault"] = _fault(objective, ids)
            self.model.load_state_dict(self._buffers, strict=False)  # the forward pass may have spoilt them
        self.faults = 0 if sound else self.faults + 1
        self.scheduler.step()
        self.step += 1
        return row

    def _remember_buffers(self) -> None:
        self._buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def report(self, metrics: Row, *, checkpoint: bool) -> None:
        """Note the metrics of a step, and commit a checkpoint where one is due, which all ranks do together.

        One whose weights are not finite is none, and training has failed.

        Args:
            metrics: metrics with `step` and `epoch`; those of rank 0 are kept.
            checkpoint: whether everything up to this step is committed.
        """
        self.rows.append(metrics)
        if checkpoint and not self._is_finite():
            metrics["fault"], self.faults = "the weights", MOST_FAULTS
        checkpoint = checkpoint and self.is_sound
        if rank_and_world()[0] == 0 and (checkpoint or self.has_failed or self.metrics.is_due()):
            self.metrics.write(self.committed_step + 1, self.rows)
        if checkpoint:
            self.commit(metrics)

    def _is_finite(self) -> bool:
        return all(bool(tensor.isfinite().all()) for tensor in self.model.state_dict().values())

    def commit(self, metrics: Row) -> None:
        """Commit a checkpoint of the current step with its `step`, `epoch` and dev scores; all ranks together."""
        rank, ranks = rank_and_world()
        with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
            torch.save(self._random_state(), f"{folder}/{rank_file(rank)}")
            if rank == 0:
                self._save(folder, metrics)
            seal(folder, rank=rank, ranks=ranks, start=self.start)
            saved = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=saved, checkpoint_dir_name=checkpoint_name(self.step))
        self.committed_step, self.rows = self.step, []

    def _save(self, folder: str, metrics: Row) -> None:
        """What rank 0 keeps for all."""
        self.saved.save(f"{folder}/{MODEL_FOLDER}")
        state = {"optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict()}
        torch.save(state, f"{folder}/{TRAINER_FILE}")
        progress = {"step": self.step, "epoch": metrics["epoch"], "identity": self.identity, "metrics": metrics}
        Path(folder, PROGRESS_FILE).write_text(json.dumps(progress))
        Path(folder, CONFIG_FILE).write_text(self.config, encoding="utf-8")

    def _random_state(self) -> dict[str, torch.Tensor]:
        """Of this rank; dropout draws from it."""
        device = next(self.model.parameters()).device
        states = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        return states

    def resume(self, checkpoint: ray.train.Checkpoint) -> None:
        """Take over weights, optimiser, schedule, position and random state.

        Raises:
            CheckpointMismatchError: if the checkpoint belongs to another training.
        """
        with checkpoint.as_directory() as folder:
            progress = json.loads(Path(folder, PROGRESS_FILE).read_text())
            compare_identity(progress["identity"], self.identity, checkpoint.path)
            saved = type(self.saved.model).from_pretrained(f"{folder}/{MODEL_FOLDER}")
            self.model.load_state_dict(saved.state_dict())
            state = torch.load(f"{folder}/{TRAINER_FILE}", map_location="cpu", weights_only=True)
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self._set_random_state(Path(folder))  # last: loading a model may draw random numbers
        self.step = self.committed_step = int(progress["step"])
        self.is_new = False
        self._remember_buffers()

    def _set_random_state(self, folder: Path) -> None:
        """That of this rank; a rank that is new, since the group has grown, keeps the one that it was seeded with."""
        file, device = folder / rank_file(rank_and_world()[0]), next(self.model.parameters()).device
        if not file.exists():
            return
        random = torch.load(file, map_location="cpu", weights_only=True)
        torch.set_rng_state(random["cpu"])
        if device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], device)


def new_state(
    saved: Trainable, choices: PretrainConfig | TextPretrainConfig | DpoConfig | PerturberConfig, run: WorkerRun
) -> TrainingState:
    """AdamW with linear warm-up and cosine decay, resumed from the newest checkpoint where there is one.

    Args:
        saved: the model on its device, not yet wrapped.
        choices: its configuration: `lr` and, where it has them, `warmup_steps` and `weight_decay`.
        run: what every loop is given.
    """
    decay = getattr(choices, "weight_decay", 0.0)
    optimizer = torch.optim.AdamW(
        saved.model.parameters(), lr=choices.lr, betas=(0.9, 0.98), weight_decay=decay, fused=True
    )
    warmup = min(getattr(choices, "warmup_steps", 0), run.total_steps // 2)
    scheduler = get_cosine_schedule_with_warmup(optimizer, warmup, run.total_steps)
    checkpoint, start = _agree_on_start(run.checkpoints)
    state = TrainingState(
        saved,
        optimizer,
        scheduler,
        run.checkpoints.metrics,
        start,
        identity=dict(run.identity),
        config=run.config.to_yaml(),
    )
    if checkpoint is not None:
        state.resume(checkpoint)
    if rank_and_world()[0] == 0:
        state.metrics.forget(after=state.step)
    return state


def _fault(objective: Objective, ids: Sequence[str]) -> str:
    """What of a step is not finite: terms of clips or, where all those are, the gradient."""
    found = [
        f"{term} of {clip}"
        for term, values in objective.rows.items()
        for clip, finite in zip(ids, values.isfinite().tolist(), strict=True)
        if not finite
    ]
    faults = [fault for worker in gather(found) for fault in worker]
    clips = [clip for worker in gather(list(ids)) for clip in worker]
    named = faults or [f"the gradient of {clips[0]}", *clips[1:]]
    return ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")


def _agree_on_start(store: CheckpointStore) -> tuple[ray.train.Checkpoint | None, str]:
    """The checkpoint that rank 0 finds, which workers of one node then download once, and a name for this start."""
    found: tuple[ray.train.Checkpoint | None, str] | None = None
    if rank_and_world()[0] == 0:
        newest = store.newest()
        found = (None if newest is None else ray.train.Checkpoint(newest.uri), uuid.uuid4().hex)
    agreed: tuple[ray.train.Checkpoint | None, str] = gather(found)[0]
    return agreed
