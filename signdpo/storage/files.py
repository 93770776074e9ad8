"""Files of a run on any storage fsspec knows: local folders and URIs alike."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import fsspec

from signdpo.storage.retries import retried

CARD: Final = "README.md"  # of a model or a data set, as the Hugging Face Hub calls it: for people, and decides nothing


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


def absolute(uri: str) -> str:
    """A local path made absolute, so that workers in other folders mean the same file; a URI as it is."""
    return str(Path(uri.removeprefix("file://")).resolve()) if is_local(uri) else uri.rstrip("/")


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *parts])


def open_storage(uri: str) -> tuple[Any, str]:
    """The filesystem of a URI, what it remembers of listings forgotten since others write too, and the path on it."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.invalidate_cache()
    return filesystem, path


@retried
def exists(uri: str) -> bool:
    filesystem, path = open_storage(uri)
    return bool(filesystem.exists(path))


@dataclass(frozen=True)
class FileInfo:
    """What a listing says of a file: `size` in bytes, and a `stamp` that changes when the file does."""

    size: int
    stamp: str


@retried
def list_folder(uri: str) -> dict[str, FileInfo]:
    """Files and folders in a folder by name, those written a moment ago included; empty if there is no folder."""
    filesystem, path = open_storage(uri)
    if not filesystem.isdir(path):
        return {}
    return {str(item["name"]).rstrip("/").rsplit("/", 1)[-1]: _info(item) for item in filesystem.ls(path, detail=True)}


@retried
def list_tree(uri: str) -> dict[str, FileInfo]:
    """All files under a folder by their names relative to it; empty if there is no folder."""
    filesystem, path = open_storage(uri)
    return {name[len(path) + 1 :]: _info(item) for name, item in filesystem.find(path, detail=True).items()}


def list_files(root: str, names: Iterable[str]) -> dict[str, FileInfo]:
    """The files (or folders) among `names` that exist, with one listing for each folder they lie in.

    Names are relative to `root`; those that lead out of it are not looked for.
    """
    wanted = {name for name in names if not name.startswith("/") and ".." not in name.split("/")}
    found: dict[str, FileInfo] = {}
    for folder in sorted({name.rpartition("/")[0] for name in wanted}):
        place = join(root, folder) if folder else root
        for base, info in list_folder(place).items():
            name = f"{folder}/{base}" if folder else base
            if name in wanted:
                found[name] = info
    return found


def _info(item: dict[str, Any]) -> FileInfo:
    stamp = next((item[key] for key in ("ETag", "mtime", "LastModified", "created") if key in item), "")
    return FileInfo(int(item["size"] or 0), str(stamp))


@retried
def read_text(uri: str) -> str:
    filesystem, path = open_storage(uri)
    return str(filesystem.cat_file(path).decode("utf-8"))


class SpecialFileError(OSError):
    """A pipe, a device or a socket under the name of a file: reading it may wait, or go on, for ever."""


def open_local(uri: str) -> BinaryIO:
    """A local file, opened for reading.

    Raises:
        FileNotFoundError: if there is none, or one of its kin.
        SpecialFileError: if it is no regular file, nor a link to one; its text says what it is.
    """
    path = uri.removeprefix("file://")
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return open(path, "rb")
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "a folder", path)
    kinds = {"a FIFO": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    raise SpecialFileError(next((kind for kind, is_one in kinds.items() if is_one(mode)), "a device"))


def read_bytes(uri: str, limit: int) -> bytes:
    """At most `limit` bytes of a regular file. Raises as `open_local` does."""
    if not is_local(uri):
        return _read_remote(uri, limit)
    # fsspec takes longer to open a local file than a clip takes to be read, and `read` first allocates what it is asked
    # for.
    with open_local(uri) as local:
        return local.read(min(limit, os.fstat(local.fileno()).st_size + 1))


@retried
def _read_remote(uri: str, limit: int) -> bytes:
    with fsspec.open(uri, "rb") as remote:
        return bytes(remote.read(limit))


@retried
def write_bytes(uri: str, content: bytes) -> None:
    """Write a whole file or nothing: on a local disk through a rename, on object stores a put is already atomic."""
    filesystem, path = open_storage(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    if not is_local(uri):
        filesystem.pipe_file(path, content)
        return
    # Two may write at once: Ray may run a task again while its first run is still dying.
    partial = Path(f"{path}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(uri: str, text: str) -> None:
    """Write a whole file of UTF-8, or nothing."""
    write_bytes(uri, text.encode())


def read_json(uri: str) -> Any:
    return json.loads(read_text(uri))


def write_json(uri: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    # A lone surrogate in a stranger's text is no UTF-8; JSON's own escape for it is.
    write_text(uri, text.encode(errors="backslashreplace").decode())


def put_folder(folder: str | Path, uri: str) -> None:
    """Copy a local folder to `uri`, replacing what is there."""
    remove_folder(uri)
    _make_folder(uri)
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file():
            put_file(join(uri, file.relative_to(folder).as_posix()), file)


@retried
def remove_folder(uri: str) -> None:
    """Delete a folder and all in it, if it is there."""
    filesystem, path = open_storage(uri)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


@retried
def remove_file(uri: str) -> None:
    """Delete a file, if it is there."""
    filesystem, path = open_storage(uri)
    if filesystem.exists(path):
        filesystem.rm_file(path)


def hash_folder(uri: str) -> str:
    """A short hash over the names and bytes of all files in a folder but its card."""
    folder, digest = Path(fetch_folder(uri)), hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CARD):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


@retried
def _make_folder(uri: str) -> None:
    filesystem, path = open_storage(uri)
    filesystem.makedirs(path, exist_ok=True)


@retried
def put_file(uri: str, file: str | Path) -> None:
    """Copy a local file to `uri`, replacing what is there."""
    filesystem, path = open_storage(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.put_file(str(file), path)


def fetch_folder(uri: str) -> str:
    """A local folder with the content of `uri`: the folder itself where it is local, else a download.

    Downloads are kept under what a listing tells of the content, so that another under the same URI is fetched anew.
    """
    if is_local(uri):
        return absolute(uri)
    content = sorted((name, info.size, info.stamp) for name, info in list_tree(uri).items())
    if not content:
        raise FileNotFoundError(f"{uri}: there is no such folder, or nothing in it")
    key = hashlib.sha256(json.dumps([uri, content]).encode()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / "signdpo" / key
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(uri, target)
    return str(target)


@retried
def _download(uri: str, target: Path) -> None:
    filesystem, path = open_storage(uri)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=target.parent) as partial:
        filesystem.get(path, f"{partial}/content", recursive=True)
        try:
            Path(f"{partial}/content").rename(target)
        except OSError:
            if not target.exists():  # else another process of this node was faster
                raise
