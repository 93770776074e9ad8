"""What every part of a run is given: its configuration, its directory, where a person reads."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from signdpo.config import Config
from signdpo.storage.files import join


@dataclass(frozen=True)
class Upstream:
    """Another run whose first stages this one builds on.

    Args:
        directory: the other run's directory.
        stages: names of the stages that are there.
    """

    directory: str
    stages: frozenset[str]


@dataclass(frozen=True)
class RunContext:
    """What every stage is given.

    Args:
        config: resolved configuration.
        directory: run directory, a local path or an fsspec URI.
        console: where a person reads.
        upstream: run whose clips, baseline, perturber and negatives this one builds on; None: its own.
    """

    config: Config
    directory: str
    console: Console
    upstream: Upstream | None = None

    def path(self, *parts: str) -> str:
        """A place in the run directory, or in the upstream one's if that has this stage."""
        shared = self.upstream is not None and parts[0] in self.upstream.stages
        return join(self.upstream.directory if self.upstream and shared else self.directory, *parts)

    @property
    def name(self) -> str:
        """The run directory's name, after that of the upstream one. The dashboards tell runs apart by it."""
        directories = [self.upstream.directory] if self.upstream else []
        return "-".join(place.rstrip("/").rsplit("/", 1)[-1] for place in (*directories, self.directory))

    def say(self, message: str) -> None:
        self.console.print(f"  {message}", markup=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        self.console.print(f"  {message}", style="yellow", markup=False, soft_wrap=True)

    # Places are derived and never stored: a run directory may be moved.

    @property
    def clips(self) -> str:
        return self.path("clips")

    @property
    def language_model(self) -> str:
        """The language model that has read text, where there is one."""
        return self.path("language", "model")

    @property
    def baseline(self) -> str:
        """The MLE policy, which is also the frozen reference."""
        return self.path("pretrain", "policy")

    @property
    def perturber(self) -> str:
        return self.path("perturber", "model")

    @property
    def segments(self) -> str:
        return self.path("segments")

    @property
    def control(self) -> str:
        """The baseline after as many steps of plain likelihood."""
        return self.path("control", "policy")

    @property
    def aligned(self) -> str:
        return self.path("align", "policy")
