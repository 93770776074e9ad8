"""What is written: text, tables and JSON lines; a command that goes on; clips that are refused."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from support.trained import Trained

Job = Callable[..., tuple[int, str, str]]


def records(out: Path) -> list[dict[str, str]]:
    """The lines of a table, by the names of its columns."""
    head, *lines = [line.split("\t") for line in out.read_text().splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_text_is_a_sentence_and_behind_its_id_where_there_are_several(
    trained: Trained, translate: Job, tmp_path: Path
) -> None:
    one, two, *_ = trained.clips
    folder = trained.write(tmp_path, one, two)
    code, alone, said = translate(folder / f"{one}.npz")
    assert (code, said) == (0, "")
    assert alone.count("\n") == 1
    assert "\t" not in alone
    _, both, _ = translate(folder)
    assert [line.split("\t")[0] for line in both.splitlines()] == sorted([one, two])
    assert f"{one}\t{alone}" in both
    _, best, _ = translate(folder / f"{one}.npz", "--n-best", 2)
    logps = [float(line.split("\t")[0]) for line in best.splitlines()]
    assert len(logps) == 2
    assert best.splitlines()[0].split("\t")[1] == alone.strip()


def test_a_table_and_json_lines_say_the_same(trained: Trained, translate: Job, tmp_path: Path) -> None:
    folder = trained.write(tmp_path / "clips", *list(trained.clips)[:3])
    for name in ("a.tsv", "a.jsonl"):
        assert translate(folder, "--out", tmp_path / name, "--n-best", 2)[0] == 0
    table = records(tmp_path / "a.tsv")
    objects = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert list(table[0]) == ["id", "sentence", "logp_per_token", "sentence_2", "logp_per_token_2", "file"]
    for row, record in zip(table, objects, strict=True):
        assert (row["id"], row["sentence"], row["file"]) == (record["id"], record["sentence"], record["file"])
        assert [each["sentence"] for each in record["n_best"]] == [row["sentence"], row["sentence_2"]]
        assert float(row["logp_per_token_2"]) == pytest.approx(record["n_best"][1]["logp_per_token"])
        assert row["file"] == str(folder / f"{row['id']}.npz")


def without_numbers(text: str) -> str:
    """Scores may differ in their last digit, as clips are padded otherwise."""
    return re.sub(r"-\d\.\d+", "", text)


@pytest.mark.parametrize("ending", ["tsv", "jsonl"])
def test_the_same_command_goes_on_and_heals_a_line_that_was_cut_off(
    trained: Trained, translate: Job, tmp_path: Path, ending: str
) -> None:
    folder, out = trained.write(tmp_path / "clips", *list(trained.clips)[:4]), tmp_path / f"out.{ending}"
    assert translate(folder, "--out", out)[0] == 0
    whole = out.read_text()
    for kept in (0, 3, len(whole) // 2, len(whole) - 1):
        out.write_text(whole[:kept])
        code, _, said = translate(folder, "--out", out)
        assert code == 0
        assert without_numbers(out.read_text()) == without_numbers(whole)
        assert f"{whole[:kept].count(chr(10)) - (ending == 'tsv' and kept > 3)} there already" in said or kept <= 3
    whole = out.read_text()
    code, _, said = translate(folder, "--out", out)
    assert (code, out.read_text()) == (0, whole)
    assert "0 translated, 4 there already" in said


def test_clips_of_one_name_in_two_folders_both_get_their_line(trained: Trained, translate: Job, tmp_path: Path) -> None:
    one, two, *_ = trained.clips
    for folder, clip in (("a", one), ("b", two)):
        trained.write(tmp_path / folder, clip)
        (tmp_path / folder / f"{clip}.npz").rename(tmp_path / folder / "clip.npz")
    expected = [translate(tmp_path / folder / "clip.npz")[1].strip() for folder in "ab"]
    together, later = tmp_path / "together.tsv", tmp_path / "later.tsv"
    assert translate(tmp_path / "a" / "clip.npz", tmp_path / "b" / "clip.npz", "--out", together)[0] == 0
    assert translate(tmp_path / "a" / "clip.npz", "--out", later)[0] == 0
    assert translate(tmp_path / "b" / "clip.npz", "--out", later)[0] == 0
    assert [row["sentence"] for row in records(together)] == [row["sentence"] for row in records(later)] == expected
    assert [row["id"] for row in records(together)] == ["a/clip.npz", "b/clip.npz"]
    assert [row["id"] for row in records(later)] == ["clip", "clip.npz"]


def test_an_output_of_other_settings_or_of_someone_else_is_not_added_to(
    trained: Trained, translate: Job, tmp_path: Path
) -> None:
    clip = trained.write(tmp_path / "clips", next(iter(trained.clips)))
    out = tmp_path / "out.tsv"
    assert translate(clip, "--out", out)[0] == 0
    before = out.read_text()
    code, _, said = translate(clip, "--out", out, "--num-beams", 2)
    assert code == 2
    assert "was made with num_beams 4, now it is 2" in said
    assert out.read_text() == before
    labels = tmp_path / "labels.tsv"
    labels.write_text("id\ttext\n")
    code, _, said = translate(clip, "--out", labels)
    assert code == 2
    assert "is there and not of this job" in said
    assert labels.read_text() == "id\ttext\n"
    out.write_text(before + "not mine\n")
    code, _, said = translate(clip, "--out", out)
    assert code == 2
    assert "out.tsv, line 3 is none that this job wrote: not mine" in said


def test_a_damaged_clip_is_reported_and_the_rest_goes_on(trained: Trained, translate: Job, tmp_path: Path) -> None:
    one, two, *_ = trained.clips
    folder, out = trained.write(tmp_path / "clips", one, two), tmp_path / "out.jsonl"
    (folder / f"{one}.npz").write_bytes((folder / f"{one}.npz").read_bytes()[:500])
    code, printed, said = translate(folder, "--out", out)
    assert (code, printed) == (0, "")
    assert f"1 translated, 1 quarantined: {out}.quarantine.jsonl" in said
    (refused,) = [json.loads(line) for line in Path(f"{out}.quarantine.jsonl").read_text().splitlines()]
    assert refused == {
        "id": one,
        "file": str(folder / f"{one}.npz"),
        "reason": "no .npz file: the archive is cut off, or was not written by numpy or zip",
    }
    code, printed, said = translate(folder)
    assert (code, printed.count("\n")) == (0, 1)
    assert f"quarantined: {one}: no .npz file" in said
    # Repaired, it is translated, and nothing is left to report.
    trained.write(folder, one)
    assert translate(folder, "--out", out)[0] == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [two, one]
    assert not Path(f"{out}.quarantine.jsonl").exists()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["{tmp}/empty"], "the folder is empty; expected .pose files"),
        (["{tmp}/videos"], "no clip among its files (a.mp4); expected .pose files"),
        (["{tmp}/bad.npz"], "bad.npz: no .npz file: the archive is cut off"),
        (["{tmp}/bad.npz", "{tmp}/nowhere.pose"], "none of 2 clips is sound"),
        (["{clips}", "--out", "{tmp}/out.csv"], "it must end in .tsv or .jsonl"),
        (["{clips}", "--out", "s3://bucket/out.tsv"], "a local file is added to"),
        (["{clips}", "--n-best", "5"], "--n-best 5 is more than --num-beams 4 makes"),
        (["{clips}", "--n-best", "0"], "--n-best 0 is no number of translations"),
        (["{clips}", "--mbr", "beams", "--num-beams", "1"], "--mbr beams chooses among candidates"),
        (["{clips}", "--mbr", "samples", "--num-beams", "8"], "--mbr samples draws sentences without beams"),
        (["{clips}", "--samples", "8"], "--samples counts the draws of --mbr samples"),
        (["{clips}", "--num-beams", "0"], "evaluation.num_beams: "),
        (["{clips}", "--policy", "{tmp}/empty"], "there is no policy here (no config.json)"),
        (["{clips}", "--policy", "{tmp}/code"], "config.json names code of its own (auto_map)"),
        (["{clips}", "--policy", "{tmp}/t5"], "holds no policy but a t5"),
        (["{clips}", "--policy", "{tmp}/halved"], "holds no whole policy"),
    ],
)
def test_what_a_person_must_change_is_one_message_and_code_2(
    trained: Trained, translate: Job, tmp_path: Path, given: list[str], error: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4")
    for name, change in (("code", {"auto_map": {"AutoModel": "evil.Model"}}), ("t5", {"model_type": "t5"})):
        policy = shutil.copytree(trained.policy, tmp_path / name)
        settings = json.loads((policy / "config.json").read_text())
        (policy / "config.json").write_text(json.dumps(settings | change))
    halved = shutil.copytree(trained.policy, tmp_path / "halved") / "model.safetensors"
    halved.write_bytes(halved.read_bytes()[:1000])
    clips = trained.write(tmp_path / "clips", next(iter(trained.clips)))
    code, printed, said = translate(*(word.format(tmp=tmp_path, clips=clips) for word in given))
    assert (code, printed) == (2, "")
    assert said.count("error: ") == 1
    assert error in said
    assert "Traceback" not in said


def test_a_policy_may_lie_on_any_storage(trained: Trained, translate: Job, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(trained.policy, "/bucket/align/policy", recursive=True)
    memory.pipe("/bucket/config.yaml", (trained.run / "config.yaml").read_bytes())
    name = next(iter(trained.clips))
    clip = trained.write(tmp_path, name) / f"{name}.npz"
    memory.put(str(clip), f"/clips/{name}.npz")
    expected = translate(clip)[1]
    assert translate("--policy", "memory://bucket/align/policy", f"memory://clips/{name}.npz")[1] == expected
    code, _, said = translate("--policy", "memory://bucket/nothing", clip)
    assert code == 2
    assert "there is no policy here" in said


def test_a_letter_that_the_terminal_lacks_is_escaped(
    trained: Trained, translate: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, *_ = trained.clips
    folder = trained.write(tmp_path, one, two)
    (folder / f"{one}.npz").rename(folder / "手语.npz")
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", latin)
    assert translate(folder)[0] == 0
    assert latin.buffer.getvalue().decode("latin-1").count("\\u624b\\u8bed\t") == 1


def test_many_clips_take_the_way_over_actors(
    trained: Trained, translate: Job, tmp_path: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained.write(tmp_path / "clips")
    (folder / "bad.npz").write_bytes(b"")
    assert translate(folder, "--out", tmp_path / "here.tsv", "--n-best", 2)[0] == 0
    monkeypatch.setattr("signdpo.inference.run.MOST_IN_PROCESS", 2)
    out, looks = tmp_path / "out.tsv", tmp_path / "looks"
    asked = (folder, "--out", out, "--n-best", 2, "--attention", looks, "--set", "evaluation.batch_size=4")
    code, _, said = translate(*asked)
    assert code == 0, said
    assert f"{len(trained.clips)} translated, 1 quarantined" in said
    rows, here = records(out), records(tmp_path / "here.tsv")
    assert [(row["id"], row["sentence"], row["sentence_2"]) for row in rows] == [
        (row["id"], row["sentence"], row["sentence_2"]) for row in here
    ]
    assert {path.stem for path in looks.iterdir()} == set(trained.clips)
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:4]) + "cut o")
    assert translate(*asked)[0] == 0
    assert records(out) == rows
