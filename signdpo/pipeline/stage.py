"""What a stage is: what decides its result, what it asks of the cluster, its work, and how it is done only once.

A stage is one file in `pipeline/stages`. Its key is a hash of all that decides its result: keys of the configuration
that it reads, outputs of earlier stages that it builds on, and files from elsewhere. A stage whose manifest has the
same key is up to date; where the keys differ, the manifest says what is different.

Modules of stages are imported before a plan is refused, so what takes seconds to import (torch, transformers,
matplotlib) is imported where the work is done.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict
from rich.text import Text

from signdpo.cluster.placement import Demand
from signdpo.config import Config, ConfigError, flat
from signdpo.run_context import RunContext
from signdpo.storage.files import CARD, FileInfo, exists, join, list_files, list_folder, read_json, write_json

MANIFEST = "stage.json"
FORMAT = 3  # of manifests and of what stages leave in their folders
NAMED = 3  # differences that a reason names


class StageOutputs(BaseModel):
    """What a stage tells those after it and its manifest: small, and JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


O = TypeVar("O", bound=StageOutputs)  # noqa: E741  the letter for outputs


@dataclass(frozen=True)
class Inputs:
    """Everything that decides the result of a stage.

    Args:
        settings: key of the configuration -> its value.
        results: outputs of earlier stages, such as `clips.content_hash`, -> their value.
        files: what was found outside of the run -> what tells it from another version.
        resumable: those of the settings under which a training that was begun goes on.
    """

    settings: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    resumable: frozenset[str] = frozenset()

    @cached_property
    def key(self) -> str:
        """A short hash of all of them."""
        return _hash(self.to_json())

    @cached_property
    def training_key(self) -> str:
        """A short hash of those that a training must have been begun with to be continued."""
        kept = {name: value for name, value in self.settings.items() if name not in self.resumable}
        return _hash(self.to_json() | {"settings": kept})

    def to_json(self) -> dict[str, Any]:
        return {"settings": dict(self.settings), "results": dict(self.results), "files": dict(self.files)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return cls(**{name: content[name] for name in ("settings", "results", "files")})


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


class Results:
    """Outputs of the stages that are done, by their class: `results[Clips].content_hash`."""

    def __init__(self, before: Results | None = None) -> None:
        self._of: dict[str, StageOutputs] = {} if before is None else dict(before._of)

    def __getitem__(self, stage: type[Stage[O]]) -> O:
        return cast(O, self._of[stage.name])

    def __contains__(self, stage: type[Stage[Any]]) -> bool:
        """Whether a stage is done: a run may be without it."""
        return stage.name in self._of

    def of(self, stage: type[Stage[Any]]) -> StageOutputs:
        """Outputs of any stage."""
        return self._of[stage.name]

    def add(self, stage: Stage[O], outputs: O) -> None:
        self._of[stage.name] = outputs

    def extended(self, stage: Stage[O], outputs: O) -> Results:
        """These and those of one more stage."""
        results = Results(self)
        results.add(stage, outputs)
        return results


class Stage(ABC, Generic[O]):
    """One step of a run; its folder in the run directory has its name."""

    name: ClassVar[str]
    outputs: ClassVar[type[StageOutputs]]
    builds_on: ClassVar[tuple[type[Stage[Any]], ...]] = ()
    shared: ClassVar[bool] = False  # comes before the alignment, so that many alignments can share it
    resumable: ClassVar[frozenset[str]] = frozenset()  # keys that it reads, under which a begun training goes on

    @abstractmethod
    def purpose(self, config: Config) -> str:
        """A few words for the plan."""

    def is_wanted(self, config: Config) -> bool:
        """Whether a run with this configuration has this stage."""
        return True

    @abstractmethod
    def reads(self, config: Config) -> Sequence[str]:
        """Keys or sections of the configuration that decide the result."""

    def results(self, before: Results) -> dict[str, Any]:
        """Outputs of earlier stages that decide the result."""
        return {}

    def files(self, config: Config) -> dict[str, Any]:
        """What decides the result and lies outside of the run directory."""
        return {}

    def demands(self, config: Config) -> list[Demand]:
        """What it keeps running at the same time, one demand after the other."""
        return []

    @abstractmethod
    def work(self, context: RunContext, before: Results, inputs: Inputs) -> O:
        """Do it.

        Args:
            context: run to do it for.
            before: outputs of the earlier stages.
            inputs: everything that decides the result.
        """

    def inputs(self, config: Config, before: Results) -> Inputs:
        settings = settings_of(config, self.reads(config))
        return Inputs(settings, self.results(before), self.files(config), self.resumable)


def settings_of(config: Config, keys: Iterable[str]) -> dict[str, Any]:
    """Values of keys, and of all keys in sections, by dotted names; what stands for other values as resolved."""
    leaves = flat(config.model_dump(mode="json"))
    leaves |= {"pretrain.precision": config.pretrain_precision, "dpo.precision": config.dpo_precision}
    leaves |= {"negatives.levels": list(config.made_levels), "dpo.seed": config.alignment_seed}
    return {
        name: value
        for key in keys
        for name, value in sorted(leaves.items())
        if name == key or name.startswith(f"{key}.")
    }


def file_stamps(places: Iterable[str]) -> dict[str, Any]:
    """Size and stamp of every file in folders but their cards, and of single files; a name of the hub has none."""
    found: dict[str, FileInfo] = {}
    for place in places:
        inside = list_folder(place)
        found |= {join(place, name): info for name, info in inside.items() if name != CARD}
        if not inside:
            parent, _, name = place.rpartition("/")
            found |= dict.fromkeys([place], info) if (info := list_files(parent or ".", [name]).get(name)) else {}
    return {place: [info.size, info.stamp] for place, info in sorted(found.items())}


@dataclass(frozen=True)
class Planned:
    """A stage in the plan of a run.

    Args:
        stage: stage to be done or not.
        reason: why it is to be done; None where it is up to date.
        outputs: of one that is up to date.
    """

    stage: Stage[Any]
    reason: str | None
    outputs: StageOutputs | None = None


class Manifest(BaseModel):
    """`stage.json`: written last, so a stage that was cut off has none, or one of other inputs."""

    model_config = ConfigDict(extra="forbid")

    format: int
    key: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    seconds: float


def read_manifest(context: RunContext, stage: Stage[Any] | type[Stage[Any]]) -> Manifest | None:
    """What a finished stage left; None where there is nothing.

    Raises:
        ConfigError: if it is of an earlier version of this project.
    """
    place = context.path(stage.name, MANIFEST)
    if not exists(place):
        return None
    content = read_json(place)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigError(
            f"--run-dir {context.directory} was made by another version of signdpo ({place} is not of format "
            f"{FORMAT}): name a new directory, or remove this one to start again"
        )
    return Manifest.model_validate(content)


def read_outputs(context: RunContext, stage: type[Stage[O]]) -> O:
    """Outputs of a stage as it was last done, up to date or not.

    Raises:
        ConfigError: if the run has not come so far.
    """
    manifest = read_manifest(context, stage)
    if manifest is None:
        raise ConfigError(f"--run-dir {context.directory}: the stage {stage.name} is not done; run jobs/align.py first")
    return cast(O, stage.outputs.model_validate(manifest.outputs))


def finished(context: RunContext, stage: Stage[O], before: Results) -> O | None:
    """The outputs of a stage that is up to date, else None."""
    manifest = read_manifest(context, stage)
    if manifest is None or manifest.key != stage.inputs(context.config, before).key:
        return None
    return cast(O, stage.outputs.model_validate(manifest.outputs))


def plan(context: RunContext, stages: Iterable[Stage[Any]]) -> list[Planned]:
    """Each stage, and why it is to be done; whoever builds on a stage that is to be done is to be done, too."""
    planned: list[Planned] = []
    before, stale = Results(), set[str]()
    for stage in stages:
        anew = [earlier.name for earlier in stage.builds_on if earlier.name in stale]
        outputs = None if anew else finished(context, stage, before)
        if outputs is None:
            stale.add(stage.name)
            planned.append(Planned(stage, _why(context, stage, before, anew)))
        else:
            before.add(stage, outputs)
            planned.append(Planned(stage, None, outputs))
    return planned


def _why(context: RunContext, stage: Stage[Any], before: Results, anew: list[str]) -> str:
    """Why a stage is to be done; `anew`: stages it builds on that run anew."""
    manifest = read_manifest(context, stage)
    if manifest is None:
        return "was cut off" if list_folder(context.path(stage.name)) else "never run"
    then = Inputs.from_json(manifest.inputs)
    config = context.config
    changed = differences(then.settings, settings_of(config, stage.reads(config)))
    changed += [f"{name} is another file" for name in differing(then.files, stage.files(config))]
    if not anew:
        changed += [f"{name} is another" for name in differing(then.results, stage.results(before))]
    reasons = [*changed[:NAMED], *([f"{len(changed) - NAMED} more"] if len(changed) > NAMED else [])]
    return "; ".join(reasons + [f"{name} runs anew" for name in anew])


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names whose values differ, or that only one side has."""
    return [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed, a phrase for each key: `dpo.lr changed: 0.0001 -> 0.0002`."""
    return [f"{name} changed: {then.get(name)} -> {now.get(name)}" for name in differing(then, now)]


def run_stages(context: RunContext, stages: Iterable[Stage[Any]], before: Results | None = None) -> Results:
    """Run what is not up to date, in order; `before`: outputs of the stages before these."""
    before = Results(before)
    for stage in stages:
        outputs = finished(context, stage, before)
        before.add(stage, run_stage(context, stage, before) if outputs is None else outputs)
    return before


def run_stage(context: RunContext, stage: Stage[O], before: Results) -> O:
    """Run one stage; its manifest is written last, so a stage that is cut off runs again."""
    context.console.print(Text.assemble((stage.name, "bold"), f"  {stage.purpose(context.config)}"))
    inputs = stage.inputs(context.config, before)
    began = time.monotonic()
    outputs = stage.work(context, before, inputs)
    seconds = time.monotonic() - began
    manifest = Manifest(
        format=FORMAT,
        key=inputs.key,
        inputs=inputs.to_json(),
        outputs=outputs.model_dump(mode="json"),
        seconds=round(seconds, 1),
    )
    write_json(context.path(stage.name, MANIFEST), manifest.model_dump())
    context.console.print(f"  done in {seconds:.0f} s")
    return outputs
