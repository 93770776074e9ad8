"""Tables of text in a file: CSV, TSV or one JSON object a line, told apart by the ending of the file's name."""

from __future__ import annotations

import csv
import io
import json
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from signdpo.foreign.files import read_text
from signdpo.skeleton.clip import BadClipError

ENDINGS: Final = ("tsv", "csv", "jsonl")
MAX_TABLE_BYTES: Final = 1024**3
MAX_LINES: Final = 5_000_000  # a row of a few bytes becomes an object of hundreds
MAX_COLUMNS: Final = 1000
MAX_LINES_OF_A_ROW: Final = 100


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
    """Read a table in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    The first line tells what separates the columns: comma, tab, `|` or `;`. With commas and semicolons RFC 4180 holds.
    With tabs and bars a row is a line whatever quotes it holds, except that a field wholly in quotes is unquoted, as
    spreadsheets write it, and may have line breaks in it.

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
    text = read_text(uri, MAX_TABLE_BYTES, lines=MAX_LINES)
    if ending == "jsonl":
        return _json_table(uri, text)
    first = text.partition("\n")[0]
    delimiter = _delimiter(ending, first)
    rows = _line_by_line(text, delimiter) if delimiter in "\t|" else _by_csv(uri, text, delimiter)
    return _delimited_table(uri, rows)


def _delimiter(ending: str, header: str) -> str:
    """What separates the columns of a table: what its name says, unless the first line has another sign instead."""
    by_name = "\t" if ending == "tsv" else ","
    return next((sign for sign in (by_name, *"\t|;,") if sign in header), by_name)


def _line_by_line(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a table whose writers mostly quote nothing: quotes count where they enclose a whole field."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    columns = lines[0].count(delimiter) + 1
    number = 0
    while number < len(lines):
        several = _over_lines(lines, number, delimiter, columns)
        if several is None:
            yield number + 1, [_unquoted(field) for field in lines[number].split(delimiter)]
            number += 1
        else:
            end, fields = several
            yield number + 1, fields
            number = end


def _over_lines(lines: list[str], start: int, delimiter: str, columns: int) -> tuple[int, list[str]] | None:
    """The row that begins at a line and goes on in the next ones, as a quoted field with line breaks makes it.

    Returns:
        The number of the line after it and its fields; None if no quote is open at the end of the line, or what
        follows is a row of its own and the quote is one of a sentence.
    """
    fields = lines[start].split(delimiter)
    opening = next((place for place, field in enumerate(fields) if _opens(field)), None)
    quotes = 0 if opening is None else delimiter.join(fields[opening:]).count('"')
    if quotes % 2 == 0:
        return None
    for end in range(start + 1, min(start + MAX_LINES_OF_A_ROW, len(lines))):
        if len(fields) >= columns and lines[end].count(delimiter) + 1 >= columns:
            return None
        quotes += lines[end].count('"')
        if quotes % 2:  # still open: parsed once, where it closes, and not at every line
            continue
        several = io.StringIO("\n".join(lines[start : end + 1]), newline="")
        try:
            rows = list(csv.reader(several, delimiter=delimiter, strict=True))
        except csv.Error:
            return None
        return (end + 1, rows[0]) if len(rows) == 1 and len(rows[0]) == columns else None
    return None


def _opens(field: str) -> bool:
    return field.startswith('"') and _unquoted(field) == field


def _unquoted(field: str) -> str:
    inner = field[1:-1]
    if len(field) < 2 or field[0] != '"' or field[-1] != '"' or '"' in inner.replace('""', ""):
        return field
    return inner.replace('""', '"')


def _by_csv(uri: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for fields in reader:
            yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise BadClipError(
            f"{uri}, line {number}: {error}; put a field with delimiters, quotes or line breaks in quotes and double "
            "the quotes in it"
        ) from error


def _delimited_table(uri: str, rows: Iterator[tuple[int, list[str]]]) -> Table:
    number, header = next(rows, (1, []))
    columns = tuple(name.strip().lower() for name in header)
    _refuse_too_many(uri, len(columns))
    for name in columns:
        if name and columns.count(name) > 1:
            raise BadClipError(f"{uri}, line {number}: column {name} is there twice; rename one")
    return Table(
        uri, columns, tuple(_line(number, fields, columns) for number, fields in rows if any(map(str.strip, fields)))
    )


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
