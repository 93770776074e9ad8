"""What lies in the place of a clip or of labels is named as what it is, in every format, with the remedy."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import socket
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.specimens import SPECIMENS, uni_sign_clip
from support.watching import ingested

from signdpo.foreign.files import open_file, parse_json, read_file, refuse_instead_of_data
from signdpo.skeleton.clip import BadClipError

pytest.importorskip("pose_format", reason="the group poses is not installed")

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
INSTEAD = {
    "lfs": (POINTER, "a Git LFS pointer, not the file: run git lfs pull"),
    "annex": (b"../.git/annex/objects/x1/2Z/SHA256E-s1--1.pkl/SHA256E-s1--1.pkl", "run git annex get"),
    "annex, unlocked": (b"/annex/objects/SHA256E-s1--1.pkl\n", "run git annex get"),
    "html": (b"<!DOCTYPE html>\n<html><title>Google Drive - Quota exceeded", "an HTML page, not the file"),
    "html, bare": (b"\xef\xbb\xbf\r\n  <HTML lang=en><body>Sign in</body>", "an HTML page, not the file"),
    "s3": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an XML message of a server"),
    "empty": (b"", "an empty file"),
    "blank": (b"\r\n\n  ", "an empty file"),
    "zeros": (bytes(5000), "a file of zeros, which an interrupted download leaves"),
}
KINDS = ("uni_sign, protocol 4", "uni_sign, gzip", "csl_news", "pose 0", "pose 0.1", "pose 0.2", "openpose", "npz")


@pytest.mark.parametrize("instead", INSTEAD)
@pytest.mark.parametrize("name", KINDS)
def test_what_lies_in_the_place_of_a_clip_is_named(tmp_path: Path, name: str, instead: str) -> None:
    content, reason = INSTEAD[instead]
    outcome = ingested(SPECIMENS[name].write(tmp_path, clip=content), tmp_path)
    assert reason in outcome.quarantined[0].reason


@pytest.mark.parametrize("instead", INSTEAD)
@pytest.mark.parametrize("name", KINDS)
def test_what_lies_in_the_place_of_labels_is_named_with_its_file(tmp_path: Path, name: str, instead: str) -> None:
    content, reason = INSTEAD[instead]
    specimen = SPECIMENS[name]
    with pytest.raises(BadClipError, match=reason) as raised:
        specimen.write(tmp_path, labels=content).entries("train")
    assert f"{tmp_path}/{specimen.labels[0]}" in str(raised.value)


@pytest.mark.parametrize("name", [*KINDS, "npz, compressed", "uni_sign, protocol 2"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_clip_that_is_cut_off_is_called_so(tmp_path: Path, name: str, share: float) -> None:
    content = SPECIMENS[name].clip[1]
    outcome = ingested(SPECIMENS[name].write(tmp_path, clip=content[: int(share * len(content))]), tmp_path)
    assert "cut off" in outcome.quarantined[0].reason


def test_a_large_pointer_is_no_pointer() -> None:
    """Only a file's beginning tells: data that speak of pages and pointers are data."""
    for content in (b'{"text": "<html>"}', b"id,text\na," + POINTER, b"\0" * 63 + b"x", pickle.dumps(POINTER)):
        refuse_instead_of_data(content)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("|", "/"), content)
    return buffer.getvalue()


CLIP = uni_sign_clip(4)


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(CLIP),
        zipped(a=CLIP),
        zipped(**{"folder|": b"", "folder|a.pkl": CLIP, "__MACOSX|._a.pkl": b"x", ".DS_Store": b"x"}),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz", ".zip"])
def test_gzip_and_zip_are_read_as_the_pickles_they_hold(tmp_path: Path, packed: bytes, ending: str) -> None:
    specimen = SPECIMENS["uni_sign, protocol 4"]
    plain = specimen.write(tmp_path / "plain", clip=CLIP)
    source = replace(specimen, clip=(f"pose_format/a.pkl{ending}", packed)).write(tmp_path / "packed")
    expected = plain.read(plain.entries("train")[0]).keypoints
    np.testing.assert_array_equal(source.read(source.entries("train")[0]).keypoints, expected)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (zipped(a=CLIP, b=CLIP), "the zip archive holds 2 files, expected one"),
        (zipped(), "forbidden pickle opcode|the zip archive holds 0 files"),
        (zipped(a=CLIP)[:-30], "the archive is cut off"),
        (gzip.compress(CLIP)[:-9], "the gzip file is cut off"),
        (zipped(a=b"x" * 1024), "the pickle is larger than 0 MiB"),
        (gzip.compress(POINTER), "a Git LFS pointer, not the file"),
        (zipped(a=b""), "an empty file"),
    ],
)
def test_a_bad_archive_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes, reason: str
) -> None:
    source = SPECIMENS["uni_sign, protocol 4"].write(tmp_path, clip=packed)
    if "larger" in reason:
        monkeypatch.setattr("signdpo.corpora.pose_pickle.MAX_CLIP_BYTES", 1000)
    with pytest.raises(BadClipError, match=reason):
        source.read(source.entries("train")[0])


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 11)
    assert read_file(str(tmp_path / "a"), 11) == b"x" * 11
    with pytest.raises(BadClipError, match="larger than"):
        read_file(str(tmp_path / "a"), 10)


@pytest.mark.parametrize("content", [b'{"a": [1, 2', b'{"a": "b', b"[", b'{"a": tru', b'{"a":1,'])
def test_json_that_is_cut_off_is_called_so(content: bytes) -> None:
    with pytest.raises(BadClipError, match="cut off"):
        parse_json(content)


@pytest.mark.parametrize("content", [b"[1,, 2]", b"{'a': 1, 'b': 2}", b"id,text\na,b", b"[1] x y"])
def test_json_that_is_wrong_is_not_called_cut_off(content: bytes) -> None:
    with pytest.raises(BadClipError, match="this is not JSON"):
        parse_json(content)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(f"{path}.pipe")
    path.symlink_to(f"{path.name}.pipe")


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        previous = Path.cwd()
        os.chdir(path.parent)  # a socket's path has room for 107 bytes
        made.bind(path.name)
        os.chdir(previous)


def a_folder(path: Path) -> None:
    path.mkdir()


SPECIAL = {
    a_fifo: "a FIFO",
    a_link_to_a_fifo: "a FIFO",
    a_device: "a device",
    a_socket: "a socket",
    a_folder: "a folder",
}


@pytest.mark.parametrize("make", SPECIAL)
@pytest.mark.parametrize("name", KINDS)
def test_only_regular_files_are_read(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    specimen = SPECIMENS[name]
    source = specimen.write(tmp_path)
    entry = source.entries("train")[0]
    attempts = {specimen.clip[0]: partial(source.read, entry), specimen.labels[0]: partial(source.entries, "train")}
    for file, attempt in attempts.items():
        (tmp_path / file).unlink()
        make(tmp_path / file)
        with pytest.raises(BadClipError, match=f"this is {SPECIAL[make]}, expected a (regular )?file"):
            attempt()


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    assert read_file(str(tmp_path / "link"), 9) == b"data"
    with open_file(f"file://{tmp_path}/link") as file:
        assert file.read() == b"data"
