"""Units of sentences, and the edits between two."""

import pytest

from signdpo.text.units import Operation, align, folded, join_ideographs, join_units, split_units


@pytest.mark.parametrize(
    "sentence", ["I don't know, Anna!", "他今年 5 岁。", "我用WIFI上网", "(Well) it's 9.30 -- or so", "", "ein Haus"]
)
def test_units_join_to_their_sentence(sentence: str) -> None:
    assert join_units(split_units(sentence)) == sentence


def test_a_unit_is_a_word_a_chinese_character_or_a_mark() -> None:
    assert split_units("I don't go.") == [" I", " don't", " go", "."]
    assert split_units("他用WIFI。") == ["他", "用", "WIFI", "。"]


def test_spaces_between_chinese_characters_go_and_others_stay() -> None:
    assert join_ideographs("他 今 年 very good 岁 。") == "他今年very good岁。"
    assert folded("It’s ME!") == "itsme"


def test_fewest_edits() -> None:
    edits = align(split_units("the dog barks now"), split_units("my The cat barks"))
    assert [edit.operation for edit in edits] == [
        Operation.INSERT,
        Operation.KEEP,
        Operation.SUBSTITUTE,
        Operation.KEEP,
        Operation.OMIT,
    ]
    assert [edit.unit for edit in edits if edit.unit] == [" my", " cat"]
