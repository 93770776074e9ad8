"""What a training loop carries from step to step, and its checkpoints."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from signdpo.models.policy import Policy
from signdpo.negatives.continuations import ContinuationPerturber
from signdpo.negatives.edits import EditPerturber
from signdpo.negatives.perturber import LanguagePerturber
from signdpo.training.checkpoint import MODEL_FOLDER, PROGRESS_FILE, TRAINER_FILE


class CheckpointMismatchError(RuntimeError):
    """A checkpoint that belongs to another run."""


@dataclass
class TrainingState:
    """One model being optimised.

    Args:
        saved: what a checkpoint's folder holds beside the optimiser: a policy or a language perturber.
        optimizer: over the model's parameters.
        scheduler: learning rate, one step a batch.
        identity: what a checkpoint must agree on to be resumed, for example the reference hash.
        step: batches consumed so far, over all epochs.
    """

    saved: Policy | LanguagePerturber | ContinuationPerturber | EditPerturber
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    identity: dict[str, str]
    step: int = 0

    @property
    def model(self) -> nn.Module:
        return self.saved.model

    def update(self, loss: torch.Tensor, *, clip_grad_norm: float) -> dict[str, float]:
        """One optimiser step; returns the gradient norm before clipping and the learning rate used."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip_grad_norm)
        lr = float(self.scheduler.get_last_lr()[0])
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return {"grad_norm": float(norm), "lr": lr}

    @contextmanager
    def checkpoint(self) -> Iterator[ray.train.Checkpoint]:
        """A checkpoint in a temporary folder, for the duration of a report."""
        with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
            self.saved.save(f"{folder}/{MODEL_FOLDER}")
            state = {
                "step": self.step,
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "identity": self.identity,
                "rng": torch.get_rng_state(),
            }
            torch.save(state, f"{folder}/{TRAINER_FILE}")
            Path(folder, PROGRESS_FILE).write_text(json.dumps({"step": self.step}))
            yield ray.train.Checkpoint.from_directory(folder)

    def resume(self, checkpoint: ray.train.Checkpoint) -> None:
        """Take over weights, optimiser, schedule and position.

        Raises:
            CheckpointMismatchError: if the checkpoint belongs to another run.
        """
        with checkpoint.as_directory() as folder:
            state = torch.load(f"{folder}/{TRAINER_FILE}", weights_only=True)
            if state["identity"] != self.identity:
                raise CheckpointMismatchError(
                    f"{checkpoint.path} was written for {state['identity']}, this run is {self.identity}: "
                    "use another run directory"
                )
            saved = type(self.saved.model).from_pretrained(f"{folder}/{MODEL_FOLDER}")
            self.model.load_state_dict(saved.state_dict())
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"])
        self.step = int(state["step"])


def new_state(
    saved: Policy | LanguagePerturber | ContinuationPerturber | EditPerturber,
    settings: Any,
    *,
    total_steps: int,
    **identity: str,
) -> TrainingState:
    """AdamW with linear warm-up and cosine decay over `settings` (`lr`, `warmup_steps`, `weight_decay`)."""
    decay = getattr(settings, "weight_decay", 0.0)
    optimizer = torch.optim.AdamW(
        saved.model.parameters(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=decay, fused=True
    )
    warmup = min(getattr(settings, "warmup_steps", 0), total_steps // 2)
    scheduler = get_cosine_schedule_with_warmup(optimizer, warmup, total_steps)
    state = TrainingState(saved, optimizer, scheduler, identity)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        state.resume(checkpoint)
    return state
