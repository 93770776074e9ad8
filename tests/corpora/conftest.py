"""Fixtures of the tests that read damaged and hostile files."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.specimens import SPECIMENS
from support.watching import LIMIT, LIMITS, LINES, ingested


@pytest.fixture(scope="module")
def small_limits() -> Iterator[None]:
    """Limits that a test can go beyond."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in LIMITS.items():
            for name in names:
                patch.setattr(f"{module}.{name}", LIMIT if name.endswith("BYTES") else LINES)
        for encoding in ("utf-8-sig", *(f"utf-{bits}-{order}" for bits in (16, 32) for order in ("le", "be"))):
            codecs.lookup(encoding)  # modules of their own, which JSON asks for
        yield


@pytest.fixture(scope="module")
def corpus_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a specimen, which was read whole once: what is imported on the way is imported now."""
    folders: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("corpus")
            outcome = ingested(SPECIMENS[name].write(folders[name]), folders[name])
            assert outcome.frames, outcome.quarantined
        return folders[name]

    return folder_of
