"""Align a sign language translator: corpus, MLE baseline, negatives, multi-level DPO, evaluation, report.

python jobs/align.py
python jobs/align.py --set corpus.kind=uni_sign --set corpus.root=/data/uni_sign
ray job submit --working-dir . -- python jobs/align.py --run-dir s3://bucket/run
python jobs/align.py --seeds 1 2 3

--seeds trains control and alignment of the same baseline with each seed, --baseline-seeds the baseline, too; one table
has their means, their spread and the differences over all of them.
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
    add_options(parser, "--config", "--set", "--run-dir", "--take-over", run_dir="runs/default")
    several = parser.add_mutually_exclusive_group()
    several.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="of control and alignment (dpo.seed)")
    several.add_argument("--baseline-seeds", type=int, nargs="+", metavar="SEED", help="of the whole run (seed)")
    return run_job(parser, align, arguments)


def align(options: argparse.Namespace, console: Console) -> None:
    config = load_config(options.config, options.set)
    from signdpo.pipeline.preflight import refuse_early

    refuse_early(config)
    with only_driver(options.run_dir, config, console, take_over=options.take_over):
        if options.seeds or options.baseline_seeds:
            from signdpo.replicas import BASELINES, SEEDS, run_replicas  # imports for seconds

            kind = SEEDS if options.seeds else BASELINES
            run_replicas(config, options.run_dir, options.seeds or options.baseline_seeds, console, kind)
        else:
            from signdpo.pipeline.run import run

            run(config, options.run_dir, console)


if __name__ == "__main__":
    sys.exit(main())
