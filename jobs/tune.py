"""Search the settings of the alignment; trials share clips, baseline and negatives, the best becomes best.yaml.

python jobs/tune.py --set dpo.epochs=3
python jobs/tune.py --config jobs/configs/csl_daily.yaml --search mine.yaml --set search.trials=32 --run-dir runs/search
ray job submit --working-dir . -- python jobs/tune.py --run-dir s3://bucket/search

--set takes keys of the run and, as search.KEY, those of the search.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from signdpo.config import lay_over, load_config
from signdpo.pipeline.commands import add_options, new_parser, run_job
from signdpo.pipeline.driver import only_driver
from signdpo.tuning.settings import CACHED, load_search

DEFAULT = Path(__file__).parent / "configs" / "tune.yaml"
PREFIX = "search."  # of keys that are the search's and not the run's


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    add_options(parser, "--config", "--set", "--run-dir", "--take-over", run_dir="runs/search")
    parser.add_argument("--search", default=str(DEFAULT), metavar="FILE", help="YAML of the search (configs/tune.yaml)")
    return run_job(parser, tune, arguments)


def tune(options: argparse.Namespace, console: Console) -> None:
    of_search = [override.removeprefix(PREFIX) for override in options.set if override.startswith(PREFIX)]
    search = load_search(options.search, of_search)
    config = load_config(options.config, [override for override in options.set if not override.startswith(PREFIX)])
    from signdpo.pipeline.preflight import refuse_early

    refuse_early(lay_over(config, CACHED))
    with only_driver(options.run_dir, config, console, take_over=options.take_over):
        from signdpo.tuning.search import run_search  # imports for seconds

        run_search(config, search, options.run_dir, console)


if __name__ == "__main__":
    sys.exit(main())
