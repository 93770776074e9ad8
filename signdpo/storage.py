"""Files of a run on any storage fsspec knows: local folders and URIs alike."""

from __future__ import annotations

import hashlib
import json
import tempfile
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


def read_text(uri: str) -> str:
    with fsspec.open(uri, "r", encoding="utf-8") as file:
        return str(file.read())


def write_text(uri: str, text: str) -> None:
    """Write a whole file or nothing: on a local disk through a rename, on object stores a put is already atomic."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    if not is_local(uri):
        filesystem.pipe_file(path, text.encode())
        return
    temporary = Path(f"{path}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_json(uri: str) -> Any:
    return json.loads(read_text(uri))


def write_json(uri: str, value: Any) -> None:
    write_text(uri, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


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
