"""One optimiser step on eight preference rows, by one process or by two of a gloo group."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch import nn

from signdpo.config import Config
from signdpo.data.batches import PreferenceBatch
from signdpo.levels import SKELETON_LEVELS
from signdpo.models.policy import Policy
from signdpo.training.dpo import PreferenceStep, preference_objective
from signdpo.training.state import TrainingState
from signdpo.training.step_metrics import StepMetrics
from support.preferences import preference_columns

FRAMES = 6
SENTENCES = ("a man sees a dog", "the dog", "my mother went to the house", "no", "we eat", "a red house", "you", "I go")


def state_of(policy: Policy, folder: Path) -> TrainingState:
    """A state whose optimiser moves nothing, so that gradients can be compared."""
    optimizer = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    return TrainingState(policy, optimizer, scheduler, StepMetrics(str(folder)), "start", {}, "")


def columns_of(policy: Policy, valid: Sequence[Sequence[bool]], bad: int | None = None) -> dict[str, Any]:
    """Eight rows, of which the clip of one may be bad; `valid`: of each row, whether each level is."""
    rng = np.random.default_rng(0)
    clips = {name: [rng.normal(size=FRAMES * 207).astype(np.float16) for _ in SENTENCES] for name in SKELETON_LEVELS}
    keypoints = [rng.normal(size=FRAMES * 207).astype(np.float16) for _ in SENTENCES]
    if bad is not None:
        keypoints[bad][:] = np.nan
    return preference_columns(
        len(SENTENCES),
        num_frames=np.full(len(SENTENCES), FRAMES, dtype=np.int32),
        keypoints=keypoints,
        text=np.array(SENTENCES, dtype=object),
        rejected_text=np.array(SENTENCES[::-1], dtype=object),
        reference_logps=[rng.normal(-9, 3, 7).astype(np.float32) for _ in SENTENCES],
        reference_hash=np.array([policy.hash()] * len(SENTENCES)),
        valid=[np.array(row) for row in valid],
        **{f"keypoints_{level}": rows for level, rows in clips.items()},
    )


def step_on(
    folder: Path, config: Config, valid: Sequence[Sequence[bool]], rows: slice, group: bool
) -> tuple[np.ndarray, dict[str, float]]:
    """The gradient of a step, flat, and its metrics, after a step that is skipped for the clip of the last worker."""
    policy = Policy.load(folder)
    policy.model.eval()
    step, reference = PreferenceStep(policy.model), policy.hash()
    parallel = nn.parallel.DistributedDataParallel(step) if group else step
    state = state_of(policy, folder)
    for bad in (7, None):
        columns = {name: column[rows] for name, column in columns_of(policy, valid, bad).items()}
        batch = PreferenceBatch.collate(columns, config.dpo.levels)
        objective = preference_objective(batch, parallel, policy, config, reference)
        metrics = state.update(objective, batch.ids, clip_grad_norm=float("inf"))
        assert metrics.get("fault", "").startswith("" if bad is None else "nll of clip-7")
        assert ("fault" in metrics) == (bad is not None)
    return torch.cat([each.grad.flatten() for each in policy.model.parameters() if each.grad is not None]).numpy(), {
        name: value for name, value in metrics.items() if isinstance(value, float)
    }


def work(rank: int, folder: Path, config: Config, cases: Sequence[Any]) -> None:
    """The process of a rank: the steps on its half of the rows; rank 0 writes what came out."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    found = [step_on(folder, config, valid, slice(4 * rank, 4 * rank + 4), group=True) for valid in cases]
    if rank == 0:
        torch.save(found, folder / "found.pt")
    torch.distributed.destroy_process_group()
