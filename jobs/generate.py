"""The negatives of a run as a data set that others can use: Parquet with a card, nothing aligned.

python jobs/generate.py --run-dir runs/default
python jobs/generate.py --config jobs/configs/all_levels.yaml --run-dir runs/negatives --licence CC-BY-4.0
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
    parser.add_argument("--licence", default="that of the corpus", metavar="NAME", help="of the corpus (for the card)")
    return run_job(parser, generate, arguments)


def generate(options: argparse.Namespace, console: Console) -> None:
    config = load_config(options.config, options.set)
    from signdpo.pipeline.preflight import refuse_early

    refuse_early(config)
    from signdpo.pipeline.data_card import generate_negatives  # imports for seconds

    with only_driver(options.run_dir, config, console, take_over=options.take_over):
        generate_negatives(config, options.run_dir, console, licence=options.licence)


if __name__ == "__main__":
    sys.exit(main())
