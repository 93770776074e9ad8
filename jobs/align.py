"""Align a sign language translator: corpus, MLE baseline, negatives, multi-level DPO, evaluation, report.

python jobs/align.py
python jobs/align.py --set corpus.kind=uni_sign --set corpus.root=/data/uni_sign
ray job submit --working-dir . -- python jobs/align.py --run-dir s3://bucket/run
"""

from __future__ import annotations

import argparse
import sys

from signdpo.cluster.plan import refuse_early
from signdpo.config import load_config
from signdpo.console import open_console
from signdpo.pipeline.exit_codes import exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=None, metavar="FILE", help="YAML, for example jobs/configs/default.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeatable")
    parser.add_argument("--run-dir", default="runs/default", metavar="DIR", help="local path or URI (runs/default)")
    arguments = parser.parse_args()
    console = open_console()

    def work() -> None:
        config = load_config(arguments.config, arguments.set)
        refuse_early(config)
        from signdpo.pipeline.run import run  # imports for seconds

        run(config, arguments.run_dir, console)

    return exit_code(work, console)


if __name__ == "__main__":
    sys.exit(main())
