"""Wrong sentences of the user's own: preference pairs or ranked n-best lists in a table."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signdpo.config import ConfigError
from signdpo.text.units import folded

PAIRS_FILE: Final = "pairs.json"


@dataclass(frozen=True)
class GivenSentences:
    """Proposes what a user gave.

    Args:
        rejected: right sentence -> its wrong ones.
    """

    rejected: Mapping[str, Sequence[str]]

    @classmethod
    def load(cls, folder: str | Path) -> GivenSentences:
        return cls(json.loads(Path(folder, PAIRS_FILE).read_text(encoding="utf-8")))

    def to_json(self) -> str:
        return json.dumps(self.rejected, ensure_ascii=False)

    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Some of the sentences given for each reference, others for other seeds; empty ones where there are too few.

        Row `i` depends on `references[i]` and `seeds[i]` alone.
        """
        proposed = []
        for reference, seed in zip(references, seeds, strict=True):
            given = self.rejected.get(reference, [])
            drawn = random.Random(seed).sample(list(given), min(candidates, len(given)))
            proposed.append([*drawn, *[""] * (candidates - len(drawn))])
        return proposed


@dataclass(frozen=True)
class GivenPairs:
    """What a table of pairs holds for a corpus.

    Args:
        sentences: its wrong sentences, by the right ones.
        clips: number of training clips that have some.
        left_out: why rows were left out -> how many were.
    """

    sentences: GivenSentences
    clips: int
    left_out: Mapping[str, int]


def match_pairs(rows: Sequence[Mapping[str, Any]], texts: Mapping[str, str], place: str) -> GivenPairs:
    """Give the pairs of a table to the clips of a corpus.

    Args:
        rows: each with `id`, `rejected` (a sentence, or a list of them) and, where given, `chosen`: the sentence of the
            clip, which is what the alignment prefers.
        texts: training clip -> its sentence.
        place: of the table, for messages.

    Raises:
        ConfigError: if no row fits.
    """
    found: dict[str, dict[str, None]] = {}
    left_out = dict.fromkeys(("of no training clip", "prefer another sentence than the clip's", "reject nothing"), 0)
    clips = set()
    for row in rows:
        text, chosen = texts.get(str(row["id"])), row.get("chosen")
        given = row["rejected"] if isinstance(row["rejected"], list) else [row["rejected"]]
        wrong = [str(each) for each in given if each is not None and folded(str(each)) not in ("", folded(text or ""))]
        if text is None:
            left_out["of no training clip"] += 1
        elif chosen not in (None, "") and folded(str(chosen)) != folded(text):
            left_out["prefer another sentence than the clip's"] += 1
        elif not wrong:
            left_out["reject nothing"] += 1
        else:
            found.setdefault(text, {}).update(dict.fromkeys(wrong))
            clips.add(str(row["id"]))
    told = {why: count for why, count in left_out.items() if count}
    if not found:
        why = ", ".join(f"{count} {reason}" for reason, count in told.items()) or "it is empty"
        raise ConfigError(f"{place} holds no pair for a training clip: of {len(rows)} rows {why}")
    return GivenPairs(GivenSentences({text: list(wrong) for text, wrong in found.items()}), len(clips), told)
