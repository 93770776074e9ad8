"""A quick look at a corpus: what its listing tells, without reading a single clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signdpo.corpora.labels import problem_of
from signdpo.corpora.source import MISSING, Entry


@dataclass(frozen=True)
class SplitSurvey:
    """What the listing of a split tells.

    Args:
        rows: in the listing.
        missing: locations of rows whose clip has no file, in order.
        malformed: what is wrong with rows that make no sense, with file and line where these are known.
        empty: ids of rows without a sentence.
        repeated: ids that appeared before, in this split or an earlier one, once for each further time.
        unusable: rows that an ingest is sure to refuse, for any of these reasons.
    """

    rows: int
    missing: tuple[str, ...]
    malformed: tuple[str, ...]
    empty: tuple[str, ...]
    repeated: tuple[str, ...]
    unusable: int


def survey(listed: Mapping[str, Sequence[Entry]]) -> dict[str, SplitSurvey]:
    """Look at the listing of each split."""
    surveys = {}
    seen: set[str] = set()
    for split, entries in listed.items():
        problems = [problem_of(entry.location) for entry in entries]
        malformed = list(map(bool, problems))
        missing = [entry.stamp == MISSING and not problem for entry, problem in zip(entries, problems, strict=True)]
        empty = [not entry.text.strip() and not problem for entry, problem in zip(entries, problems, strict=True)]
        repeated = []
        for entry in entries:
            repeated.append(entry.id in seen)
            seen.add(entry.id)
        surveys[split] = SplitSurvey(
            rows=len(entries),
            missing=tuple(entry.location for entry, found in zip(entries, missing, strict=True) if found),
            malformed=tuple(filter(None, problems)),
            empty=tuple(entry.id for entry, found in zip(entries, empty, strict=True) if found),
            repeated=tuple(entry.id for entry, found in zip(entries, repeated, strict=True) if found),
            unusable=sum(map(any, zip(missing, malformed, empty, repeated, strict=True))),
        )
    return surveys
