"""Files of a run on any storage fsspec knows: local folders and URIs alike."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


def absolute(uri: str) -> str:
    """A local path made absolute, so that workers in other folders mean the same file; a URI as it is."""
    return str(Path(uri.removeprefix("file://")).resolve()) if is_local(uri) else uri.rstrip("/")


def join(uri: str, *parts: str) -> str:
    return "/".join([uri.rstrip("/"), *parts])


def exists(uri: str) -> bool:
    filesystem, path = fsspec.core.url_to_fs(uri)
    return bool(filesystem.exists(path))


@dataclass(frozen=True)
class FileInfo:
    """What a listing says of a file: `size` in bytes, and a `stamp` that changes when the file does."""

    size: int
    stamp: str


def list_folder(uri: str) -> dict[str, FileInfo]:
    """Files and folders in a folder by name, those written a moment ago included; empty if there is no folder."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.invalidate_cache()
    if not filesystem.isdir(path):
        return {}
    return {str(item["name"]).rstrip("/").rsplit("/", 1)[-1]: _info(item) for item in filesystem.ls(path, detail=True)}


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


def read_text(uri: str) -> str:
    with fsspec.open(uri, "r", encoding="utf-8") as file:
        return str(file.read())


def read_bytes(uri: str, limit: int) -> bytes:
    """At most `limit` bytes of a file. Raises `FileNotFoundError` and its kin."""
    if not is_local(uri):
        with fsspec.open(uri, "rb") as remote:
            return bytes(remote.read(limit))
    # fsspec takes longer to open a local file than a clip takes to be read, and `read` first allocates what it is asked
    # for.
    with open(uri.removeprefix("file://"), "rb") as local:
        return local.read(min(limit, os.fstat(local.fileno()).st_size + 1))


def write_bytes(uri: str, content: bytes) -> None:
    """Write a whole file or nothing: on a local disk through a rename, on object stores a put is already atomic."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    if not is_local(uri):
        filesystem.pipe_file(path, content)
        return
    temporary = Path(f"{path}.partial")
    temporary.write_bytes(content)
    temporary.replace(path)


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
    filesystem, path = fsspec.core.url_to_fs(uri)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)
    filesystem.makedirs(path, exist_ok=True)
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file():
            target = f"{path}/{file.relative_to(folder).as_posix()}"
            filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            filesystem.put_file(str(file), target)


def fetch_folder(uri: str) -> str:
    """A local folder with the content of `uri`: the folder itself where it is local, else a kept download."""
    if is_local(uri):
        return absolute(uri)
    target = Path(tempfile.gettempdir()) / "signdpo" / hashlib.sha256(uri.encode()).hexdigest()[:16]
    filesystem, path = fsspec.core.url_to_fs(uri)
    if target.exists():
        return str(target)
    with tempfile.TemporaryDirectory(prefix="signdpo-") as partial:
        filesystem.get(path, f"{partial}/content", recursive=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{partial}/content").rename(target)
    return str(target)
