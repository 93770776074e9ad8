"""Check a corpus and store it as Parquet, without training anything.

python jobs/prepare.py --out clips --picture clips.png
python jobs/prepare.py --set corpus.kind=uni_sign --set corpus.root=/data/CSL_Daily --set corpus.language=zh --out clips
python jobs/prepare.py --set corpus.kind=uni_sign --set corpus.root=/data/CSL_Daily --check
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from signdpo.cluster.plan import begin_ray
from signdpo.config import Config, ConfigError, load_config
from signdpo.console import open_console
from signdpo.corpora.ingest import commonest_reasons, ingest
from signdpo.corpora.registry import open_source
from signdpo.corpora.survey import SplitSurvey, survey
from signdpo.data.clips import Manifest, keypoints_of, read_clips, read_quarantine
from signdpo.monitoring.progress import StageProgress
from signdpo.skeleton.drawing import draw_strip

NAMES_SHOWN = 3
CLIPS_DRAWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=None, metavar="FILE", help="YAML, for example jobs/configs/default.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeatable")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--out", metavar="DIR", help="where the clips go: a local path or a URI")
    action.add_argument("--check", action="store_true", help="only look at labels and file names: no clip is read")
    parser.add_argument("--picture", metavar="FILE", help="with --out, draw a few of the clips, for example clips.png")
    arguments = parser.parse_args()
    console = open_console()
    try:
        config = load_config(arguments.config, arguments.set)
        if arguments.check:
            return check(console, config)
        prepare(console, config, arguments.out)
        if arguments.picture:
            draw_clips(arguments.out, arguments.picture)
            console.print(f"drawn    {arguments.picture}", markup=False, soft_wrap=True)
        return 0
    except (ConfigError, ValueError, FileNotFoundError) as error:
        console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        return 2


def prepare(console: Console, config: Config, directory: str) -> None:
    """Store the corpus and print what is in it."""
    source = open_source(config.corpus)
    begin_ray(config, "clips")
    with StageProgress(console, "clips", total=None, unit="clips") as meter:
        manifest = ingest(source, directory, config.corpus, progress=lambda done, total: meter.update(done))
    print_summary(console, manifest, directory)


def draw_clips(directory: str, path: str) -> None:
    """Draw strips of a few training clips, from short to long: a wrong map of joints is seen at a glance."""
    clips = read_clips(directory, "train")
    places = np.linspace(0, clips.num_rows - 1, min(CLIPS_DRAWN, clips.num_rows)).astype(int)
    figure = Figure(figsize=(12, 2 * len(places)), layout="constrained")
    strips = figure.subplots(len(places), squeeze=False)[:, 0]
    for axes, row in zip(strips, clips.take(places).to_pylist(), strict=True):
        keypoints = keypoints_of(row["keypoints"], row["num_frames"])
        draw_strip(axes, keypoints, title=f"{row['id']}, {row['num_frames']} frames: {row['text']}")
    figure.savefig(path, dpi=110)


def check(console: Console, config: Config) -> int:
    """Print what the corpus' listing tells; 2 if an ingest would be sure to refuse too much of it, else 0."""
    surveys = survey(open_source(config.corpus), config.corpus)
    print_surveys(console, surveys)
    rows = sum(split.rows for split in surveys.values())
    unusable = sum(split.unusable for split in surveys.values())
    if unusable <= config.corpus.max_bad_share * rows:
        return 0
    console.print(
        f"error: {unusable} of {rows} clips cannot be used, more than corpus.max_bad_share="
        f"{config.corpus.max_bad_share:g} allows; repair them, or raise corpus.max_bad_share",
        style="bold red",
        soft_wrap=True,
    )
    return 2


def print_surveys(console: Console, surveys: dict[str, SplitSurvey]) -> None:
    table = Table("split", "rows", "clips found", "clips missing", "empty sentences", "repeated ids")
    for split, found in surveys.items():
        counts = (found.rows, found.rows - len(found.missing), *map(len, (found.missing, found.empty, found.repeated)))
        table.add_row(split, *map(str, counts))
    console.print(table)
    for split, found in surveys.items():
        for what, names in (("missing", found.missing), ("empty sentence", found.empty), ("repeated", found.repeated)):
            if names:
                more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
                shown = ", ".join(map(repr, names[:NAMES_SHOWN]))
                console.print(f"{split}, {what}: {shown}{more}", markup=False, soft_wrap=True)


def print_summary(console: Console, manifest: Manifest, directory: str) -> None:
    quarantined = read_quarantine(directory)
    table = Table("split", "clips", "shortest", "median", "longest frames", "files missing", "otherwise quarantined")
    for split, summary in manifest.splits.items():
        frames = (str(summary.shortest), f"{summary.median:g}", str(summary.longest))
        missing = sum(record.split == split and record.reason.endswith(" is missing") for record in quarantined)
        table.add_row(split, str(summary.clips), *frames, str(missing), str(summary.quarantined - missing))
    console.print(table)
    for reason in commonest_reasons(quarantined):
        console.print(f"quarantined: {escape(reason)}", soft_wrap=True)
    console.print(f"content {manifest.content_hash[:16]} in {escape(directory)}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
