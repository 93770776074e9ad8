"""The systems of a run: which are compared, how long they may speak, and what a terminal shows of them."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from signdpo.config import Config, ConfigError, load_config
from signdpo.evaluation.judgement import Judgement, SplitTranslations
from signdpo.evaluation.systems import candidate_penalties, choose_penalty, comparisons_of, name_of, systems_of
from signdpo.evaluation.tables import show_systems
from signdpo.evaluation.training_sentences import TrainingSentences
from signdpo.report.scores import NO_CONTROL


def test_the_headline_is_aligned_minus_control() -> None:
    names = [name_of(pair) for pair in comparisons_of(("baseline", "control", "aligned"))]
    assert names == ["aligned - control", "aligned - baseline", "control - baseline"]
    assert comparisons_of(("baseline", "aligned")) == [("aligned", "baseline")]


def test_the_length_penalty_with_the_best_bleu4_is_chosen_and_1_of_equal_ones() -> None:
    references = ["we go to school today", "you see a friend at home"]
    short = ["we go to", "you see a friend at"]
    chosen, found = choose_penalty({1.0: short, 1.25: references, 2.0: references}, references, language="en")
    assert chosen == 1.25
    assert found[1.25] == pytest.approx(100)
    assert found[1.0] < 100
    assert choose_penalty(dict.fromkeys((0.6, 1.0, 1.6), short), references, language="en")[0] == 1.0


def test_tuning_tries_the_same_length_penalties_for_every_system() -> None:
    assert candidate_penalties(Config()) == (1.0,)
    tuned = candidate_penalties(load_config(None, ["evaluation.length_penalty=tune"]))
    assert (min(tuned), max(tuned)) == (0.6, 2.0)
    assert 1.0 in tuned


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.splits=[test]"], r"splits=\['test'\] must be \[dev\] or \[dev, test\]"),
        (["evaluation.length_penalty=long"], r"evaluation\.length_penalty: Input should be 'tune'"),
        (["evaluation.length_penalty=tune", "evaluation.num_beams=1"], "set num_beams above 1"),
        (["evaluation.no_repeat_ngram_size=-1"], r"evaluation\.no_repeat_ngram_size"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, overrides)


RIGHT = {"kind": "pairs_words", "foil": "", "margins": dict.fromkeys(systems_of(Config()), 1.0)}
PAIRS = "".join(json.dumps({"id": clip, **RIGHT}) + "\n" for clip in "ab")


def judged(*systems: str) -> Judgement:
    """What is found of systems that say the same, one of two sentences right, and get all minimal pairs right."""
    references = ["we go to school today", "you see a friend at home"]
    said = [references[0], "go go go go go"]
    split = SplitTranslations(["a", "b"], references, dict.fromkeys(systems, said), PAIRS)
    return Judgement.of(split, TrainingSentences.of(said), samples=10, seed=1, language="en")


def shown(*systems: str, width: int = 80) -> str:
    """What a terminal shows of them."""
    console = Console(file=StringIO(), width=width)
    show_systems(console, dict.fromkeys(("dev", "test"), judged(*systems)), {systems[0]: 1.6})
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_judgement_has_all_scores_of_each_system_and_of_each_comparison() -> None:
    found = judged("baseline", "control", "aligned")
    scores = found.by_system()["control"]
    assert scores["exact"] == scores["loop_rate"] == 0.5
    assert (scores["copies"], scores["pairs_words"]) == (1.0, 1.0)
    assert scores["intervals"]["pairs_words"] == [1.0, 1.0]
    assert list(found.comparison) == ["aligned - control", "aligned - baseline", "control - baseline"]
    for tests in found.comparison.values():
        assert tests.keys() == scores["intervals"].keys()
        assert {test.delta for test in tests.values()} == {0.0}


def test_the_terminal_shows_test_first_and_marks_dev() -> None:
    text = shown("baseline", "control", "aligned")
    assert text.index("Beam search on test") < text.index("Beam search on dev (used to choose the checkpoint)")
    assert text.index("aligned - control") < text.index("aligned - baseline") < text.index("control - baseline")
    assert "+0.00 to +0.00" in text
    assert "1.000" in text  # p
    assert "50.0 %" in text  # loops
    assert "length penalty: baseline 1.6" in text
    assert NO_CONTROL not in text


def test_the_terminal_says_that_there_is_no_control() -> None:
    assert NO_CONTROL in shown("baseline", "aligned", width=300)
