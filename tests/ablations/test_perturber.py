"""`jobs/ablate.py perturber` on files in the format of the Uni-Sign release."""

from pathlib import Path

import pytest
from support.jobs import load_job

from signdpo.ablations.perturber import halves, read_failures

ablate = load_job("ablate").main


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    verbs, nouns = ("buys", "sees", "likes", "sells"), ("a dog", "the cat", "some milk", "my coat", "two cars")
    right = [f"my mother {verb} {noun}." for verb in verbs for noun in nouns]
    wrong = [f"my father {verb} {noun}." for verb in verbs for noun in nouns]
    wrong[3] = "My mother buys my coat"  # reads like its reference
    for suffix, word, texts in (("refs", "ground-truth", right), ("pres", "prediction", wrong)):
        lines = (f"sample: s{row}, {word}: {text}" for row, text in enumerate(texts))
        (tmp_path / f"tiny.dev.{suffix}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_table_compares_rules_and_model_with_the_other_half(
    predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["perturber", "--predictions", str(predictions), "--corpus", "tiny"]
    small = ("copy_epochs=1", "epochs=2", "batch_size=4", "d_model=16")
    settings = [f"--set=negatives.perturber.{setting}" for setting in small]
    assert ablate([*options, *settings]) == 0
    printed = capsys.readouterr().out
    assert "9 failures to learn from, 10 to compare with" in printed
    for title in ("real, first half", "rules at", "learned, edits", "mean distance", "with unknown words"):
        assert title in printed
    [copies] = [line for line in printed.splitlines() if "copies" in line]
    assert [cell.strip() for cell in copies.split("│")[2:-1]] == ["0"] * 5


def test_no_reference_is_in_both_halves(predictions: Path) -> None:
    pairs = read_failures(str(predictions), "tiny")
    assert len(pairs) == 19
    first, second = halves(pairs * 2, seed=1)
    assert not {right for right, _ in first} & {right for right, _ in second}
    assert len(first) + len(second) == 38


def test_files_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(["perturber", "--predictions", str(tmp_path), "--corpus", "none"]) == 2
    assert "none.dev.refs.txt: there is no such file" in capsys.readouterr().out
