"""Ids become names of files, and different ids different ones."""

from __future__ import annotations

import pytest

from signdpo.storage.names import file_stem

IDS = ["a/b", "a_b", "a b", "手", "手" * 200, "手" * 201, "x" * 5000, "x" * 5001, "..", "\ud800", "a\0b", ""]


def test_names_do_not_collide_and_fit_a_file_system() -> None:
    names = [file_stem(id_) for id_ in IDS]
    assert len(set(names)) == len(IDS)
    assert all(len(f"{name}.png".encode()) < 255 and not {"/", "\0"} & set(name) for name in names)


@pytest.mark.parametrize("id_", ["dev-00003", "S000000_P0000_T00", "手", "a.b"])
def test_an_ordinary_id_keeps_its_name(id_: str) -> None:
    assert file_stem(id_) == id_
