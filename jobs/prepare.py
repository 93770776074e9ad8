"""Check a corpus and store it as Parquet, without training anything.

python jobs/prepare.py --out clips --picture clips.png
python jobs/prepare.py --set corpus.kind=uni_sign --set corpus.root=/data/CSL_Daily --set corpus.language=zh --out clips
python jobs/prepare.py --set corpus.kind=uni_sign --set corpus.root=/data/CSL_Daily --check
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from signdpo.config import load_config
from signdpo.pipeline.commands import add_options, new_parser, run_job
from signdpo.pipeline.driver import only_driver


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    add_options(parser, "--config", "--set", "--take-over")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--out", metavar="DIR", help="where the clips go: a local path or a URI")
    action.add_argument("--check", action="store_true", help="only look at labels and file names: no clip is read")
    parser.add_argument("--picture", metavar="FILE", help="with --out, draw a few of the clips, for example clips.png")
    return run_job(parser, prepare, arguments)


def prepare(options: argparse.Namespace, console: Console) -> None:
    config = load_config(options.config, options.set)
    from signdpo.cluster.plan import begin_ray  # these import for seconds
    from signdpo.corpora import ingest, planning, registry, summary, survey
    from signdpo.monitoring.progress import StageProgress
    from signdpo.pipeline.stages.clips import Clips

    source = registry.open_source(config.corpus)
    if options.check:
        listing = planning.list_entries(source, config.corpus.limit)
        surveys = survey.survey(listing.entries)
        summary.print_surveys(console, surveys, listing.why_absent())
        return summary.refuse_unusable(surveys, config.corpus.max_bad_share)
    with only_driver(options.out, config, console, take_over=options.take_over):
        begin_ray(config, Clips().demands(config))
        with StageProgress(console, "clips", total=None, unit="clips") as meter:
            manifest = ingest.ingest(
                source,
                options.out,
                config.corpus,
                progress=lambda done, total: meter.update(done, total=total),
                any_split=True,
            )
        summary.print_summary(console, manifest, options.out)
        if options.picture:
            summary.draw_clips(options.out, options.picture)
            console.print(f"drawn    {options.picture}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
