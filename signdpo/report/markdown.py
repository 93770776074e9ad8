"""Markdown that SignDPO writes: tables, and cards as the Hugging Face Hub reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml


def to_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row has the headings."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]) + "\n"


def to_card(header: Mapping[str, Any], paragraphs: Sequence[str], config: str) -> str:
    """A card: what the Hub sorts it by, its text, and the configuration as YAML, folded away."""
    folded = f"<details><summary>Configuration</summary>\n\n```yaml\n{config}```\n\n</details>"
    begin = f"---\n{yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True)}---"
    return "\n\n".join([begin, *(each.rstrip("\n") for each in paragraphs), folded]) + "\n"
