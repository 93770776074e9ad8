"""Where translations go: a table or JSON lines that a later command adds to, or text on stdout.

A file has a line per clip, written whole when the clip is done. Beside it lie `<file>.settings.json`, what decided the
sentences, and `<file>.quarantine.jsonl`, the clips that were refused by the last command.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.console import Console

from signdpo.config import ConfigError
from signdpo.inference.clip_files import ClipFile
from signdpo.storage.files import is_local, read_json, write_json

SETTINGS: Final = ".settings.json"
QUARANTINE: Final = ".quarantine.jsonl"
DIGITS: Final = 4  # of a log-probability; what a clip is padded to decides the next ones

Scored = tuple[str, float]  # a sentence, and its log-probability in nats per token


class Output(ABC):
    """Takes translations and refusals, one clip after the other.

    Args:
        known: id -> place of the clips that are there already.
    """

    known: Mapping[str, str] = {}

    @abstractmethod
    def add(self, clip: ClipFile, translations: Sequence[Scored]) -> None:
        """Write the translations of a clip, the best first."""

    @abstractmethod
    def refuse(self, clip: ClipFile, reason: str) -> None:
        """Report a clip that could not be translated."""


class Text(Output):
    """Sentences on stdout, a line each; behind the id where several clips are asked for. Refusals are said.

    Args:
        console: where a person reads, not stdout.
        with_ids: whether a line begins with the clip's id.
        with_logps: whether it has the log-probability per token, too.
    """

    def __init__(self, console: Console, *, with_ids: bool, with_logps: bool) -> None:
        self.console, self.with_ids, self.with_logps = console, with_ids, with_logps

    def add(self, clip: ClipFile, translations: Sequence[Scored]) -> None:
        for sentence, logp in translations:
            cells = [clip.id] * self.with_ids + [f"{logp:.{DIGITS}f}"] * self.with_logps + [sentence]
            line = "\t".join(cells) + "\n"
            encoding = sys.stdout.encoding or "utf-8"  # which may lack a letter
            sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()

    def refuse(self, clip: ClipFile, reason: str) -> None:
        say = f"quarantined: {clip.id}: {reason} ({clip.place})"
        self.console.print(say, style="yellow", markup=False, highlight=False, soft_wrap=True)


class OutputFile(Output):
    """A file with a line per clip, which goes on where an earlier command stopped.

    Args:
        path: of the file.
        settings: what decides the sentences.
        n_best: translations of a clip.

    Raises:
        ConfigError: if the file is not one of these, or was made with other settings.
    """

    ending: ClassVar[str]

    def __init__(self, path: str, settings: Mapping[str, Any], n_best: int) -> None:
        if not is_local(path):
            raise ConfigError(f"--out {path}: a local file is added to as clips are done; copy it there afterwards")
        self.path, self.n_best = Path(path), n_best
        self.quarantine = Path(f"{path}{QUARANTINE}")
        if self.path.is_dir():
            raise ConfigError(f"--out {path} is a folder: name a file that ends in {' or '.join(WRITERS)}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_settings(settings)
        self.quarantine.unlink(missing_ok=True)
        self.known = {}
        for number, line in enumerate(self._healed().split("\n")[:-1], start=1):
            try:
                self.known |= self._known(line)
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"--out {path}, line {number} is none that this job wrote: {line:.80}") from error
        if not self.path.exists():
            self._append(self.path, self.header())

    def add(self, clip: ClipFile, translations: Sequence[Scored]) -> None:
        self._append(self.path, self.line(clip, translations))

    def refuse(self, clip: ClipFile, reason: str) -> None:
        record = {"id": clip.id, "file": clip.place, "reason": reason}
        self._append(self.quarantine, json.dumps(record, ensure_ascii=False) + "\n")

    def header(self) -> str:
        """What stands before the first clip."""
        return ""

    @abstractmethod
    def line(self, clip: ClipFile, translations: Sequence[Scored]) -> str:
        """The line of a clip, its end included."""

    @abstractmethod
    def _known(self, line: str) -> dict[str, str]:
        """Id and place of the clip of a line, or nothing. Raises `ValueError` and its kin if it is another line."""

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        place = f"{self.path}{SETTINGS}"
        if not self.path.exists():
            write_json(place, settings)
            return
        if not os.path.exists(place):
            raise ConfigError(f"--out {self.path} is there and not of this job (no {place}): name another file")
        earlier = read_json(place)
        for name in sorted({*settings, *earlier}):
            then, now = earlier.get(name), settings.get(name)
            if then != now:
                raise ConfigError(
                    f"--out {self.path} was made with {name} {then}, now it is {now}: name another file, or remove it"
                )

    def _healed(self) -> str:
        """The content of the file, once a last line that was cut off is taken away."""
        if not self.path.exists():
            return ""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)
        if whole == 0:
            self.path.unlink()
        return content[:whole].decode(errors="replace")

    @staticmethod
    def _append(path: Path, text: str) -> None:
        with path.open("ab") as file:
            file.write(text.encode(errors="backslashreplace"))


class Tsv(OutputFile):
    """Tab-separated, with a header and without quotes; further translations have columns of their own."""

    ending = ".tsv"

    @property
    def columns(self) -> list[str]:
        ranks = ["", *(f"_{rank}" for rank in range(2, self.n_best + 1))]
        return ["id", *(f"{name}{rank}" for rank in ranks for name in ("sentence", "logp_per_token")), "file"]

    def header(self) -> str:
        return "\t".join(self.columns) + "\n"

    def line(self, clip: ClipFile, translations: Sequence[Scored]) -> str:
        cells = [cell for sentence, logp in translations for cell in (sentence, f"{logp:.{DIGITS}f}")]
        cells += [""] * (2 * self.n_best - len(cells))
        return "\t".join([clip.id, *cells, clip.place]) + "\n"

    def _known(self, line: str) -> dict[str, str]:
        cells = line.split("\t")
        if cells == self.columns:
            return {}
        if len(cells) != len(self.columns):
            raise ValueError(line)
        return {cells[0]: cells[-1]}


class JsonLines(OutputFile):
    """An object per line; `n_best` lists all translations where several were asked for."""

    ending = ".jsonl"

    def line(self, clip: ClipFile, translations: Sequence[Scored]) -> str:
        scored = [{"sentence": sentence, "logp_per_token": round(logp, DIGITS)} for sentence, logp in translations]
        ranked = {"n_best": scored} if self.n_best > 1 else {}
        return json.dumps({"id": clip.id, **scored[0], **ranked, "file": clip.place}, ensure_ascii=False) + "\n"

    def _known(self, line: str) -> dict[str, str]:
        record = json.loads(line)
        return {str(record["id"]): str(record["file"])}


WRITERS: Final[dict[str, type[OutputFile]]] = {writer.ending: writer for writer in (Tsv, JsonLines)}


def writer_of(path: str) -> type[OutputFile]:
    """The kind of file that a name asks for. Raises `ConfigError` if its ending is none of them."""
    for ending, writer in WRITERS.items():
        if path.lower().endswith(ending):
            return writer
    raise ConfigError(f"--out {path}: the name tells how it is written, so it must end in {' or '.join(WRITERS)}")
