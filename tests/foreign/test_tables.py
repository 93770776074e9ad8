"""Tables as spreadsheets, databases and corpora write them."""

from __future__ import annotations

import codecs
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from support.specimens import SPECIMENS

from signdpo.config import CorpusConfig
from signdpo.corpora.labels import locate, read_labels
from signdpo.corpora.planning import list_entries
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import MISSING
from signdpo.corpora.survey import survey
from signdpo.foreign.tables import read_table
from signdpo.skeleton.clip import BadClipError


def rows(root: Path, name: str, content: str | bytes) -> list[list[str]]:
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return [list(line.values.values()) for line in read_table(str(root / name)).lines]


@pytest.mark.parametrize("sign", ["\t", "|", ";", ","])
@pytest.mark.parametrize("name", ["labels.tsv", "labels.csv"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n  \n"])
def test_the_first_line_tells_what_separates_columns(tmp_path: Path, sign: str, name: str, end: str, last: str) -> None:
    content = f"id{sign}text{sign}split\na{sign}one word{sign}train\nb{sign}two{sign}dev{last}".replace("\n", end)
    assert rows(tmp_path, name, content) == [["a", "one word", "train"], ["b", "two", "dev"]]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ],
)
@pytest.mark.parametrize("name", ["labels.tsv", "labels.csv"])
def test_unicode_is_read_as_spreadsheets_save_it(tmp_path: Path, encoding: str, mark: bytes, name: str) -> None:
    content = mark + "id\ttext\r\na\tschön 你好\r\n".encode(encoding)
    assert rows(tmp_path, name, content) == [["a", "schön 你好"]]


@pytest.mark.parametrize("sign", ["\t", "|", ";", ","])
@pytest.mark.parametrize("columns", ["id text split", "text id split", "id split text"])
@pytest.mark.parametrize("sentence", ["one\ntwo", "one\n\nthree", 'he said "hi"\nand left', "one\n", "a\nb\nc, d"])
def test_a_quoted_field_may_have_line_breaks_wherever_it_stands(
    tmp_path: Path, sign: str, columns: str, sentence: str
) -> None:
    quoted = '"' + sentence.replace('"', '""') + '"'
    lines = [columns] + [columns.replace("id", id_).replace("split", "dev") for id_ in "ab"]
    content = "\n".join(lines).replace(" ", sign).replace("text", quoted).replace(quoted, "text", 1)
    found = read_table(str(write(tmp_path / "labels.csv", content))).lines
    assert [(line.values["id"], line.values["text"], line.problem) for line in found] == [
        ("a", sentence, ""),
        ("b", sentence, ""),
    ]
    assert [line.number for line in found] == [2, 3 + sentence.count("\n")]


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


@pytest.mark.parametrize("sign", ["\t", "|"])
@pytest.mark.parametrize("sentence", ['"Hi," she said', 'a 5" nail', '"', '"so', 'he said "no"', '""'])
def test_quotes_of_a_sentence_join_no_rows(tmp_path: Path, sign: str, sentence: str) -> None:
    """How2Sign's sentences have quotes that nobody closed or doubled."""
    content = "".join(f"{id_}\ttrain\t{sentence}\n" for id_ in "abc")
    found = rows(tmp_path, "labels.tsv", ("id\tsplit\ttext\n" + content).replace("\t", sign))
    expected = "" if sentence == '""' else sentence
    assert found == [[id_, "train", expected] for id_ in "abc"]


def test_a_quote_that_never_closes_refuses_the_rest_of_its_sentence_by_number(tmp_path: Path) -> None:
    write(tmp_path / "labels.tsv", 'id\tsplit\ttext\na\ttrain\t"one\ntwo\nb\ttrain\tthree\n')
    entries = read_labels(str(tmp_path), None, ".npz")
    with pytest.raises(BadClipError, match=r"labels\.tsv, line 3: "):
        locate(entries[1].location)
    assert entries[2].text == "three"


def test_a_quoted_sentence_of_how2sign_runs_over_lines(tmp_path: Path) -> None:
    header = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\n"
    row = 'v\tv\tv\tv_0-1-rgb_front\t1.0\t2.5\t"We go,\nand come."\n'
    write(tmp_path / "how2sign_realigned_train.csv", header + row * 2)
    assert [entry.text for entry in read_labels(str(tmp_path), None, "")] == ["We go,\nand come."] * 2


