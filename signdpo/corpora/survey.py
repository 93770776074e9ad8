"""A quick look at a corpus: what its listing tells, without reading a single clip."""

from __future__ import annotations

from dataclasses import dataclass

from signdpo.config import CorpusConfig
from signdpo.corpora.planning import list_entries
from signdpo.corpora.source import MISSING, Source


@dataclass(frozen=True)
class SplitSurvey:
    """What the listing of a split tells.

    Args:
        rows: in the listing.
        missing: locations of rows whose clip has no file, in order.
        empty: ids of rows without a sentence.
        repeated: ids that appeared before, in this split or an earlier one, once for each further time.
        unusable: rows that an ingest is sure to refuse, for any of these reasons.
    """

    rows: int
    missing: tuple[str, ...]
    empty: tuple[str, ...]
    repeated: tuple[str, ...]
    unusable: int


def survey(source: Source, corpus: CorpusConfig) -> dict[str, SplitSurvey]:
    """Look at the listing of each split, at most `corpus.limit` rows each. Raises what `Source.entries` does."""
    surveys = {}
    seen: set[str] = set()
    for split, entries in list_entries(source, corpus.limit).items():
        missing = [entry.stamp == MISSING for entry in entries]
        empty = [not entry.text.strip() for entry in entries]
        repeated = []
        for entry in entries:
            repeated.append(entry.id in seen)
            seen.add(entry.id)
        surveys[split] = SplitSurvey(
            rows=len(entries),
            missing=tuple(entry.location for entry, found in zip(entries, missing, strict=True) if found),
            empty=tuple(entry.id for entry, found in zip(entries, empty, strict=True) if found),
            repeated=tuple(entry.id for entry, found in zip(entries, repeated, strict=True) if found),
            unusable=sum(map(any, zip(missing, empty, repeated, strict=True))),
        )
    return surveys
