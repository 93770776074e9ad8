"""Clip files as clip rows: read, checked, shortened, normalised and rounded as the ingest does, or refused.

Nothing here needs torch: Ray's own processes import it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from signdpo.config import ConfigError, CorpusConfig
from signdpo.corpora.labelled import LabelledSource
from signdpo.corpora.pose_pickle import read_pose
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import clip_file
from signdpo.corpora.time_limit import time_limit
from signdpo.data.clips import prepare_clip
from signdpo.data.rows import CLIP_SCHEMA, clip_to_row
from signdpo.inference.clip_files import KNOWN, ClipFile
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.people import People
from signdpo.storage.files import exists

# `step` names a batch to who watches over it; a clip that was refused has a reason and no frames.
READ_SCHEMA: Final = pa.schema([*CLIP_SCHEMA, ("step", pa.int64()), ("reason", pa.string())])
UNSAID: Final = "?"  # a clip is checked with its sentence, and this one has none yet


def read_rows(files: Sequence[ClipFile], corpus: CorpusConfig, step: int = 0) -> list[dict[str, Any]]:
    """Rows of `READ_SCHEMA`, one of each file.

    Args:
        files: the clips.
        corpus: `max_frames`, `clip_seconds`, and what its readers need beside root and labels.
        step: of all of them.
    """
    rows = []
    for file in files:
        row = {**clip_to_row(_NO_CLIP), "id": file.id, "step": step, "reason": ""}
        try:
            with time_limit(corpus.clip_seconds):
                clip = Clip(file.id, UNSAID, _keypoints(file, corpus))
                row |= clip_to_row(prepare_clip(clip, corpus.max_frames))
        except (BadClipError, ConfigError) as error:  # such as a library that a reader needs
            row["reason"] = str(error)
        except Exception as error:  # whatever one file does to its reader, the rest goes on
            row["reason"] = f"{type(error).__name__}: {error}"
        rows.append(row)
    return rows


def _keypoints(file: ClipFile, corpus: CorpusConfig) -> np.ndarray:
    """Keypoints `(frames, 69, 3)` float32 as the reader of this kind reads them. Raises `BadClipError`."""
    if not file.kind:
        raise BadClipError(f"not a clip of a known kind: expected {KNOWN}" if exists(file.uri) else "it is missing")
    folder, _, name = file.uri.rpartition("/")
    here = {"kind": file.kind, "root": folder or "/", "labels": None, "hold_out": 0.0}
    source = open_source(corpus.model_copy(update=here))
    found: np.ndarray | People
    if isinstance(source, LabelledSource):
        with clip_file(file.uri):
            found = source.keypoints(file.uri, None)
    else:  # one of the two whose clips are pickles
        found = read_pose(folder, name)
    return found.signer(corpus.person)[0] if isinstance(found, People) else found


_NO_CLIP: Final = Clip("", "", np.zeros((0, 69, 3), np.float32))
