"""Files of a run: written whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from signdpo.storage.files import (
    CARD,
    fetch_folder,
    hash_folder,
    put_folder,
    read_bytes,
    read_json,
    read_text,
    write_json,
    write_text,
)


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


def test_two_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    texts = [f"{writer}" * 100_000 for writer in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(f"{tmp_path}/file", text), texts * 4))
    assert read_text(f"{tmp_path}/file") in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_changed_is_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "weights").write_text("first")
    put_folder(tmp_path / "policy", "memory://run/policy")
    first = fetch_folder("memory://run/policy")
    assert fetch_folder("memory://run/policy") == first
    (tmp_path / "policy" / "weights").write_text("other")
    put_folder(tmp_path / "policy", "memory://run/policy")
    second = fetch_folder("memory://run/policy")
    assert [Path(folder, "weights").read_text() for folder in (first, second)] == ["first", "other"]


def test_the_card_of_a_model_is_no_part_of_its_hash(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights").write_text("1")
    before = hash_folder(str(tmp_path))
    (tmp_path / CARD).write_text("written later, or by hand")
    assert hash_folder(str(tmp_path)) == before
    (tmp_path / "inner" / CARD).write_text("no card: it lies deeper")
    assert hash_folder(str(tmp_path)) != before
