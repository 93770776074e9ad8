"""How a job ends: its exit code, and one message for a known error.

A mistyped key or a plan without room is told before torch and the pipeline are imported, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from signdpo.config import ConfigError


def exit_code(work: Callable[[], object], console: Console) -> int:
    """Do the work of a job and tell a known error in one message; other errors are raised.

    Returns:
        0 if it is done, 2 if a setting or a file must be changed first, 1 if something failed that may succeed again.
    """
    try:
        work()
    except ConfigError as error:  # told without the imports below
        return _tell(str(error), console, 2)
    except Exception as error:
        from signdpo.pipeline.errors import TO_BE_CHANGED, explain

        if isinstance(error, TO_BE_CHANGED):
            return _tell(str(error), console, 2)
        known = explain(error)
        if known is None:
            raise
        return _tell(known, console, 1)
    return 0


def _tell(message: str, console: Console, code: int) -> int:
    console.print(f"error: {message}", style="bold red", markup=False, soft_wrap=True)
    return code
