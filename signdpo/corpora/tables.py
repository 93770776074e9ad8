"""Tables of text in a file: CSV, TSV or one JSON object a line, told apart by the ending of the file's name."""

from __future__ import annotations

import csv
import io
import json
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from signdpo.corpora.foreign_files import read_file
from signdpo.skeleton.clip import BadClipError

ENDINGS: Final = ("tsv", "csv", "jsonl")
MAX_TABLE_BYTES: Final = 1024**3
MAX_LINES: Final = 5_000_000  # a row of a few bytes becomes an object of hundreds
MAX_COLUMNS: Final = 1000


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Args:
        number: of its first line in the file, from 1.
        values: by column, all of the table's: text, or whatever JSON holds; None where a row has nothing.
        problem: what is wrong with a row that could not be split into columns; empty if nothing is.
    """

    number: int
    values: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """What a file holds: the names of its columns in lower case, and its rows without the blank ones."""

    uri: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def read_table(uri: str) -> Table:
    """Read a table in UTF-8, with or without a byte order mark.

    A CSV follows RFC 4180; one whose first line has tabs and no comma (How2Sign's labels) is read as a TSV. A TSV has
    one row a line whatever quotes it holds, except that a field wholly in quotes is unquoted, as spreadsheets write it.

    Args:
        uri: a local path or any fsspec URI that ends in .csv, .tsv or .jsonl.

    Raises:
        FileNotFoundError: if there is no such file.
        BadClipError: with file, line, what was found and the remedy, if the file is no such table as a whole. A single
            row that is not has a `problem` instead.
    """
    ending = uri.rpartition(".")[2].lower()
    if ending not in ENDINGS:
        raise BadClipError(f"{uri} is no table: its name must end in .{', .'.join(ENDINGS)}")
    try:
        content = read_file(uri, MAX_TABLE_BYTES)
    except BadClipError as error:
        raise BadClipError(f"{uri}: {error}") from error
    if content.count(b"\n") > MAX_LINES:
        raise BadClipError(f"{uri} has more than {MAX_LINES} lines")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadClipError(
            f"{uri}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error
    if ending == "jsonl":
        return _json_table(uri, text)
    first = text.partition("\n")[0]
    tabs = ending == "tsv" or ("\t" in first and "," not in first)
    return _delimited_table(uri, _tab_separated(text) if tabs else _comma_separated(uri, text))


def _tab_separated(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, [_unquoted(field) for field in line.removesuffix("\r").split("\t")]


def _unquoted(field: str) -> str:
    inner = field[1:-1]
    if len(field) < 2 or field[0] != '"' or field[-1] != '"' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


def _comma_separated(uri: str, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for fields in reader:
            yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise BadClipError(
            f"{uri}, line {number}: {error}; put a field with commas, quotes or line breaks in quotes and double the "
            "quotes in it"
        ) from error


def _delimited_table(uri: str, rows: Iterator[tuple[int, list[str]]]) -> Table:
    number, header = next(rows, (1, []))
    columns = tuple(name.strip().lower() for name in header)
    _refuse_too_many(uri, len(columns))
    for name in columns:
        if name and columns.count(name) > 1:
            raise BadClipError(f"{uri}, line {number}: column {name} is there twice; rename one")
    return Table(uri, columns, tuple(_line(number, fields, columns) for number, fields in rows if any(fields)))


def _line(number: int, fields: list[str], columns: tuple[str, ...]) -> Line:
    problem = ""
    if any(fields[len(columns) :]):  # spreadsheets end rows with empty fields
        problem = (
            f"there are {len(fields)} fields but {len(columns)} columns; "
            "quote the field that holds the delimiter, or take the surplus out"
        )
    return Line(number, dict.fromkeys(columns) | dict(zip(columns, fields, strict=False)), problem)


def _json_table(uri: str, text: str) -> Table:
    lines = tuple(_json_line(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    columns: dict[str, Any] = dict.fromkeys(name for line in lines for name in line.values)
    _refuse_too_many(uri, len(columns))
    return Table(
        uri, tuple(columns), tuple(replace(line, values=ChainMap(dict(line.values), columns)) for line in lines)
    )


def _refuse_too_many(uri: str, columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise BadClipError(f"{uri} has {columns} columns, at most {MAX_COLUMNS} are read; is it a table of labels?")


def _json_line(number: int, text: str) -> Line:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Line(number, {}, f"this is not JSON: {error}")
    if not isinstance(values, dict):
        return Line(number, {}, f"expected a JSON object with a key for each column, found a {type(values).__name__}")
    return Line(number, {name.strip().lower(): value for name, value in values.items()})
