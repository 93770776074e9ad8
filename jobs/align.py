"""Align a sign language translator: corpus, MLE baseline, negatives, multi-level DPO, evaluation, report.

python jobs/align.py
python jobs/align.py --set corpus.kind=uni_sign --set corpus.root=/data/uni_sign
ray job submit --working-dir . -- python jobs/align.py --run-dir s3://bucket/run
"""

from __future__ import annotations

import argparse
import sys

from signdpo.config import ConfigError, load_config
from signdpo.console import open_console
from signdpo.corpora.ingest import TooManyBadClipsError
from signdpo.pipeline.explaining import explain
from signdpo.pipeline.perturbing import NoFailuresError
from signdpo.pipeline.run import run
from signdpo.skeleton.clip import BadClipError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=None, metavar="FILE", help="YAML, for example jobs/configs/default.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeatable")
    parser.add_argument("--run-dir", default="runs/default", metavar="DIR", help="local path or URI (runs/default)")
    arguments = parser.parse_args()
    console = open_console()
    try:
        run(load_config(arguments.config, arguments.set), arguments.run_dir, console)
    except (ConfigError, TooManyBadClipsError, BadClipError, NoFailuresError, FileNotFoundError) as error:
        console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        return 2
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        console.print(f"error: {known}", style="bold red", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
