"""Splits that a corpus was published without, held out of its training split.

What is held out are whole recordings: clips of one video, or of one sentence that several people signed, must not lie
in training and development both, or a memory would pass for a translation.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Final

from signdpo.config import ConfigError
from signdpo.corpora.labels import is_stretch, path_of
from signdpo.corpora.source import Entry

HELD_OUT: Final = ("dev", "test")

# What several clips share, at the beginning of their ids in the published corpora.
_RECORDINGS: Final = (
    # CSL-Daily: S000020_P0000_T00 is sentence 20 signed by signer 0; the others sign the same sentences.
    re.compile(r"(S\d{6})_P\d{4}_T\d{2}"),
    # How2Sign: -fZc293MpJk_0-1-rgb_front.mp4 is cut from the video -fZc293MpJk; ..._16_17-1-rgb_front is two sentences.
    re.compile(r"([\w-]{11})(?:_\d+)+-\d+-rgb_"),
    # OpenASL: 1nFdgokPwBw-00:00:14.100-00:00:17.266.mp4; colons become something else where a disk refuses them.
    re.compile(r"([\w-]{11})-\d{2}\D\d{2}\D\d{2}\.\d{3}-"),
)


def recording_of(entry: Entry) -> str:
    """What an entry's clip shares with the clips that must stay in one split with it.

    The file that a clip is a stretch of, the video of an id as in How2Sign and OpenASL, the sentence's number of one as
    in CSL-Daily; otherwise the sentence itself, whatever its case and spacing, or the id of a clip without any.
    """
    if is_stretch(entry.location):
        return path_of(entry.location)
    for pattern in _RECORDINGS:
        if match := pattern.match(entry.id):
            return match[1]
    return " ".join(entry.text.casefold().split()) or entry.id


def hold_out(train: list[Entry], split: str, share: float, missing: tuple[str, ...]) -> list[Entry]:
    """The part of a training listing that belongs to a split, where the corpus comes without some splits.

    A hash of the recording decides, so the parts do not depend on the order of the listing, or on what else is in it,
    and a recording that leaves one part enters no other.

    Args:
        train: the whole training listing as published.
        split: the part asked for; "train" gives what the missing splits leave.
        share: of the recordings that each missing split takes, at least 0 and below 0.5.
        missing: which of "dev" and "test" the corpus lacks.

    Raises:
        ConfigError: if nothing of a listing falls to a missing split, with the remedy.
    """
    part = [replace(entry, split=split) for entry in train if _part_of(entry, share, missing) == split]
    if train and not part and split in missing:
        raise ConfigError(
            f"none of the {len({recording_of(entry) for entry in train})} recordings of the training split fall to "
            f"split {split}: raise corpus.hold_out={share:g}"
        )
    return part


def _part_of(entry: Entry, share: float, missing: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(recording_of(entry).encode(errors="backslashreplace"), digest_size=8, person=b"hold_out")
    place = int.from_bytes(digest.digest()) / 2**64
    # Each split has a place of its own: a corpus that is given its dev split later keeps its held-out test split.
    for index, split in enumerate(HELD_OUT):
        if split in missing and share * index <= place < share * (index + 1):
            return split
    return "train"
