"""What a corpus holds, for a person: tables of a survey and of an ingest, and a picture of a few clips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from signdpo.config import ConfigError
from signdpo.corpora.ingest import commonest_reasons
from signdpo.corpora.survey import SplitSurvey
from signdpo.data.clips import Manifest, read_clips, read_manifest, read_quarantine
from signdpo.data.rows import keypoints_of, rows_of
from signdpo.skeleton.drawing import draw_strip

NAMES_SHOWN = 3
CLIPS_DRAWN = 5


def print_surveys(console: Console, surveys: Mapping[str, SplitSurvey], absent: Mapping[str, str]) -> None:
    """What the listing of each split tells, the first names of what is wrong, and which splits are absent and why."""
    table = Table("split", "rows", "clips found", "clips missing", "malformed rows", "empty sentences", "repeated ids")
    for split, found in surveys.items():
        wrong = (found.missing, found.malformed, found.empty, found.repeated)
        counts = (found.rows, found.rows - len(found.missing) - len(found.malformed), *map(len, wrong))
        table.add_row(split, *map(str, counts))
    console.print(table)
    for split, found in surveys.items():
        for what, names in (
            ("missing", found.missing),
            ("malformed", found.malformed),
            ("empty sentence", found.empty),
            ("repeated", found.repeated),
        ):
            if names:
                more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
                shown = ", ".join(map(repr, names[:NAMES_SHOWN]))
                console.print(f"{split}, {what}: {shown}{more}", markup=False, soft_wrap=True)
    _print_absent(console, absent)


def _print_absent(console: Console, absent: Mapping[str, str]) -> None:
    for split, reason in absent.items():
        console.print(f"no split {split}, which training needs: {reason}", markup=False, soft_wrap=True)


def refuse_unusable(surveys: Mapping[str, SplitSurvey], max_bad_share: float) -> None:
    """Raises `ConfigError` if an ingest would be sure to refuse more than this share of the clips."""
    rows = sum(split.rows for split in surveys.values())
    unusable = sum(split.unusable for split in surveys.values())
    if unusable > max_bad_share * rows:
        raise ConfigError(
            f"{unusable} of {rows} clips cannot be used, more than corpus.max_bad_share={max_bad_share:g} allows; "
            "repair them, or raise corpus.max_bad_share"
        )


def print_summary(console: Console, manifest: Manifest, directory: str) -> None:
    """What an ingest stored, and why it refused the rest."""
    quarantined = read_quarantine(directory)
    table = Table("split", "clips", "shortest", "median", "longest frames", "files missing", "otherwise quarantined")
    for split, summary in manifest.splits.items():
        frames = (str(summary.shortest), f"{summary.median:g}", str(summary.longest))
        missing = sum(record.split == split and record.reason.endswith(" is missing") for record in quarantined)
        table.add_row(split, str(summary.clips), *frames, str(missing), str(summary.quarantined - missing))
    console.print(table)
    _print_absent(console, manifest.absent)
    for note in manifest.notes_in_words():
        console.print(note, markup=False, soft_wrap=True)
    for reason in commonest_reasons(quarantined):
        console.print(f"quarantined: {reason}", markup=False, soft_wrap=True)
    console.print(f"content {manifest.content_hash[:16]} in {directory}", markup=False, soft_wrap=True)


def draw_clips(directory: str, path: str) -> None:
    """Draw strips of a few clips of one split, from short to long: a wrong map of joints is seen at a glance."""
    splits = read_manifest(directory).splits
    clips = read_clips(directory, next(name for name, split in splits.items() if split.clips))
    places = np.linspace(0, clips.num_rows - 1, min(CLIPS_DRAWN, clips.num_rows)).astype(int)
    figure = Figure(figsize=(12, 2 * len(places)), layout="constrained")
    strips = figure.subplots(len(places), squeeze=False)[:, 0]
    for axes, row in zip(strips, rows_of(clips.take(places)), strict=True):
        keypoints = keypoints_of(row["keypoints"], row["num_frames"])
        draw_strip(axes, keypoints, title=f"{row['id']}, {row['num_frames']} frames: {row['text']}")
    figure.savefig(path, dpi=110)
