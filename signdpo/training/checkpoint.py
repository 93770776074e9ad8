"""The checkpoints of a stage's training: what lies in one, which are sound, which are kept. Light enough for Ray's
controllers to import.

training-<key>/<run>-<stage>-<attempt>/checkpoint_<step>/
    model/                rank 0: a policy, or a language perturber
    trainer.pt            rank 0: optimiser and learning-rate schedule
    progress.json         rank 0: step, epoch, identity, the metrics of the step
    config.yaml           rank 0: the resolved configuration
    rank-<rank>.pt        each rank: its random state
    manifest-<rank>.json  each rank: its files, with sizes and checksums
training-<key>/metrics/   see `signdpo.training.step_metrics`; the rows of a step are there before its checkpoint is

Ray Train uploads the folder of each rank into the same checkpoint, in any order; a checkpoint is complete when every
rank's manifest and all files in them are there, of the right sizes and from the same start of the worker group. So an
upload that was cut off is never taken for a checkpoint, although no storage can write a folder at once.

Which checkpoint training goes on from is read from these folders alone, by the controller that starts the stream of
clips and by the workers that load it, so that they agree. The driver reads every byte of the newest before training
starts and tells both which are damaged; restarts in between go by names and sizes. Ray's own checkpoint manager would
resume from the latest it was told of, sound or not, and keeps the N best or the N last, not both. It is given nothing
to decide: each attempt is a new experiment to it, as its documentation advises for a damaged one, and it deletes
nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import fsspec
from pydantic import BaseModel, ValidationError

from signdpo.config import ConfigError
from signdpo.storage.files import join, list_folder, list_tree, read_json, read_text, remove_folder
from signdpo.storage.retries import retried
from signdpo.training.step_metrics import StepMetrics

MODEL_FOLDER = "model"
TRAINER_FILE = "trainer.pt"
PROGRESS_FILE = "progress.json"
CONFIG_FILE = "config.yaml"
ATTEMPT = re.compile(r"[^/]*-(\d+)(?:/|$)")
PLACE = re.compile(r"(?P<name>[^/]+/checkpoint_(?P<step>\d{7,}))/(?P<file>.+)")
LOWER_IS_BETTER = frozenset({"eval_nll"})  # of the dev scores


def better(score: str | None) -> Literal["max", "min"]:
    """Which values of a dev score are better, as Ray says it."""
    return "min" if score in LOWER_IS_BETTER else "max"


class CheckpointMismatchError(ConfigError):
    """A checkpoint that was written for other rows, batches or policies than those of this run."""


class Manifest(BaseModel):
    """What one rank put into a checkpoint.

    Args:
        start: of the worker group, a random name: ranks of different starts do not make one checkpoint.
        ranks: workers in the group.
        files: place in the checkpoint -> size in bytes and SHA-256.
    """

    start: str
    ranks: int
    files: dict[str, tuple[int, str]]


def checkpoint_name(step: int) -> str:
    return f"checkpoint_{step:07d}"


def rank_file(rank: int) -> str:
    return f"rank-{rank}.pt"


def manifest_file(rank: int) -> str:
    return f"manifest-{rank}.json"


def seal(folder: str | Path, *, rank: int, ranks: int, start: str) -> None:
    """Write the manifest of all that a rank has put into a local folder."""
    files = {
        file.relative_to(folder).as_posix(): (file.stat().st_size, _checksum(str(file)))
        for file in sorted(Path(folder).rglob("*"))
        if file.is_file()
    }
    manifest = Manifest(start=start, ranks=ranks, files=files)
    Path(folder, manifest_file(rank)).write_text(manifest.model_dump_json())


@retried
def _checksum(uri: str) -> str:
    digest = hashlib.sha256()
    with fsspec.open(uri, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class StoredCheckpoint:
    """A folder that is a checkpoint, or was to become one.

    Args:
        uri: of the folder.
        step: batches consumed when it was written.
        sizes: of the files in it, in bytes, by place.
    """

    uri: str
    step: int
    sizes: Mapping[str, int]

    def fault(self) -> str | None:
        """Why it is not complete, as far as names and sizes tell; None if it is."""
        try:
            manifests = self._manifests()
        except (OSError, ValidationError) as error:
            return f"a manifest cannot be read ({type(error).__name__})"
        if isinstance(manifests, str):
            return manifests
        for name, (size, _) in _files(manifests):
            if name not in self.sizes:
                return f"{name} is missing"
            if self.sizes[name] != size:
                return f"{name} has {self.sizes[name]:,} bytes instead of {size:,}"
        return None

    def damage(self) -> str | None:
        """As `fault`, and every byte is read; None if it is sound."""
        if (fault := self.fault()) is not None:
            return fault
        manifests = self._manifests()
        assert not isinstance(manifests, str)
        for name, (_, checksum) in _files(manifests):
            if _checksum(join(self.uri, name)) != checksum:
                return f"{name} does not have the checksum it was written with"
        return None

    def progress(self) -> dict[str, Any]:
        """Its `step`, `epoch`, `identity` and `metrics`."""
        return dict(read_json(join(self.uri, PROGRESS_FILE)))

    def _manifests(self) -> list[Manifest] | str:
        """Those of all ranks, or why they do not make one checkpoint."""
        manifests: list[Manifest] = []
        while not manifests or len(manifests) < manifests[0].ranks:
            name = manifest_file(len(manifests))
            if name not in self.sizes:
                return f"it was not written to its end: {name} is missing"
            manifests.append(Manifest.model_validate_json(read_text(join(self.uri, name))))
        if len({manifest.start for manifest in manifests}) > 1:
            return "it was not written to its end: its ranks are of different starts"
        return manifests


def _files(manifests: Iterable[Manifest]) -> Iterator[tuple[str, tuple[int, str]]]:
    for manifest in manifests:
        yield from manifest.files.items()


def _attempt(folder: str) -> int:
    """The number of the attempt; its name changes with that of the run directory."""
    found = ATTEMPT.match(folder)
    return int(found[1]) if found else 0


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints of a stage for one key of its inputs, over all attempts.

    Args:
        folder: a local path or URI.
        damaged: places of those that the driver found damaged.
    """

    folder: str
    damaged: frozenset[str] = frozenset()

    def listed(self) -> list[StoredCheckpoint]:
        """Every folder of a checkpoint, complete or not: later steps first, of the same step later attempts first."""
        sizes: dict[tuple[int, str], dict[str, int]] = {}
        for path, info in list_tree(self.folder).items():
            if place := PLACE.fullmatch(path):
                key = int(place["step"]), place["name"]
                sizes.setdefault(key, {})[place["file"]] = info.size
        return [
            StoredCheckpoint(join(self.folder, name), step, sizes[step, name])
            for step, name in sorted(sizes, key=lambda place: (place[0], _attempt(place[1])), reverse=True)
        ]

    def complete(self) -> list[StoredCheckpoint]:
        """Those to resume from, the newest first, one a step."""
        found: dict[int, StoredCheckpoint] = {}
        for checkpoint in self.listed():
            if checkpoint.step not in found and checkpoint.uri not in self.damaged and checkpoint.fault() is None:
                found[checkpoint.step] = checkpoint
        return list(found.values())

    def newest(self) -> StoredCheckpoint | None:
        return next(iter(self.complete()), None)

    def newest_step(self) -> int:
        """Batches consumed by the newest checkpoint; 0 where there is none."""
        newest = self.newest()
        return 0 if newest is None else newest.step

    def examined(self, warn: Callable[[str], None]) -> CheckpointStore:
        """This store without what is damaged among its newest: they are read until a sound one is found.

        Args:
            warn: told of each that is skipped, with the reason.
        """
        damaged = set(self.damaged)
        for checkpoint in self.listed():
            reason = checkpoint.damage()
            if reason is None:
                break
            damaged.add(checkpoint.uri)
            warn(f"{checkpoint.uri} is skipped: {reason}")
        return replace(self, damaged=frozenset(damaged))

    def check_identity(self, identity: Mapping[str, str]) -> None:
        """Raise `CheckpointMismatchError` if the newest checkpoint was written for another training."""
        newest = self.newest()
        if newest is not None:
            compare_identity(newest.progress()["identity"], identity, newest.uri)

    def best(self, score: str | None) -> Iterator[StoredCheckpoint]:
        """Complete checkpoints, those of the best `score` first, of equal ones the earliest; None: the newest.

        One whose score is not finite is none of them.
        """
        if score is None:
            yield from self.complete()
            return
        sign = 1.0 if better(score) == "min" else -1.0
        scored = [(sign * float(each.progress()["metrics"][score]), each.step, each) for each in self.complete()]
        finite = [row for row in scored if math.isfinite(row[0])]
        yield from (checkpoint for _, _, checkpoint in sorted(finite, key=lambda row: row[:2]))

    def best_score(self, score: str) -> float | None:
        """The best value of a dev score among the complete checkpoints; None where there is none."""
        best = next(self.best(score), None)
        return None if best is None else float(best.progress()["metrics"][score])

    def prune(self, *, keep: int, score: str | None) -> None:
        """Delete all but the best and the last `keep`, and what is left of uploads that were cut off.

        Incomplete folders of later steps than the newest checkpoint stay: they may be being written.
        """
        complete = self.complete()
        if not complete:
            return
        kept = {checkpoint.uri for checkpoint in complete[:keep]} | {next(self.best(score), complete[0]).uri}
        for checkpoint in self.listed():
            if checkpoint.uri not in kept and checkpoint.step <= complete[0].step:
                remove_folder(checkpoint.uri)

    def next_attempt(self, name: str) -> str:
        """A name for a new experiment, which Ray Train's own manager has never heard of."""
        return f"{name}-{max(map(_attempt, list_folder(self.folder)), default=0) + 1:03d}"

    @property
    def metrics(self) -> StepMetrics:
        """What was reported of the steps."""
        return StepMetrics(self.folder)


def compare_identity(found: Mapping[str, str], expected: Mapping[str, str], where: str) -> None:
    """Raise `CheckpointMismatchError`, naming what differs, unless a checkpoint belongs to this training."""
    differing = [
        f"{name} (there {found.get(name)}, here {expected.get(name)})"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
    if differing:
        raise CheckpointMismatchError(
            f"{where} was written for another training: {', '.join(differing)}; going on from it would train on some "
            f"rows twice and on others never: start a new run directory, or remove {where.rsplit('/', 2)[0]}"
        )
