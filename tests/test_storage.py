"""Files of a run: written whole or not at all."""

from pathlib import Path

import pytest

from signdpo.storage import read_bytes, read_json, read_text, write_json, write_text


def test_writing_replaces_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    write_text(str(path), "first, and longer than what follows")
    write_text(str(path), "second")
    assert read_text(str(path)) == "second"
    assert list(path.parent.iterdir()) == [path]


def test_json_holds_any_text_that_python_does(tmp_path: Path) -> None:
    write_json(f"{tmp_path}/odd.json", {"reason": "half a character: \ud800, 我"})
    assert read_json(f"{tmp_path}/odd.json") == {"reason": "half a character: \ud800, 我"}


@pytest.mark.parametrize("scheme", ["", "file://", "simplecache::file://"])
def test_no_more_bytes_are_read_than_asked_for(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert [read_bytes(f"{scheme}{tmp_path}/file", limit) for limit in (2, 3, 4)] == [b"ab", b"abc", b"abc"]
