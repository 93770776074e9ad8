"""`jobs/evaluate.py` scores files as a user has them and names what is wrong with them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from support.jobs import load_job


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("evaluate")


def write(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_release_files_give_the_published_figure(
    job: ModuleType, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hypotheses = shared_data / "predictions" / "csl_daily.dev.pres.txt"
    references = shared_data / "predictions" / "csl_daily.dev.refs.txt"
    out = tmp_path / "scores.json"
    options = ["--hypotheses", str(hypotheses), "--references", str(references), "--json", str(out)]
    assert job.main([*options, "--language", "zh", "--protocol", "csl_daily"]) == 0
    output = capsys.readouterr().out
    assert "25.27" in output
    assert "tok:char" in output
    assert round(json.loads(out.read_text())["system"]["bleu4"], 2) == 25.27


def test_release_lines_are_matched_by_id_whatever_their_order(job: ModuleType, tmp_path: Path) -> None:
    hypotheses = write(tmp_path / "h", "sample: b, prediction: two", "sample: a:1, prediction: one, two")
    references = write(tmp_path / "r", "sample: a:1, ground-truth: one, two", "sample: b, ground-truth: two")
    out = tmp_path / "scores.json"
    assert job.main(f"--hypotheses {hypotheses} --references {references} --language en --json {out}".split()) == 0
    assert json.loads(out.read_text())["system"]["exact"] == 1.0


def test_a_baseline_adds_a_paired_bootstrap(
    job: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references = write(tmp_path / "r", *["we go to school today"] * 20)
    system = write(tmp_path / "s", *["we go to school today"] * 20)
    baseline = write(tmp_path / "b", *["we go to school now"] * 20)
    out = tmp_path / "scores.json"
    options = f"--hypotheses {system} --references {references} --baseline {baseline} --language en --samples 50"
    assert job.main([*options.split(), "--json", str(out)]) == 0
    results = json.loads(out.read_text())
    assert set(results) == {"baseline", "system", "comparison"}
    for metric in ("bleu4", "chrf"):
        compared = results["comparison"][metric]
        assert compared["delta"] == pytest.approx(results["system"][metric] - results["baseline"][metric])
        assert compared["samples"] == 50
    assert "paired bootstrap with 50 samples" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], ["a", "b"], "has no translation for sample 2 (1 sentences against 2 references)"),
        (["a", "b"], ["a"], "translates, without a reference, sample 2"),
        (["sample: x, prediction: a", "b"], ["a", "b"], "h:2: expected a sample ID, as in line 1"),
        (["sample: x, prediction: a"] * 2, ["a", "b"], "h:2: sample x comes twice"),
    ],
)
def test_files_that_do_not_match_are_refused_with_the_place(
    job: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    hypotheses: list[str],
    references: list[str],
    message: str,
) -> None:
    options = ["--hypotheses", write(tmp_path / "h", *hypotheses), "--references", write(tmp_path / "r", *references)]
    assert job.main([*options, "--language", "en"]) == 2
    assert message in capsys.readouterr().out


def test_a_mark_of_the_encoding_is_no_part_of_the_first_sentence(job: ModuleType, tmp_path: Path) -> None:
    marked, plain = tmp_path / "marked", write(tmp_path / "plain", "we go to school", "you stay")
    marked.write_bytes(b"\xef\xbb\xbf" + Path(plain).read_bytes())
    out = tmp_path / "new" / "folder" / "scores.json"
    for hypotheses, references in ((marked, plain), (plain, marked)):
        assert job.main(f"--hypotheses {hypotheses} --references {references} --language en --json {out}".split()) == 0
        assert json.loads(out.read_text())["system"]["exact"] == 1.0
        out.unlink()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no sentence"),
        (b"\n \r\n", "holds no sentence"),
        ("sch\u00f6n\n".encode("latin-1"), "not UTF-8 (invalid start byte at byte 3)"),
        ("we go\n".encode("utf-16"), "not UTF-8 (invalid start byte at byte 0)"),
    ],
)
def test_a_file_without_sentences_in_utf8_is_refused_by_name(
    job: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    (tmp_path / "bad").write_bytes(content)
    for which in ("--hypotheses {0}/bad --references {0}/good", "--hypotheses {0}/good --references {0}/bad"):
        write(tmp_path / "good", "a")
        assert job.main([*which.format(tmp_path).split(), "--language", "en"]) == 2
        assert f"{tmp_path / 'bad'}: {message}" in "".join(capsys.readouterr().out.splitlines())


def test_a_missing_file_is_named(job: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "missing.txt")
    assert job.main(["--hypotheses", missing, "--references", missing, "--language", "en"]) == 2
    assert f"{missing}: there is no such file" in capsys.readouterr().out


def test_bleurt_is_a_row_where_it_is_installed(
    job: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = f"--hypotheses {write(tmp_path / 'h', 'a', 'b')} --references {write(tmp_path / 'r', 'a', 'c')}"
    arguments = f"{files} --language en --bleurt".split()
    assert job.main([*arguments, str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "bleurt.score", None)
    assert job.main([*arguments, str(tmp_path)]) == 2
    assert "needs the package bleurt" in capsys.readouterr().out

    class Scorer:
        def __init__(self, checkpoint: str) -> None:
            assert checkpoint == str(tmp_path)

        def score(self, *, references: list[str], candidates: list[str]) -> list[float]:
            return [1.0 if pair[0] == pair[1] else 0.5 for pair in zip(references, candidates, strict=True)]

    monkeypatch.setitem(sys.modules, "bleurt.score", SimpleNamespace(BleurtScorer=Scorer))
    assert job.main([*arguments, str(tmp_path)]) == 0
    assert "75.00" in capsys.readouterr().out
