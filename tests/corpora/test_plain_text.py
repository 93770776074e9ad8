"""Sentences without clips, from a file as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from signdpo.config import Config, ConfigError, load_config
from signdpo.corpora.plain_text import GRAMMAR_SENTENCES, read_sentences


def naming(text: Path | str) -> Config:
    return load_config(None, [f"policy.language_model.pretrain_text={text}"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_has_a_sentence_a_line(tmp_path: Path, encoding: str, end: str) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(end.join(["Ich gehe.", "", "  Du gehst. ", "Ich gehe.", "", "Grüße!"]).encode(encoding))
    assert read_sentences(naming(file)) == ["Ich gehe.", "Du gehst.", "Grüße!"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file"),
        (b"\xff\xfe", "holds no sentence"),
        (b"good\nbad \xff\n", "line 2: byte 0xff is not UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"policy\.language_model\.pretrain_text.*" + told):
        read_sentences(naming(file))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_sentences(naming(tmp_path / "none.txt"))
    with pytest.raises(ConfigError, match="this is a folder"):
        read_sentences(naming(tmp_path))


def test_the_embedded_language_is_its_training_split() -> None:
    found = read_sentences(naming("grammar"))
    assert len(found) == len(set(found)) == GRAMMAR_SENTENCES


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["policy.language_model.path=/models/mt5"], "is for a model from scratch"),
        (["policy.init=/policies/a"], "is read before pre-training"),
        (["corpus.kind=npz", "corpus.root=/data"], "is the language of corpus.kind=synthetic"),
    ],
)
def test_text_that_nothing_would_read_is_refused(given: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config(None, ["policy.language_model.pretrain_text=grammar", *given])
