"""How fast parts of the project are, each measured against what it replaces or against nothing.

python jobs/benchmark.py preprocess
python jobs/benchmark.py ingest --clips 2000 --json ingest.json
python jobs/benchmark.py rows
python jobs/benchmark.py search
python jobs/benchmark.py policy --config jobs/configs/how2sign.yaml --batch-sizes 16 32 64
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from signdpo.benchmarks.measurement import machine
from signdpo.benchmarks.policy import PRECISIONS, STEPS, measure_policy
from signdpo.benchmarks.table import BENCHMARKS
from signdpo.config import Config, ConfigError, load_config
from signdpo.pipeline.commands import add_options, new_parser, run_job
from signdpo.storage.files import write_json

POLICY = "steps of a policy of the configured shape: clips a second and memory, by stage and batch size"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = new_parser(__doc__)
    benchmarks = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, benchmark in BENCHMARKS.items():
        sized = benchmarks.add_parser(name, help=benchmark.description, description=benchmark.description)
        sized.add_argument("--clips", type=int, default=benchmark.clips, help=f"how many (default {benchmark.clips})")
        sized.add_argument("--frames", type=int, default=200, help="of each clip (default 200)")
        add_options(sized, "--json")
    policy = benchmarks.add_parser("policy", help=POLICY, description=POLICY)
    add_options(policy, "--config", "--set", "--json")
    policy.add_argument("--stages", nargs="+", default=list(STEPS), choices=list(STEPS))
    policy.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    policy.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 32])
    policy.add_argument("--batches", type=int, default=10, help="to time, after two to warm up (default 10)")
    return run_job(parser, measure, arguments)


def read_config(options: argparse.Namespace) -> Config:
    """The configuration. No clip is read, so a corpus on disk need not say where it is."""
    try:
        return load_config(options.config, ["corpus.root=.", *options.set])
    except ConfigError:  # the synthetic corpus has no place; whatever else is wrong is so again
        return load_config(options.config, options.set)


def measure(options: argparse.Namespace, console: Console) -> None:
    if options.name == "policy":
        config = read_config(options)
        asked = {"stages": options.stages, "precisions": options.precisions, "sizes": options.batch_sizes}
        figures = measure_policy(config, **asked, batches=options.batches, announce=console.print)
    else:
        figures = BENCHMARKS[options.name].run(options.clips, options.frames)
    figures |= machine()
    for name, value in figures.items():
        print(f"{name:32} {value:.6g}" if isinstance(value, float) else f"{name:32} {value}")
    if options.json:
        write_json(options.json, figures)


if __name__ == "__main__":
    sys.exit(main())
