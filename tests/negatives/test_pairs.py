"""Preference pairs of the user's own in the place of the perturber's sentences."""

from pathlib import Path
from typing import Any

import pytest

from signdpo.config import ConfigError, PerturberConfig, load_config
from signdpo.negatives.sentence.pairs import PAIRS_FILE, GivenSentences, match_pairs
from signdpo.negatives.sentence.perturber import load_perturber
from signdpo.pipeline.preflight import check_config
from signdpo.pipeline.stages.perturber import read_pairs

TEXTS = {"a": "we go to school", "b": "you stay here", "c": "we go to school"}


def row(id_: str, rejected: Any, **more: Any) -> dict[str, Any]:
    return {"id": id_, "rejected": rejected, **more}


def test_pairs_and_ranked_lists_are_given_to_the_sentences_of_their_clips() -> None:
    rows = [row("a", ["we go home", "we went to school"]), row("c", "they go to school"), row("b", "", chosen="x")]
    rows += [row("b", "you stay there", chosen="You stay here"), row("z", "nobody"), row("a", "We go to school.")]
    given = match_pairs(rows, TEXTS, "pairs.tsv")
    assert given.sentences.rejected == {
        "we go to school": ["we go home", "we went to school", "they go to school"],
        "you stay here": ["you stay there"],
    }
    assert given.clips == 3
    assert given.left_out == {
        "of no training clip": 1,
        "prefer another sentence than the clip's": 1,
        "reject nothing": 1,
    }


@pytest.mark.parametrize("rows", [[], [row("z", "nobody")], [row("a", "we go to school")], [row("a", None)]])
def test_a_table_without_a_pair_for_the_corpus_is_refused_with_the_reason(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"pairs\.tsv holds no pair for a training clip: of \d rows"):
        match_pairs(rows, TEXTS, "pairs.tsv")


def test_as_many_are_proposed_as_asked_for_and_a_row_depends_on_its_seed_alone(tmp_path: Path) -> None:
    given = GivenSentences({"right": ["one", "two", "three"]})
    (tmp_path / PAIRS_FILE).write_text(given.to_json(), encoding="utf-8")
    settings = PerturberConfig(kind="pairs", path="pairs.tsv")
    loaded = load_perturber(tmp_path, settings, max_tokens=8, device=None)  # type: ignore[arg-type]
    assert loaded == given
    assert loaded is not None
    few, many, none = loaded.propose(["right", "right", "unknown"], [1, 2, 3], candidates=2)
    assert len(few) == len(many) == len(none) == 2
    assert none == ["", ""]
    assert loaded.propose(["right"], [2], candidates=2) == [many]
    assert sorted(loaded.propose(["right"], [1], candidates=5)[0]) == ["", "", "one", "three", "two"]
    assert len({tuple(loaded.propose(["right"], [seed], candidates=1)[0]) for seed in range(20)}) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.tsv", "id\trejected\na\tb\n", None),
        ("pairs.jsonl", '{"id": "a", "rejected": ["b", "c"]}\n', None),
        ("pairs.csv", "id,wrong\na,b\n", "has no column rejected"),
        ("pairs.csv", "name,wrong\na,b\n", "has no column id and no column rejected"),
        ("pairs.txt", "id rejected\n", r"must end in \.tsv"),
        ("other.tsv", None, "there is no such file"),
    ],
)
def test_a_table_is_checked_before_any_work(
    tmp_path: Path, name: str, content: str | None, message: str | None
) -> None:
    place = tmp_path / name
    if content is not None:
        place.write_text(content)
    overrides = [f"negatives.perturber={{kind: pairs, path: {place}}}", "dpo.weights.language=0.03"]
    config = load_config(None, overrides)
    if message is None:
        check_config(config)
        rows, unread = read_pairs(config.negatives.perturber)
        assert (len(rows), unread) == (1, 0)
    else:
        with pytest.raises(ConfigError, match=message):
            check_config(config)


def test_pairs_need_a_table() -> None:
    with pytest.raises(ConfigError, match="kind=pairs reads a table of pairs: name it by path"):
        load_config(None, ["negatives.perturber.kind=pairs"])
