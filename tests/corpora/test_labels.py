"""Labels in tables: every form they come in, and errors that say where and what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from signdpo.corpora.labels import is_stretch, locate, path_of, read_labels
from signdpo.corpora.source import Entry
from signdpo.skeleton.clip import BadClipError

HOW2SIGN = "VIDEO_ID\tVIDEO_NAME\tSENTENCE_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\n"


def read(root: Path, name: str, content: str | bytes, labels: str | None = None) -> list[Entry]:
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(str(root), labels, ".pose")


def problem(root: Path, row: str, header: str = "id\ttext\tsplit\tfile\tgloss\tsigner\tstart\tend") -> str:
    """What reading the clip of a row in `labels.tsv` complains of."""
    with pytest.raises(BadClipError) as raised:
        locate(read(root, "labels.tsv", f"{header}\n{row}\n")[0].location)
    return str(raised.value)


EXPECTED = [
    Entry("a", "train", "a.pose", 'He said "hi", then left', ("HE", "LEAVE"), "mary"),
    Entry("b", "dev", "x/b.pose#frames=3-9", "你好", (), "", size=6),
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "labels.tsv",
            "id\ttext\tsplit\tgloss\tsigner\tfile\tstart\tend\n"
            'a\tHe said "hi", then left\ttrain\tHE LEAVE\tmary\n\nb\t你好\tdev\t\t\tx/b.pose\t3\t9\n',
        ),
        (
            "labels.tsv",  # as pandas and spreadsheets write it
            "\ufeffid\ttext\tsplit\tgloss\tsigner\tfile\tstart\tend\r\n"
            'a\t"He said ""hi"", then left"\ttrain\tHE LEAVE\tmary\t\t\t\r\nb\t你好\tval\t\t\tx/b.pose\t3\t9\r\n',
        ),
        (
            "labels.csv",
            "ID, Text,split,gloss,signer,file,start,end\n"
            'a,"He said ""hi"", then left",train,"[""HE"", ""LEAVE""]",mary,,,\nb,你好,valid,,,x/b.pose,3,9\n',
        ),
        (
            "labels.jsonl",
            json.dumps(
                {
                    "id": "a",
                    "text": 'He said "hi", then left',
                    "split": "train",
                    "gloss": ["HE", "LEAVE"],
                    "signer": "mary",
                }
            )
            + '\n{"id": "b", "text": "你好", "split": "Validation", "file": "x/b.pose", "start": 3, "end": 9}\n',
        ),
    ],
)
def test_tables_of_every_kind_say_the_same(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, name, content) == EXPECTED


def test_each_split_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "labels.train.csv").write_text("id,text\na,one\n")
    assert read(tmp_path, "labels.val.csv", "id,text\nb,two\n") == [
        Entry("a", "train", "a.pose", "one"),
        Entry("b", "dev", "b.pose", "two"),
    ]


def test_how2sign_labels_are_read_as_published(tmp_path: Path) -> None:
    """Its times are seconds in the video, so they say how long a clip is and not where it lies."""
    row = (
        "-d5dN54tH2E\t-d5dN54tH2E-1-rgb_front\t-d5dN54tH2E_0\t-d5dN54tH2E_0-1-rgb_front\t12.97\t19.52\tWe're, going.\n"
    )
    entries = read(tmp_path, "how2sign_realigned_val.csv", HOW2SIGN + row)
    assert entries == [
        Entry("-d5dN54tH2E_0-1-rgb_front", "dev", "-d5dN54tH2E_0-1-rgb_front.pose", "We're, going.", size=6550)
    ]


def test_labels_are_where_the_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for name in ("train", "val", "test"):
        (tmp_path / "text" / f"h_{name}.tsv").write_text(f"id\ttext\n{name}\tword\n")
    elsewhere = str(tmp_path / "text" / "h_{split}.tsv")
    for root, labels in ((tmp_path, "text/h_{split}.tsv"), (tmp_path / "corpus", elsewhere)):
        entries = read_labels(str(root), labels, "")
        assert [(entry.id, entry.split) for entry in entries] == [("train", "train"), ("val", "dev"), ("test", "test")]
    assert [entry.split for entry in read_labels(str(tmp_path), "text/h_test.tsv", "")] == ["train"]


def test_missing_labels_come_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no labels: put labels\.tsv .* name them with corpus\.labels"):
        read_labels(str(tmp_path), None, ".pose")
    with pytest.raises(FileNotFoundError, match=r"gone_\{split\}\.tsv is missing: check corpus\.labels"):
        read_labels(str(tmp_path), "gone_{split}.tsv", ".pose")


def test_two_tables_that_could_count_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,text\n")
    with pytest.raises(BadClipError, match=r"has labels\.tsv and labels\.csv: name the ones that count"):
        read(tmp_path, "labels.tsv", "id\ttext\n")
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "labels.tsv").unlink()
    (tmp_path / "labels.dev.csv").write_text("id,text\n")
    with pytest.raises(BadClipError, match=r"labels\.dev\.csv and labels\.val\.csv are both there for split dev"):
        read(tmp_path, "labels.val.csv", "id,text\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "name,text\na,b\n", r"labels\.csv, line 1: there is no column id, found name, text; name"),
        ("labels.csv", "id text\na b\n", r"no column id, found id text; .* what separates the columns"),
        ("labels.jsonl", '{"id": "a"}\n', r"line 1: there is no column text, found id"),
        ("labels.csv", "id,text,spilt\na,b,test\n", r"column spilt: did you mean split\?"),
        ("labels.csv", "id,text,subset\na,b,test\n", r"column subset: did you mean split\?"),
        ("labels.csv", "id,text,text\na,b,c\n", r"line 1: column text is there twice; rename one"),
        ("labels.csv", 'id,text\na,b\nc,"d\n', r"labels\.csv, line 3: unexpected end of data; put a field"),
        ("labels.tsv", b"id\ttext\na\t\xe4\n", r"labels\.tsv, line 2: byte 0xe4 is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_table_that_makes_no_sense_is_one_clear_error(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(BadClipError, match=message):
        read(tmp_path, name, content)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "a\tword\ttrian",
            "line 2: column split is 'trian', did you mean train? Expected one of train, dev, val",
        ),
        ("a\tword", "labels.tsv, line 2: column split is empty, expected one of train"),
        ("a\t \ttest", "labels.tsv, line 2: column text is empty"),
        ("\tword\ttest", "labels.tsv, line 2: column id is empty"),
        ("a\tword\ttest\t../b.pose", "file '../b.pose' leads out of the corpus"),
        ("a\tword\ttest\tx/../../b.pose", "leads out of the corpus"),
        ("a\tword\ttest\t/etc/b.pose", "leads out of the corpus"),
        ("a\tword\ttest\tx::https://b.pose", "leads out of the corpus"),
        ("../a\tword\ttest", "file '../a.pose' leads out of the corpus"),
        ("a\tword\ttest\tb\0.pose", "file 'b\\x00.pose' is no name of a file"),
        ("a\tword\ttest\t\t\t\t1.5\t3", "column start is '1.5', expected the number of a frame"),
        ("a\tword\ttest\t\t\t\t3\t3", "columns start and end are 3 and 3, expected two frames"),
        ("a\tword\ttest\t\t\t\t3", "columns start and end are 3 and None"),
        ("a\tone\ttwo\ttest\tx\ty\tz\t1\t2", "there are 9 fields but 8 columns; quote the field"),
    ],
)
def test_a_row_that_makes_no_sense_is_listed_and_says_so_when_it_is_read(
    tmp_path: Path, row: str, message: str
) -> None:
    assert message in problem(tmp_path, row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "labels.jsonl, line 2: this is not JSON"),
        ("[" * 100_000, "labels.jsonl, line 2: this is not JSON"),
        ("[1]", "line 2: expected a JSON object with a key for each column, found a list"),
        ('{"id": "a", "text": "word"}', "line 2: column split is empty"),
        ('{"id": "a", "text": ["word"], "split": "dev"}', "line 2: column text is a list, expected text"),
        ('{"id": "a", "text": "\\ud800", "split": "dev"}', "line 2: column text holds half a character"),
        ('{"id": "a", "text": "word", "split": "dev", "gloss": [1.5, {}]}', "line 2: column gloss is a dict"),
        ('{"id": "a", "text": "word", "split": "dev", "start": true, "end": 2}', "line 2: column start is a bool"),
    ],
)
def test_a_json_line_that_makes_no_sense_is_listed_and_says_so_when_it_is_read(
    tmp_path: Path, row: str, message: str
) -> None:
    entries = read(tmp_path, "labels.jsonl", '{"id": "first", "text": "word", "split": "train"}\n' + row)
    assert locate(entries[0].location) == ("first.pose", None)
    with pytest.raises(BadClipError) as raised:
        locate(entries[1].location)
    assert message in str(raised.value)
    assert path_of(entries[1].location) == ""


def test_a_row_keeps_its_id_and_split_where_it_has_them(tmp_path: Path) -> None:
    entries = read(tmp_path, "labels.csv", "id,text,split\na,word,test,x\n,b,dev\nc,d,eval\ne,,test,\n")
    assert [(entry.id, entry.split, entry.text) for entry in entries] == [
        ("labels.csv, line 2", "train", ""),
        ("labels.csv, line 3", "dev", "b"),
        ("c", "train", "d"),
        ("e", "test", ""),
    ]


def test_a_split_must_agree_with_the_name_of_its_file(tmp_path: Path) -> None:
    entries = read(tmp_path, "labels.test.csv", "id,text,split\na,b,test\nc,d,train\n")
    assert [entry.split for entry in entries] == ["test", "test"]
    with pytest.raises(BadClipError, match="line 3: column split is 'train' in the labels of split test"):
        locate(entries[1].location)


def test_a_sentence_may_run_over_lines_of_a_csv(tmp_path: Path) -> None:
    entries = read(tmp_path, "labels.csv", 'id,text,split\na,"one\ntwo",train\nb,c,nowhere\n')
    assert entries[0].text == "one\ntwo"
    assert "labels.csv, line 4" in entries[1].location


def test_a_location_is_a_path_and_a_stretch() -> None:
    assert locate("a/b.pose") == ("a/b.pose", None)
    assert locate("a/b.pose#frames=3-9") == ("a/b.pose", (3, 9))
    assert path_of("a/b.pose#frames=3-9") == "a/b.pose"
    assert is_stretch("a/b.pose#frames=3-9")
    assert not is_stretch("a/b.pose")
