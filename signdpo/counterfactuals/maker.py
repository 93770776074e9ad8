"""Counterfactuals of clips: which signs are exchanged for which, by seed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from signdpo.config import Config, CounterfactualConfig
from signdpo.counterfactuals.language import BEGIN, END, Language, keys_of
from signdpo.counterfactuals.segments import Segment
from signdpo.counterfactuals.splice import splice
from signdpo.data.clips import read_clips, read_parquet
from signdpo.data.rows import keypoints_of, rows_of
from signdpo.levels import COUNTERFACTUAL
from signdpo.seeding import derive_seed
from signdpo.storage.files import join
from signdpo.text.units import folded, join_units, split_units

TRIED = 6  # replacements for a segment, of which the first that makes a sentence is taken
FILE = "segments.parquet"
SEGMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # of the clip
        ("first", pa.int32()),  # place of the first unit in its sentence
        ("units", pa.list_(pa.string())),  # as they are written
        ("before", pa.string()),  # key of the unit before them
        ("after", pa.string()),  # key of the unit after them
        ("begin", pa.int32()),  # frame
        ("end", pa.int32()),  # past the last frame
        ("mass", pa.float32()),  # share of the units' attention on these frames
        ("keypoints", pa.list_(pa.float16())),  # of the frames, flat; empty where others of the units are enough
    ]
)


@dataclass(frozen=True)
class Counterfactual:
    """A clip in which other signs are signed, and its sentence.

    Args:
        keypoints: `(frames, 69, 3)` float32.
        text: the sentence that is right for them.
    """

    keypoints: np.ndarray
    text: str


Keys = tuple[str, ...]
Seed = tuple[str | int, ...]


class CounterfactualMaker:
    """Exchanges segments of clips for those of other training clips.

    Args:
        segments: rows of `SEGMENT_SCHEMA`.
        language: of the training sentences.
        config: `negatives.counterfactual`.
        kept_out: sentences that must not be made: those that a policy is to be tested on.
    """

    def __init__(
        self, segments: pa.Table, language: Language, config: CounterfactualConfig, kept_out: Iterable[str]
    ) -> None:
        self.language, self.config = language, config
        self.kept_out = {folded(sentence) for sentence in kept_out}
        self.segments_of: dict[str, list[Segment]] = defaultdict(list)
        self.donors: dict[Keys, list[tuple[list[str], np.ndarray]]] = defaultdict(list)
        places: dict[Keys, set[tuple[str, str]]] = defaultdict(set)
        known: dict[tuple[str, str], set[Keys]] = defaultdict(set)
        for row in rows_of(segments):
            keys, place = tuple(keys_of(row["units"])), (row["before"], row["after"])
            found = Segment(row["first"], len(keys), row["begin"], row["end"], row["mass"])
            self.segments_of[row["id"]].append(found)
            places[keys].add(place)
            if len(row["keypoints"]):
                self.donors[keys].append((row["units"], keypoints_of(row["keypoints"])))
                known[place].add(keys)
        # What stands between the same neighbours may stand for each other.
        self.replacements = {
            keys: sorted(set(itertools.chain.from_iterable(known[place] for place in around)) - {keys})
            for keys, around in places.items()
        }

    @classmethod
    def load(cls, config: Config, clips: str, segments: str) -> CounterfactualMaker:
        """That of a run.

        Args:
            config: of the run.
            clips: folder of its clips.
            segments: folder of their segments.
        """
        train, dev, test = (
            read_clips(clips, split, columns=["text"])["text"].to_pylist() for split in ("train", "dev", "test")
        )
        language = Language(train, function_share=config.negatives.perturber.function_share)
        table = read_parquet(join(segments, FILE), SEGMENT_SCHEMA)
        return cls(table, language, config.negatives.counterfactual, [*dev, *test])

    def make(self, clip_id: str, text: str, keypoints: np.ndarray, seed: Seed) -> Counterfactual | None:
        """A counterfactual of a training clip with up to `exchanges` signs exchanged; None where there is none.

        Args:
            clip_id: of the clip.
            text: its sentence.
            keypoints: `(frames, 69, 3)` float32, as the segments were found in.
            seed: parts of a seed, which decides what is exchanged.
        """
        rng = np.random.default_rng(derive_seed(*seed, COUNTERFACTUAL))
        units, segments = split_units(text), self.segments_of.get(clip_id, [])
        chosen: dict[int, tuple[Segment, list[str], np.ndarray]] = {}
        for place in rng.permutation(len(segments)).tolist():
            if len(chosen) == self.config.exchanges:
                break
            segment = segments[place]
            options = self.replacements.get(tuple(keys_of(_units(units, segment))), [])
            for option in rng.permutation(len(options)).tolist()[:TRIED]:
                donors = self.donors[options[option]]
                written, frames = donors[int(rng.integers(len(donors)))]
                tried = chosen | {segment.first: (segment, written, frames)}
                if self.language.fits(keys_of(_exchanged(units, tried))):
                    chosen = tried
                    break
        sentence = join_units(_exchanged(units, chosen))
        if not chosen or folded(sentence) in self.kept_out | {folded(text)}:
            return None
        for segment, _, frames in sorted(chosen.values(), key=lambda each: -each[0].begin):  # later frames keep theirs
            keypoints = splice(keypoints, segment.begin, segment.end, frames)
        return Counterfactual(keypoints, sentence)


def neighbours(keys: Sequence[str], segment: Segment) -> tuple[str, str]:
    """The keys before and after a segment."""
    bordered = [BEGIN, *keys, END]
    return bordered[segment.first], bordered[segment.first + segment.count + 1]


def _units(units: Sequence[str], segment: Segment) -> Sequence[str]:
    return units[segment.first : segment.first + segment.count]


def _exchanged(units: Sequence[str], chosen: dict[int, tuple[Segment, list[str], np.ndarray]]) -> list[str]:
    """The units of a sentence with those of some segments exchanged; a space goes before as it did."""
    written: list[str] = []
    at = 0
    for first in sorted(chosen):
        segment, new, _ = chosen[first]
        written += units[at:first]
        space = " " if units[first].startswith(" ") else ""
        written += [space + new[0].strip(), *new[1:]]
        at = first + segment.count
    return written + list(units[at:])
