"""What must hold whatever file is read: nothing is run, little memory is taken, soon it is over, all is recorded."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from signdpo.config import ConfigError
from signdpo.corpora.ingest import ShardOutcome, make_shard
from signdpo.corpora.planning import Shard
from signdpo.corpora.source import Source
from signdpo.data.clips import read_quarantine, write_quarantine
from signdpo.skeleton.clip import BadClipError
from signdpo.storage.files import read_json

MEBIBYTE = 1024 * 1024
LINES = 5000
LIMIT = MEBIBYTE  # of a file or an array, where the library allows hundreds
PEAK = 32 * LIMIT  # JSON's empty lists take 24 times their bytes
SECONDS = 5.0  # of CPU time, which other work on the machine does not lengthen
ROWS = 20  # of damaged labels that are read
LIMITS = {
    "signdpo.corpora.uni_sign": ("MAX_LABELS_BYTES",),
    "signdpo.corpora.csl_news": ("MAX_LABELS_BYTES",),
    "signdpo.corpora.json_landmarks": ("MAX_JSON_BYTES", "MAX_LINE_BYTES"),
    "signdpo.foreign.tables": ("MAX_TABLE_BYTES", "MAX_LINES"),
    **{f"signdpo.corpora.{module}": ("MAX_CLIP_BYTES",) for module in ("pose_pickle", "pose_file", "openpose", "npz")},
}
# What Python tells of itself when a file makes it do something: https://docs.python.org/3/library/audit_events.html
FORBIDDEN = ("exec", "import", "os.", "subprocess.", "pickle.", "marshal.", "socket.", "ctypes.", "shutil.")
HARMLESS = ("os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove")


class Watch:
    """What the process does while a file is read."""

    def __init__(self) -> None:
        self.events: list[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.events is None or not event.startswith(FORBIDDEN) or event in HARMLESS:
            return
        self.events.append(f"{event} {arguments!r:.200}")

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Assert that nothing is run, that little memory is taken, and that it is soon over."""
        self.events = []
        tracemalloc.start()
        begin = time.process_time()
        try:
            yield
        finally:
            seconds = time.process_time() - begin
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            events, self.events = self.events, None
        assert not events
        assert peak < PEAK
        assert seconds < SECONDS


WATCH = Watch()


def ingested(source: Source, root: Path) -> ShardOutcome:
    """What becomes of the first rows of a corpus; an empty outcome if its labels are refused as a whole."""
    try:
        entries = source.entries("train")[:ROWS]
    except (BadClipError, FileNotFoundError, ConfigError):
        return ShardOutcome("train", "fuzz", [], [], [], {}, final=True)
    outcome = make_shard(Shard("train", "fuzz", tuple(entries), 16), source, str(root / "out"))
    assert len(outcome.frames) + len(outcome.quarantined) == len(entries)
    assert outcome.final, outcome.quarantined  # nothing was refused but with a reason of ours
    assert all(record.reason for record in outcome.quarantined)
    assert read_json(str(root / "out" / "shards" / "train-fuzz.json"))["frames"] == outcome.frames
    write_quarantine(str(root / "out"), outcome.quarantined)
    assert read_quarantine(str(root / "out")) == outcome.quarantined
    return outcome
