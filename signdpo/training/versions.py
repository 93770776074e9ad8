"""Versions of the policy on their way from the trainer to the generators.

A version is the number of updates the weights have had: 0 is the reference, and a resumed run counts on from its
checkpoint. The trainer puts the weights into the object store and a reference to them into a `WeightStore`, where
generators look before each batch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray

if TYPE_CHECKING:  # Ray's own processes import this module
    from torch import nn

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 30.0  # that a generator waits at most for a trainer that has begun and does not catch up


@dataclass(frozen=True)
class Published:
    """What is in the store.

    Args:
        step: updates that the trainer has done; None until a trainer has begun.
        version: of the weights.
        weights: a reference to a state dict; none for version 0, which everyone has.
    """

    step: int | None = None
    version: int = 0
    weights: ray.ObjectRef | None = None

    def fetch(self) -> dict[str, Any] | None:
        """The state dict; None for version 0.

        Raises:
            ray.exceptions.RayError: if the trainer that published it has died.
        """
        return None if self.weights is None else dict(ray.get(self.weights))


@ray.remote(num_cpus=0, max_task_retries=-1)  # asked again when it cannot be reached for a moment
class WeightStore:
    """Holds the latest version of the policy and how far its trainer is."""

    def __init__(self) -> None:
        self.published = Published()

    def clear(self) -> None:
        """Forget a trainer that is gone: the next begins at its checkpoint, which may be earlier."""
        self.published = Published()

    def publish(self, step: int, weights: list[ray.ObjectRef]) -> None:
        """Publish a version; in a list, since Ray would replace a bare reference by what it refers to."""
        self.published = Published(step, step, *weights)

    def advance(self, step: int) -> None:
        if self.published.step is not None:
            self.published = replace(self.published, step=step)

    def read(self) -> Published:
        return self.published


class Publisher:
    """The trainer's side; does nothing without a store.

    Args:
        store: a `WeightStore`, on rank 0 of a run whose negatives follow the policy.
        model: being trained.
        every: steps between versions.
        step: updates it has had already; they are published at once.
    """

    def __init__(self, store: Any | None, model: nn.Module, *, every: int, step: int) -> None:
        self.store, self.model, self.every = store, model, every
        if store is not None:
            self._publish(step)

    def advance(self, step: int) -> None:
        """Tell that `step` updates are done, with the weights where a version is due."""
        if self.store is None:
            return
        if step % self.every == 0:
            self._publish(step)
        else:
            self.store.advance.remote(step)

    def _publish(self, step: int) -> None:
        assert self.store is not None
        weights = {name: tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
        self.store.publish.remote(step, [ray.put(weights)] if step else [])


class Follower:
    """A generator's side.

    Args:
        store: a `WeightStore`.
        ahead: steps that negatives may be made before the trainer gets to them. Ray Data holds a stream back by its
            bytes alone, and a whole epoch of skeletons may be few: all of it would be of the first version.
    """

    def __init__(self, store: Any, *, ahead: int) -> None:
        self.store, self.ahead = store, ahead

    def wait(self, step: int) -> Published:
        """What is in the store when the trainer is near enough to `step`.

        Patience ends, since the trainer may itself be waiting for a batch behind this one: Ray gives the batch of a
        generator that died to the next, in whose queue it comes last.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            published: Published = ray.get(self.store.read.remote())
            if published.step is None:
                deadline = time.monotonic() + PATIENCE_SECONDS
            elif step <= published.step + self.ahead or time.monotonic() > deadline:
                return published
            time.sleep(POLL_SECONDS)
