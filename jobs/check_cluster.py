"""Check a cluster.yaml offline, and that a run with `resources: cluster` can be placed on what it may become.

python jobs/check_cluster.py cluster.yaml
python jobs/check_cluster.py cluster.yaml --set resources.workers=4
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
    parser.add_argument("cluster", metavar="FILE", help="for the Ray cluster launcher, on AWS")
    add_options(parser, "--config", "--set")
    return run_job(parser, check, arguments)


def check(options: argparse.Namespace, console: Console) -> None:
    from signdpo.cluster.autoscaling import of_cluster_file  # bring torch and Ray, which --help does not need
    from signdpo.cluster.cluster_file import check_cluster_file
    from signdpo.cluster.placement import check_placement
    from signdpo.pipeline.preflight import demands_of
    from signdpo.pipeline.stages import stages_of

    inventory = of_cluster_file(check_cluster_file(options.cluster))
    console.print(f"{options.cluster}: {inventory.describe()}", highlight=False, markup=False, soft_wrap=True)
    config = load_config(options.config, ["resources=cluster", *options.set])
    planned = demands_of(config, stages_of(config))
    check_placement(planned, inventory)
    for demand in planned:
        console.print(f"  {demand.stage}: {demand}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
