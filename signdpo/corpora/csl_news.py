"""CSL-News (Li et al., ICLR 2025): Chinese Sign Language of the television news, as published for Uni-Sign."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.pose_pickle import read_pose
from signdpo.corpora.source import Entry, with_files
from signdpo.corpora.unpickling import MEBIBYTE
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.storage.files import absolute, join, read_bytes

LABELS: Final = "CSL_News_Labels.json"
POSES: Final = "pose_format"
MAX_LABELS_BYTES: Final = 1024 * MEBIBYTE
MAX_ITEM_BYTES: Final = 64 * 1024
# An item with all its keys has 33 bytes before it says anything: a file of shorter ones only fills the memory.
MIN_ITEM_BYTES: Final = 33

_BEGINNING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*")
# An object without objects or lists in it, and what follows it. Nothing here ever backtracks.
_ITEM: Final = re.compile(rb'(\{(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+\})\s*+(,\s*+|\]\s*+\Z)', re.DOTALL)


class CslNewsSource:
    """A folder with `CSL_News_Labels.json`, a list of `{video, pose, text}`, and the clips in `pose_format/<pose>`.

    The list has no splits. As the published code does, its first 99 % are for training; of the rest, which the
    published code takes for development and test alike, the first half is for development and the second for test.

    Args:
        corpus: `root` (the folder, local or any fsspec URI), `labels` (the JSON file, if it lies elsewhere) and
            `language` count.

    Raises:
        ConfigError: for `hold_out`: no split is missing.
    """

    def __init__(self, corpus: CorpusConfig) -> None:
        if corpus.hold_out:
            raise ConfigError(f"corpus.hold_out={corpus.hold_out:g}: CSL-News has all three splits, set it to 0")
        self.root = absolute(str(corpus.root))
        self.labels = absolute(corpus.labels) if corpus.labels is not None else join(self.root, LABELS)
        self.language = corpus.language
        self.reading = f"csl_news/1 {self.root}"

    def entries(self, split: str) -> list[Entry]:
        """List a split in the order of the labels.

        An item that lacks a field is listed with an empty one, so that reading its clip names what is wrong.

        Raises:
            FileNotFoundError: if there is no labels file.
            BadClipError: if it is no list of such items.
        """
        try:
            content = read_bytes(self.labels, MAX_LABELS_BYTES + 1)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.labels} is missing: CSL-News has {LABELS} and {POSES}/ in its folder; "
                f"check corpus.root={self.root} or set corpus.labels"
            ) from error
        try:
            items = list(_items(content))
        except BadClipError as error:
            raise BadClipError(f"{self.labels} is not a list of video, pose and text: {error}") from error
        train = int(len(items) * 0.99)
        dev = train + (len(items) - train) // 2
        first, last = {"train": (0, train), "dev": (train, dev), "test": (dev, len(items))}[split]
        entries = [_entry(index, split, items[index]) for index in range(first, last)]
        return with_files(entries, join(self.root, POSES), str)

    def read(self, entry: Entry) -> Clip:
        """Read one clip: keypoints `(frames, 69, 3)` float32 as shares of the picture's width and height.

        Raises:
            BadClipError: naming the file and what is wrong with it.
        """
        if not entry.location:
            raise BadClipError("the item has no pose")
        keypoints = read_pose(join(self.root, POSES), entry.location)
        return Clip(entry.id, entry.text, keypoints, signer=entry.signer)


def _items(content: bytes) -> Iterator[bytes]:
    """The items of the list, each still JSON. Raises `BadClipError` where it is no list of flat objects.

    The list of the whole corpus has 700,000 items: parsed as one, it takes several times the memory of the file.
    """
    if len(content) > MAX_LABELS_BYTES:
        raise BadClipError(f"it is larger than {MAX_LABELS_BYTES / MEBIBYTE:.0f} MiB")
    if content.count(b"{") * MIN_ITEM_BYTES > len(content) + MIN_ITEM_BYTES:
        raise BadClipError(f"its items take less than {MIN_ITEM_BYTES} bytes each")
    beginning = _BEGINNING.match(content)
    position = beginning.end() if beginning else 0
    if beginning and content[position:].strip() == b"]":
        return
    item = None
    while item is None or item[2].startswith(b","):
        item = _ITEM.match(content, position)
        if beginning is None or item is None or len(item[1]) > MAX_ITEM_BYTES:
            found = content[position : position + 40].decode(errors="replace")
            raise BadClipError(f"byte {position} begins with {found!r}")
        yield item[1]
        position = item.end()


def _entry(index: int, split: str, item: bytes) -> Entry:
    try:
        label = json.loads(item)
    except ValueError:
        label = {}
    video, pose, text = (_text(label.get(key)) for key in ("video", "pose", "text"))
    return Entry(id=video or pose or f"item {index}", split=split, location=pose, text=text)


def _text(value: Any) -> str:
    # No file that we write could hold half a character, which JSON's escapes can make.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
