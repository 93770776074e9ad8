"""What all jobs share: the options of a run, where a person reads, and how a job ends."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console

from signdpo.pipeline.exit_codes import exit_code

LOG_WIDTH: Final = 140  # columns
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "--config": {"metavar": "FILE", "help": "YAML of the run, for example jobs/configs/default.yaml"},
    "--set": {"metavar": "KEY=VALUE", "action": "append", "default": [], "help": "override one key; repeatable"},
    "--run-dir": {"metavar": "DIR", "help": "folder of the run, a local path or URI (default: %(default)s)"},
    "--take-over": {"action": "store_true", "help": "of the directory from a driver that is alive, which then ends"},
    "--json": {"metavar": "FILE", "help": "write the figures there, too"},
}


def new_parser(documentation: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the documentation of the job, as it stands."""
    return argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_options(parser: argparse.ArgumentParser, *names: str, run_dir: str | None = None) -> None:
    """Add options that mean the same in every job.

    Args:
        parser: of a job or of one of its subcommands.
        names: keys of `OPTIONS`.
        run_dir: the default of `--run-dir`.
    """
    for name in names:
        parser.add_argument(name, **OPTIONS[name])
    parser.set_defaults(run_dir=run_dir)


def run_job(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace, Console], object],
    arguments: Sequence[str] | None = None,
    *,
    stderr: bool = False,
) -> int:
    """Parse the arguments, do the work and return the exit code, see `exit_code`.

    What is said goes to stderr where the job's results go to stdout.
    """
    options = parser.parse_args(arguments)
    console = open_console(stderr=stderr)
    return exit_code(lambda: work(options, console), console)


def open_console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; in a log, which has no width, wide enough that the tables of a run are not folded.

    Brackets in a sentence, an id or a path are no markup.
    """
    console = Console(stderr=stderr, markup=False)
    return console if console.is_terminal else Console(width=LOG_WIDTH, stderr=stderr, markup=False)
