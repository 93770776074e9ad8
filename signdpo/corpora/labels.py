"""The labels of a corpus whose clips are files of their own: a table with a row a clip.

Columns: `id` and `text`; `split` (train, dev or test) unless each split has a file; where they apply `file` (in the
corpus' folder; by default the id with the ending of its kind), `gloss` (separated by spaces, or a JSON list), `signer`,
and `start` and `end`, the first and past-the-last frame of the clip in its file. The labels of How2Sign are read as
they come: `SENTENCE_NAME` is the id and `SENTENCE` the text, while its times are seconds in the whole video and not in
the clip. So are those of PHOENIX-2014T: `name`, `translation`, `orth` (the glosses) and `speaker`.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from signdpo.corpora.source import Entry
from signdpo.foreign.tables import ENDINGS, Line, Table, read_table
from signdpo.skeleton.clip import BadClipError
from signdpo.storage.files import exists, join, list_folder

# How the splits are called in file names and tables.
SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "train": ("train",),
    "dev": ("dev", "val", "valid", "validation"),
    "test": ("test",),
}
NAMES: Final = (
    *(f"labels.{ending}" for ending in ENDINGS),
    *(f"labels.{{split}}.{ending}" for ending in ENDINGS),
    "how2sign_realigned_{split}.csv",
    "PHOENIX-2014-T.{split}.corpus.csv",
)

# Columns of published tables -> ours.
_PUBLISHED: Final = (
    {"sentence_name": "id", "sentence": "text"},  # How2Sign
    {"name": "id", "translation": "text", "orth": "gloss", "speaker": "signer"},  # PHOENIX-2014T
)
_HOW2SIGN_TIMES: Final = (("start_realigned", "end_realigned"), ("start", "end"))
_NOT_CALLED_SPLIT: Final = {"fold", "partition", "set", "subset"}
_SPLITS_BY_NAME: Final = {name: split for split, names in SPELLINGS.items() for name in names}
_STRETCH: Final = re.compile(r"(.+)#frames=(\d+)-(\d+)")
_PROBLEM: Final = "# "  # before what is wrong with a row, in place of its location


def read_labels(root: str, labels: str | None, ending: str) -> list[Entry]:
    """List all splits of a corpus, in the order of its labels. No clip is looked at.

    A row that makes no sense is listed all the same, in the training split if its own is unknown, and reading its clip
    (`locate`) says what is wrong.

    Args:
        root: the folder of the corpus.
        labels: where they are, relative to `root` unless absolute or a URI; `{split}` in it stands for the name of each
            split, `val`, `valid` and `validation` among them. None: one of `NAMES` in `root`.
        ending: of a clip's file, such as ".pose", where the table names no file.

    Returns:
        Entries without stamps, whose size is the length of the clip (in frames, or for How2Sign in milliseconds) where
        the table tells it, else 0.

    Raises:
        FileNotFoundError: if there are no labels, with the remedy.
        BadClipError: with file, line, column, what was found and the remedy, if a table as a whole makes no sense.
    """
    tables = _find(root, labels)
    return [entry for uri, split in tables for entry in _entries(read_table(uri), split, ending)]


def locate(location: str) -> tuple[str, tuple[int, int] | None]:
    """What an entry's location stands for: a path in the corpus, and first and past-the-last frame of a stretch of it.

    Raises:
        BadClipError: with the reason, if the labels of the clip make no sense.
    """
    if location.startswith(_PROBLEM):
        raise BadClipError(location.removeprefix(_PROBLEM))
    if match := _STRETCH.fullmatch(location):
        return match[1], (int(match[2]), int(match[3]))
    return location, None


def is_stretch(location: str) -> bool:
    """Whether a location is a part of a file that may hold other clips too."""
    return _STRETCH.fullmatch(location) is not None


def problem_of(location: str) -> str:
    """What is wrong with the row that an entry comes of, with file and line; empty if nothing is."""
    return location.removeprefix(_PROBLEM) if location.startswith(_PROBLEM) else ""


def path_of(location: str) -> str:
    """The path in a location, empty if it has none."""
    return "" if location.startswith(_PROBLEM) else locate(location)[0]


def _find(root: str, labels: str | None) -> list[tuple[str, str | None]]:
    """The labels files of a corpus, each with the split it is of, None if a column says so."""
    if labels is not None:
        place = labels if labels.startswith("/") or "://" in labels else join(root, labels)
        tables = _spelt(place, exists)
        if not tables:
            raise FileNotFoundError(f"{place} is missing: check corpus.labels={labels}, relative to corpus.root={root}")
        return tables
    there = list_folder(root)
    found = {name: [(join(root, file), split) for file, split in _spelt(name, there.__contains__)] for name in NAMES}
    found = {name: tables for name, tables in found.items() if tables}
    if not found:
        raise FileNotFoundError(
            f"{root} has no labels: put labels.tsv (or .csv, .jsonl) with the columns id, text and split there, or a "
            "file a split such as labels.train.tsv, or name them with corpus.labels"
        )
    if len(found) > 1:
        raise BadClipError(f"{root} has {' and '.join(found)}: name the ones that count with corpus.labels")
    return next(iter(found.values()))


def _spelt(pattern: str, is_there: Callable[[str], bool]) -> list[tuple[str, str | None]]:
    """The files that a name with or without `{split}` stands for."""
    if "{split}" not in pattern:
        return [(pattern, None)] if is_there(pattern) else []
    tables: list[tuple[str, str | None]] = []
    for split, names in SPELLINGS.items():
        files = [file for name in names if is_there(file := pattern.replace("{split}", name))]
        if len(files) > 1:
            raise BadClipError(f"{' and '.join(files)} are both there for split {split}: take one away")
        tables += [(file, split) for file in files]
    return tables


def _entries(table: Table, split: str | None, ending: str) -> list[Entry]:
    columns = set(table.columns)
    published = next((names for names in _PUBLISHED if set(names) <= columns and not {"id", "text"} <= columns), None)
    for column in ("id", "text"):
        if table.lines and published is None and column not in columns:
            raise BadClipError(
                f"{table.uri}, line 1: there is no column {column}, found {', '.join(table.columns) or 'nothing'}; "
                f"name the column {column}, and check what separates the columns"
            )
    if published is not None:
        return [_published_entry(table.uri, line, published, split, ending) for line in table.lines]
    if split is None and "split" not in columns:
        # Overlooking it would put clips of the test split into training.
        for name in (*difflib.get_close_matches("split", columns, n=1), *sorted(_NOT_CALLED_SPLIT & columns)):
            raise BadClipError(f"{table.uri}, line 1: column {name}: did you mean split? Rename it, or take it away")
    return [_entry(table.uri, line, split, ending) for line in table.lines]


def _published_entry(uri: str, line: Line, names: dict[str, str], split: str | None, ending: str) -> Entry:
    values = {ours: line.values.get(theirs) for theirs, ours in names.items()}
    entry = _entry(uri, Line(line.number, values, line.problem), split, ending)
    for start, end in _HOW2SIGN_TIMES:
        try:
            seconds = float(line.values[end]) - float(line.values[start])
            return replace(entry, size=max(round(1000 * seconds), 0))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue  # only a hint, so that clips of like length share a shard
    return entry


class _RowError(ValueError):
    """What is wrong with a row, without file and line."""


def _entry(uri: str, line: Line, split: str | None, ending: str) -> Entry:
    """The entry of a row, whatever the row holds."""
    row = f"{uri.rpartition('/')[2]}, line {line.number}"
    listed = split or "train"
    id_ = text = ""
    try:
        if line.problem:
            raise _RowError(line.problem)
        id_, text = _text(line, "id"), _text(line, "text")
        listed = _split(line, split)
        for column, value in (("id", id_), ("text", text)):
            if not value:
                raise _RowError(f"column {column} is empty")
        location, length = _location(line, id_ + ending)
        gloss, signer = _gloss(line), _text(line, "signer")
    except _RowError as error:
        return Entry(id_ or row, listed, f"{_PROBLEM}{row}: {error}", text)
    return Entry(id_, listed, location, text, gloss, signer, size=length)


def _text(line: Line, column: str) -> str:
    value = line.values.get(column)
    if value is None:
        value = ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _RowError(f"column {column} is a {type(value).__name__}, expected text")
    text = str(value).strip()
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _RowError(f"column {column} holds half a character (a lone surrogate)")  # only JSON's escapes can
    return text


def _split(line: Line, split: str | None) -> str:
    name = _text(line, "split").lower()
    if not name:
        if "split" in line.values and split is None:
            raise _RowError(f"column split is empty, expected one of {', '.join(_SPLITS_BY_NAME)}")
        return split or "train"
    if name not in _SPLITS_BY_NAME:
        near = difflib.get_close_matches(name, _SPLITS_BY_NAME, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? Expected" if near else "expected"
        raise _RowError(f"column split is {name!r}, {meant} one of {', '.join(_SPLITS_BY_NAME)}")
    if split is not None and _SPLITS_BY_NAME[name] != split:
        raise _RowError(f"column split is {name!r} in the labels of split {split}")
    return _SPLITS_BY_NAME[name]


def _location(line: Line, default: str) -> tuple[str, int]:
    """Path and stretch as `locate` takes them, and the length in frames, 0 if unknown."""
    path = _text(line, "file") or default
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "::" in path or "://" in path:
        raise _RowError(f"file {path!r} leads out of the corpus; name it relative to corpus.root")
    if re.search(r"[\x00-\x1f\x7f]", path) or path.startswith("#") or _STRETCH.fullmatch(path):
        raise _RowError(f"file {path!r} is no name of a file; rename it")
    start, end = _frame(line, "start"), _frame(line, "end")
    if start is None and end is None:
        return path, 0
    if start is None or end is None or start >= end:
        raise _RowError(f"columns start and end are {start} and {end}, expected two frames, the second after the first")
    return f"{path}#frames={start}-{end}", end - start


def _frame(line: Line, column: str) -> int | None:
    text = _text(line, column)
    if text and not re.fullmatch(r"[0-9]{1,12}", text):
        raise _RowError(f"column {column} is {text!r}, expected the number of a frame, counted from 0")
    return int(text) if text else None


def _gloss(line: Line) -> tuple[str, ...]:
    value = line.values.get("gloss")
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):  # or else it is a gloss in brackets
            value = json.loads(value)
    if not isinstance(value, list):
        return tuple(_text(line, "gloss").split())
    return tuple(_text(Line(line.number, {"gloss": gloss}), "gloss") for gloss in value)