def test_phoenix_is_read_as_published(shared_data: Path, tmp_path: Path) -> None:
    for split in ("train", "dev"):
        name = f"PHOENIX-2014-T.{split}.corpus.csv"
        (tmp_path / name).write_bytes((shared_data / "labels" / "PHOENIX-2014-T.sample.corpus.csv").read_bytes())
    train, dev = read_labels(str(tmp_path), None, ".pose")
    assert train.id == "25October_2010_Monday_tagesschau-17"
    assert train.location == "25October_2010_Monday_tagesschau-17.pose"
    assert train.text.startswith("regen und schnee lassen an den alpen in der nacht nach")
    assert train.gloss[:3] == ("REGEN", "SCHNEE", "REGION")
    assert (train.signer, train.split, dev.split) == ("Signer01", "train", "dev")


@pytest.mark.parametrize(
    ("split", "near"),
    [("testing", "test"), ("training", "train"), ("validate", "validation"), ("devel", "dev"), ("tset", "test")],
)
def test_a_split_of_another_name_is_named_with_the_nearest(tmp_path: Path, split: str, near: str) -> None:
    write(tmp_path / "labels.csv", f"id,text,split\na,word,{split}\nb,word,validation\n")
    first, second = read_labels(str(tmp_path), None, ".npz")
    with pytest.raises(BadClipError, match=f"line 2: column split is '{split}', did you mean {near}\\? "):
        locate(first.location)
    assert second.split == "dev"


def test_a_check_counts_malformed_rows_apart_from_missing_clips(tmp_path: Path) -> None:
    table = "id,text,split\na,word,train\nb,word,nowhere\nc,,train\nd,word,train,x\ne,word,dev\nf,word,test\n"
    write(tmp_path / "labels.csv", table)
    (tmp_path / "a.npz").write_bytes(b"x")
    found = survey(list_entries(open_source(CorpusConfig(kind="npz", root=str(tmp_path))), None).entries)
    assert found["train"].malformed == (
        "labels.csv, line 3: column split is 'nowhere', expected one of train, dev, val, valid, validation, test",
        "labels.csv, line 4: column text is empty",
        "labels.csv, line 5: there are 4 fields but 3 columns; quote the field that holds the delimiter, or take the "
        "surplus out",
    )
    assert (found["train"].rows, found["train"].missing, found["train"].unusable) == (4, (), 3)
    assert (found["dev"].missing, found["dev"].malformed) == (("e.npz",), ())


@pytest.mark.parametrize("kind", ["npz", "uni_sign", "csl_news", "openpose"])
@pytest.mark.parametrize("name", ["a", "a.mp4", "a.MP4", "a.mov", "a.Mkv", "a.7", "x/a.webm"])
def test_a_clip_is_found_by_the_name_of_its_video(tmp_path: Path, kind: str, name: str) -> None:
    """`--check` looks where the ingest reads: both go by the listing."""
    clip = name if name.endswith(".7") else name.partition(".")[0]
    specimen = SPECIMENS[{"uni_sign": "uni_sign, protocol 4"}.get(kind, kind)]
    folder, ending = ("pose_format/", ".pkl") if kind in ("uni_sign", "csl_news") else ("", specimen.clip[0][1:])
    labels = {
        "uni_sign": pickle.dumps({"a": {"text": "word", "video_path": name}}),
        "csl_news": json.dumps([{"video": "a", "pose": name, "text": "word"}] * 2).encode(),
        "openpose": f"SENTENCE_NAME\tSENTENCE\n{name}\tword\n".encode(),
        "npz": json.dumps({"id": "a", "text": "word", "file": name}).encode(),
    }[kind]
    specimen = replace(specimen, clip=(f"{folder}{clip}{ending}", specimen.clip[1]), others={})
    source = specimen.write(tmp_path, labels=labels)
    entry = source.entries("train")[0]
    assert entry.stamp not in ("", MISSING)
    assert source.read(entry).keypoints[..., 2].any()


def test_a_file_that_is_called_so_comes_before_one_without_the_ending_of_a_video(tmp_path: Path) -> None:
    for name in ("a.mp4.npz", "a.npz"):
        (tmp_path / name).write_bytes(b"x")
    write(tmp_path / "labels.csv", "id,text\na.mp4,word\n")
    source = open_source(CorpusConfig(kind="npz", root=str(tmp_path)))
    assert source.entries("train")[0].location == "a.mp4.npz"
    (tmp_path / "a.mp4.npz").unlink()
    assert source.entries("train")[0].location == "a.npz"


def test_a_stretch_is_found_by_the_name_of_its_video(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"x")
    write(tmp_path / "labels.csv", "id,text,file,start,end\nb,word,a.MOV,3,9\n")
    source = open_source(CorpusConfig(kind="npz", root=str(tmp_path)))
    assert source.entries("train")[0].location == "a.npz#frames=3-9"
