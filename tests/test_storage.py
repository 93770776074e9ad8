"""Files of a run: written whole or not at all."""

from pathlib import Path

from signdpo.storage import read_text, write_text


def test_writing_replaces_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    write_text(str(path), "first, and longer than what follows")
    write_text(str(path), "second")
    assert read_text(str(path)) == "second"
    assert list(path.parent.iterdir()) == [path]
