"""Where a person reads: a terminal, or the log of a job."""

from __future__ import annotations

from rich.console import Console

LOG_WIDTH = 140  # columns


def open_console() -> Console:
    """As wide as the terminal; in a log, which has no width, wide enough that the tables of a run are not folded."""
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)
