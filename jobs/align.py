"""Align a sign language translator: corpus, MLE baseline, negatives, multi-level DPO, evaluation, report.

python jobs/align.py
python jobs/align.py --set corpus.kind=uni_sign --set corpus.root=/data/uni_sign
ray job submit --working-dir . -- python jobs/align.py --run-dir s3://bucket/run
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from signdpo.config import load_config
from signdpo.pipeline.commands import add_options, new_parser, run_job


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    add_options(parser, "--config", "--set", "--run-dir", run_dir="runs/default")
    return run_job(parser, align, arguments)


def align(options: argparse.Namespace, console: Console) -> None:
    config = load_config(options.config, options.set)
    from signdpo.pipeline.preflight import refuse_early

    refuse_early(config)
    from signdpo.pipeline.run import run  # imports for seconds

    run(config, options.run_dir, console)


if __name__ == "__main__":
    sys.exit(main())
