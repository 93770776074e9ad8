"""TensorBoard logs in the run directory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signdpo.monitoring.trackers import Tracker, scalars
from signdpo.storage.files import is_local, put_file

if TYPE_CHECKING:  # brings torch
    from tensorboardX import SummaryWriter

FLUSH_SECONDS = 10
UPLOAD_SECONDS = 60.0


class TensorBoardTracker(Tracker):
    """Writes the scalars of every row as event files; steps that are done again replace the earlier ones.

    Args:
        folder: where to; of a URI, event files are written beside and copied there every minute and at the end.
        start_step: what was logged of later steps is hidden.
    """

    def __init__(self, folder: str, *, start_step: int) -> None:
        self.folder, self.step = folder, start_step
        self.temporary = None if is_local(folder) else tempfile.TemporaryDirectory(prefix="signdpo-")
        self.place = self.temporary.name if self.temporary else folder
        self.uploaded = time.monotonic()
        self.writer = self._open(start_step + 1)

    def _open(self, purge_step: int) -> SummaryWriter:
        from tensorboardX import SummaryWriter

        # TensorBoard reads event files in the order of their names, which begin with the second of their creation.
        suffix = f".{time.time_ns() % 10**9:09d}"
        return SummaryWriter(self.place, purge_step=purge_step, flush_secs=FLUSH_SECONDS, filename_suffix=suffix)

    def log(self, row: Mapping[str, Any]) -> None:
        if row["step"] <= self.step:
            self.writer.close()
            self.writer = self._open(row["step"])
        self.step = row["step"]
        for name, value in scalars(row).items():
            self.writer.add_scalar(name, value, self.step)

    def beat(self) -> None:
        if self.temporary and time.monotonic() - self.uploaded > UPLOAD_SECONDS:
            self.uploaded = time.monotonic()
            self.writer.flush()
            self._upload()

    def close(self) -> None:
        self.writer.close()
        if self.temporary:
            self._upload()
            self.temporary.cleanup()

    def _upload(self) -> None:
        for file in sorted(Path(self.place).iterdir()):
            put_file(f"{self.folder}/{file.name}", file)
