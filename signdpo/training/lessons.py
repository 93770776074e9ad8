"""Learning from pairs of texts: the steps of one worker of a group that shares each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from signdpo.dpo.objective import Objective
from signdpo.totals import Total
from signdpo.training.state import TrainingState
from signdpo.training.workers import rank_and_world

Lesson: TypeAlias = tuple[Sequence[str], Sequence[str]]  # sources and targets of a step, over all workers
REPORT_EVERY = 10  # steps


def learn(
    epochs: Iterable[Sequence[Lesson]],
    loss: Callable[[Sequence[str], Sequence[str]], Total],
    state: TrainingState,
    *,
    clip_grad_norm: float = 1.0,
) -> None:
    """Take the steps that the state has not taken yet; report every few, a checkpoint an epoch.

    Args:
        epochs: the lessons of each epoch.
        loss: of some sources and targets, by the model as it is wrapped.
        state: of the training.
        clip_grad_norm: largest norm of the gradient.
    """
    rank, world = rank_and_world()
    done = 0
    for epoch, lessons in enumerate(epochs):
        done += len(lessons)
        if done <= state.step:
            continue
        for sources, targets in lessons:
            objective = Objective({"nll": loss(sources[rank::world], targets[rank::world])}, {"nll": 1.0}, {}, {})
            metrics = state.update(objective, targets[rank::world], clip_grad_norm=clip_grad_norm) | {"epoch": epoch}
            last = state.step == done
            if last or "fault" in metrics or state.step % REPORT_EVERY == 0:
                state.report(metrics, checkpoint=last)
            if state.has_failed:
                return
