"""Which files are clips, of which kind, and what they are called."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.specimens import npz_clip, openpose_frame, pose_clip, uni_sign_clip

from signdpo.config import ConfigError, CorpusConfig
from signdpo.inference.clip_files import ClipFile, find_clips, with_ids
from signdpo.inference.reading import read_rows

NPZ = npz_clip(np.savez, keypoints=np.random.default_rng(1).random((3, 69, 3)).astype("f4"))


def clips(*inputs: Path, kind: str | None = None, known: dict[str, str] | None = None) -> list[ClipFile]:
    places, _ = find_clips([str(given) for given in inputs], kind)
    return with_ids(places, known or {})


def kinds(*inputs: Path) -> dict[str, str]:
    return {clip.id: clip.kind for clip in clips(*inputs)}


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.pkl", content)
    return file.getvalue()


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_every_kind_is_found_in_a_folder_and_reads_as_its_reader_reads_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.pose": pose_clip(0.2),
            "b.POSE": pose_clip(0),
            "deep/er/c.pkl": uni_sign_clip(4),
            "d.pkl": gzip.compress(uni_sign_clip(4)),
            "g.pkl.gz": gzip.compress(uni_sign_clip(4)),
            "h.pkl.zip": zipped(uni_sign_clip(4)),
            "e.npz": NPZ,
            "json/f/x_000_keypoints.json": openpose_frame(),
            "json/f/x_001_keypoints.json": openpose_frame(2),
            "no_ending": pose_clip(0.1),
            "labels.train": gzip.compress(pickle.dumps({})),
            "notes.txt": b"not a clip",
            "._a.pose": b"\0\5\26\7",
        },
    )
    found = {"a": "pose", "b": "pose", "d": "uni_sign", "deep/er/c": "uni_sign", "e": "npz", "json/f": "openpose"}
    assert kinds(tmp_path) == found | {"g": "uni_sign", "h": "uni_sign", "no_ending": "pose"}
    assert find_clips([str(tmp_path)])[1] == ["labels.train", "notes.txt"]
    rows = read_rows(clips(tmp_path), CorpusConfig(max_frames=2))
    assert {row["id"]: row["reason"] for row in rows} == dict.fromkeys(kinds(tmp_path), "")
    assert {row["num_frames"] for row in rows} == {2}


def test_a_named_file_without_a_known_ending_is_told_by_its_beginning(tmp_path: Path) -> None:
    write(tmp_path, {"x.bin": NPZ, "y": uni_sign_clip(2), "z.dat": pose_clip(0.1), "t.txt": b"text"})
    assert kinds(*(tmp_path / name for name in ("x.bin", "y", "z.dat", "t.txt"))) == {
        "x.bin": "npz",
        "y": "uni_sign",
        "z.dat": "pose",
        "t.txt": "",
    }
    assert kinds(tmp_path / "json") == {"json": ""}
    reasons = [row["reason"] for row in read_rows(clips(tmp_path / "t.txt", tmp_path / "nowhere"), CorpusConfig())]
    assert reasons[0].startswith("not a clip of a known kind: expected .pose files")
    assert reasons[1] == "it is missing"


def test_a_kind_that_is_named_counts_whatever_the_ending(tmp_path: Path) -> None:
    write(tmp_path, {"x.bin": uni_sign_clip(4), "a.pose": pose_clip(0.2), "b.npz": NPZ})
    assert [clip.kind for clip in clips(tmp_path / "x.bin", kind="csl_news")] == ["csl_news"]
    assert read_rows(clips(tmp_path / "x.bin", kind="csl_news"), CorpusConfig())[0]["reason"] == ""
    assert [clip.id for clip in clips(tmp_path, kind="npz")] == ["b"]
    with pytest.raises(ConfigError, match="no clip of kind uni_sign among its files"):
        clips(tmp_path, kind="uni_sign")
    with pytest.raises(ConfigError, match=r"corpus\.kind=uni_sing is not known: did you mean uni_sign\?"):
        clips(tmp_path, kind="uni_sing")
    with pytest.raises(ConfigError, match="--kind synthetic"):
        clips(tmp_path, kind="synthetic")


def test_a_reader_of_ones_own_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_reader.py").write_text(
        "from signdpo.corpora.npz import NpzSource\n\nclass Own(NpzSource):\n    kind, ending = 'own/1', '.arrays'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "clips", {"a.arrays": NPZ, "b.npz": NPZ})
    found = clips(tmp_path / "clips", kind="own_reader:Own")
    assert [(clip.id, clip.kind) for clip in found] == [("a", "own_reader:Own")]
    assert read_rows(found, CorpusConfig())[0]["num_frames"] == 3


def test_ids_never_collide(tmp_path: Path) -> None:
    write(tmp_path, {"one/a.pose": b"", "two/a.pose": b"", "two/a.npz": b"", "two/b.pose": b""})
    named = clips(tmp_path / "one" / "a.pose", tmp_path / "two" / "a.pose", tmp_path / "two" / "b.pose")
    assert [clip.id for clip in named] == ["one/a.pose", "two/a.pose", "b"]
    assert [clip.id for clip in clips(tmp_path / "two")] == ["a.npz", "a.pose", "b"]
    assert [clip.id for clip in clips(tmp_path)] == ["one/a", "two/a.npz", "two/a.pose", "two/b"]
    assert [clip.id for clip in clips(tmp_path / "one", tmp_path / "one" / "a.pose")] == ["a"]
    # An id that another file has in the output is not given again, the same file keeps it.
    known = {"a": str(tmp_path / "one" / "a.pose")}
    assert [clip.id for clip in clips(tmp_path / "one", known=known)] == ["a"]
    assert [clip.id for clip in clips(tmp_path / "two" / "a.npz", known=known)] == ["a.npz"]


def test_names_of_all_sorts_are_ids_that_can_be_written(tmp_path: Path) -> None:
    names = ["with space.npz", "手语.npz", "tab\there.npz", "line\nbreak.npz", "esc\x1b[31m.npz", "back\\slash.npz"]
    write(tmp_path, dict.fromkeys(names, NPZ))
    (tmp_path / os.fsdecode(b"latin-\xe9.npz")).write_bytes(NPZ)
    found = clips(tmp_path)
    assert {"with space", "手语", "tab\\there", "line\\nbreak", "esc\\x1b[31m", "latin-\\udce9"} <= {
        clip.id for clip in found
    }
    assert len({clip.id for clip in found}) == 7
    assert [row["reason"] for row in read_rows(found, CorpusConfig())] == [""] * 7
    assert all(clip.place.isprintable() for clip in found)


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    write(tmp_path, {"data/a.npz": NPZ})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.npz").symlink_to(tmp_path / "data" / "a.npz")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "data")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "broken.npz").symlink_to(tmp_path / "nowhere")
    rows = read_rows(clips(tmp_path / "in"), CorpusConfig())
    assert {row["id"]: row["num_frames"] for row in rows} == {"broken": 0, "folder/a": 3, "link": 3}


def test_a_pipe_or_a_device_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pose")
    os.mkfifo(tmp_path / "pipe")
    found = clips(tmp_path / "pipe.pose", tmp_path / "pipe", Path("/dev/zero"))
    pipe, *others = (row["reason"] for row in read_rows(found, CorpusConfig()))
    assert pipe == "this is a FIFO, expected a regular file"
    assert all(other.startswith("not a clip of a known kind") for other in others)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.npz", NPZ[:100], "no .npz file: the archive is cut off"),
        ("a.npz", npz_clip(np.savez, keypoints=np.zeros((0, 69, 3), "f4")), "the clip has 0 frames"),
        ("a.npz", npz_clip(np.savez, keypoints=np.zeros((4, 69, 3), "f4")), "the body is not visible"),
        ("a.npz", npz_clip(np.savez, keypoints=np.full((4, 69, 3), np.nan, "f4")), "the body is not visible"),
        ("a.pose", pose_clip(0.2).replace(b"POSE_LANDMARKS", b"DOGS_LANDMARKS"), "unknown components DOGS_LANDMARKS"),
        ("a.pose", b"", "this is an empty file"),
        ("a.pkl", pickle.dumps(Path("x")), "pathlib"),
        ("a.pkl", pickle.dumps({"keypoints": [], "scores": []}), "the clip has 0 frames"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (row,) = read_rows(clips(write(tmp_path, {name: content})), CorpusConfig())
    assert reason in row["reason"]
    assert row["num_frames"] == 0


def test_a_folder_without_clips_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the folder is empty; expected"):
        clips(tmp_path)
    write(tmp_path, {f"{name}.mp4": b"" for name in "abcd"})
    with pytest.raises(ConfigError, match=r"no clip among its files \(a.mp4, b.mp4, c.mp4 and 1 more\)"):
        clips(tmp_path)
