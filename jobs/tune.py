"""Search the settings of the alignment; trials share clips, baseline and negatives, the best becomes best.yaml.

python jobs/tune.py --set dpo.epochs=3
python jobs/tune.py --config jobs/configs/csl_daily.yaml --search mine.yaml --set search.trials=32 --run-dir runs/search
ray job submit --working-dir . -- python jobs/tune.py --run-dir s3://bucket/search
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signdpo.cluster.plan import refuse_early
from signdpo.config import lay_over, load_config
from signdpo.console import open_console
from signdpo.pipeline.exit_codes import exit_code
from signdpo.tuning.settings import SHARED, load_search

DEFAULT = Path(__file__).parent / "configs" / "tune.yaml"
PREFIX = "search."  # of keys that are the search's and not the run's


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=None, metavar="FILE", help="YAML of the run that trials vary")
    parser.add_argument("--search", default=str(DEFAULT), metavar="FILE", help="YAML of the search (configs/tune.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the run, or search.KEY; repeatable"
    )
    parser.add_argument("--run-dir", default="runs/search", metavar="DIR", help="local path or URI (runs/search)")
    arguments = parser.parse_args()
    console = open_console()
    of_search = [override for override in arguments.set if override.startswith(PREFIX)]
    of_run = [override for override in arguments.set if not override.startswith(PREFIX)]

    def work() -> None:
        search = load_search(arguments.search, [override.removeprefix(PREFIX) for override in of_search])
        config = load_config(arguments.config, of_run)
        refuse_early(lay_over(config, SHARED))
        from signdpo.tuning.search import run_search  # imports for seconds

        run_search(config, search, arguments.run_dir, console)

    return exit_code(work, console)


if __name__ == "__main__":
    sys.exit(main())
