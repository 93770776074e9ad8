"""CSL-News (Li et al., ICLR 2025): Chinese Sign Language of the television news, as published for Uni-Sign."""

from __future__ import annotations

from typing import Final

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.source import Entry, text_of
from signdpo.corpora.uni_sign import POSES, UniSignSource
from signdpo.foreign.files import parse_json, read_file
from signdpo.foreign.restricted_pickle import MEBIBYTE
from signdpo.skeleton.clip import BadClipError
from signdpo.storage.files import join

LABELS: Final = "CSL_News_Labels.json"
MAX_LABELS_BYTES: Final = 1024 * MEBIBYTE
MIN_ITEM_BYTES: Final = 16  # of an object or a list: a file of shorter ones only fills the memory
KEYS: Final = ("video", "pose", "text")


class CslNewsSource(UniSignSource):
    """A folder with `CSL_News_Labels.json`, a list of `{video, pose, text}`, and the clips in `pose_format/<pose>`.

    The list has no splits. As the published code does, its first 99 % are for training; of the rest, which the
    published code takes for development and test alike, the first half is for development and the second for test.

    Args:
        corpus: `root` (the folder, local or any fsspec URI), `labels` (the JSON file, if it lies elsewhere),
            `person` and `language` count.

    Raises:
        ConfigError: for `hold_out`: no split is missing.
    """

    kind = "csl_news/2"
    location_key = "pose"

    def __init__(self, corpus: CorpusConfig) -> None:
        if corpus.hold_out:
            raise ConfigError(f"corpus.hold_out={corpus.hold_out:g}: CSL-News has all three splits, set it to 0")
        super().__init__(corpus)
        if corpus.labels is None:
            self.labels = join(self.root, LABELS)

    def _listed(self, split: str) -> list[Entry]:
        try:
            items = _parsed(read_file(self.labels, MAX_LABELS_BYTES))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.labels} is missing: CSL-News has {LABELS} and {POSES}/ in its folder; "
                f"check corpus.root={self.root} or set corpus.labels"
            ) from error
        except BadClipError as error:
            raise BadClipError(f"{self.labels} is not a list of video, pose and text: {error}") from error
        train = int(len(items) * 0.99)
        dev = train + (len(items) - train) // 2
        first, last = {"train": (0, train), "dev": (train, dev), "test": (dev, len(items))}[split]
        return [
            Entry(id=video or pose or f"item {index}", split=split, location=pose, text=text)
            for index, (video, pose, text) in enumerate(items[first:last], start=first)
        ]


def _parsed(content: bytes) -> list[tuple[str, str, str]]:
    """Video, pose and text of each item. Raises `BadClipError` where it is no list of objects."""
    if (content.count(b"{") + content.count(b"[")) * MIN_ITEM_BYTES > len(content) + 2 * MIN_ITEM_BYTES:
        raise BadClipError(f"its items take less than {MIN_ITEM_BYTES} bytes each")
    # The list of the whole corpus has 700,000 items: as tuples they take half the memory.
    items = parse_json(content, object_hook=lambda item: tuple(text_of(item.get(key)) for key in KEYS))
    if not isinstance(items, list) or not all(isinstance(item, tuple) for item in items):
        raise BadClipError("it holds something else")
    return items
