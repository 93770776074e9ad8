"""Check a cluster.yaml offline, and that a run with `resources: cluster` can be placed on what it may become.

python jobs/check_cluster.py cluster.yaml
python jobs/check_cluster.py cluster.yaml --set resources.workers=4
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from signdpo.config import ConfigError, load_config
from signdpo.console import open_console


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cluster", metavar="FILE", help="for the Ray cluster launcher, on AWS")
    parser.add_argument("--config", default=None, metavar="FILE", help="of the run; default: jobs/configs/default.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeatable")
    arguments = parser.parse_args()
    console = open_console()
    try:
        check(arguments, console)
    except ConfigError as error:
        console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        return 2
    return 0


def check(arguments: argparse.Namespace, console: Console) -> None:
    from signdpo.cluster.autoscaling import of_cluster_file  # bring torch and Ray, which --help does not need
    from signdpo.cluster.cluster_file import check_cluster_file
    from signdpo.cluster.placement import check_placement
    from signdpo.cluster.plan import demands

    inventory = of_cluster_file(check_cluster_file(arguments.cluster))
    console.print(f"{arguments.cluster}: {inventory.describe()}", highlight=False, markup=False, soft_wrap=True)
    planned = demands(load_config(arguments.config, ["resources=cluster", *arguments.set]))
    check_placement(planned, inventory)
    for demand in planned:
        console.print(f"  {demand.stage}: {demand}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
