"""What a search directory was begun with, so that another search does not go on in it."""

from __future__ import annotations

from typing import Any

import yaml

from signdpo.config import Config, ConfigError, flat
from signdpo.run_context import RunContext
from signdpo.storage.files import exists, read_text
from signdpo.tuning.settings import SearchConfig

RECORD = "search.yaml"
# Keys that may change between two starts: they say where and how fast trials run, not what comes out.
FREE = ("search.concurrent", "base.resources.", "base.evaluation.batch_size", "base.evaluation.bootstrap_samples")


def record_of(config: Config, search: SearchConfig) -> str:
    """The text of `search.yaml`: the search, and the base configuration of its trials."""
    tree = {"search": search.model_dump(mode="json", exclude_none=True), "base": config.model_dump(mode="json")}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def check_record(context: RunContext, search: SearchConfig) -> None:
    """Raise `ConfigError` if another search was begun in this directory, with what differs."""
    place = context.path(RECORD)
    if not exists(place):
        return
    there, here = (_compared(text) for text in (read_text(place), record_of(context.config, search)))
    differing = [
        f"{name.removeprefix('base.')} (there {there.get(name)!r}, here {here.get(name)!r})"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]
    if differing:
        raise ConfigError(
            f"--run-dir {context.directory} holds another search: {'; '.join(differing)}; set them back to go on with "
            "it, or name another directory"
        )


def _compared(text: str) -> dict[str, Any]:
    leaves = flat(yaml.safe_load(text))
    return {name: value for name, value in leaves.items() if not name.startswith(FREE)}
