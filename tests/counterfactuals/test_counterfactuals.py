"""Counterfactuals: which frames speak which words, what may stand for what, and the clips that come of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from support.small_start import SmallStart

from signdpo.config import CounterfactualConfig
from signdpo.counterfactuals.finder import SegmentFinder
from signdpo.counterfactuals.language import Language, keys_of
from signdpo.counterfactuals.maker import SEGMENT_SCHEMA, CounterfactualMaker, neighbours
from signdpo.counterfactuals.segments import Segment, segments_of, token_places
from signdpo.counterfactuals.splice import splice
from signdpo.data.clips import read_clips
from signdpo.data.rows import clips_of, table_of
from signdpo.pipeline.stages.segments import few_donors
from signdpo.text.units import split_units

SENTENCES = ["a man sees a dog.", "a man sees a cat.", "a girl sees a dog.", "a girl eats a fish.", "a man eats a cat."]
CONFIG = CounterfactualConfig(frames=4, exchanges=1)


def language_of(sentences: Sequence[str] = SENTENCES) -> Language:
    return Language(sentences, function_share=0.9)


def test_function_words_and_punctuation_are_no_content() -> None:
    language = language_of()
    assert [key for key in keys_of(split_units(SENTENCES[0])) if language.is_content(key)] == ["man", "sees", "dog"]


def test_a_sentence_fits_where_its_neighbours_were_seen_and_its_words_go_together() -> None:
    language = language_of()
    assert language.fits(keys_of(split_units("a girl sees a cat.")))
    assert not language.fits(keys_of(split_units("a sees dog.")))
    often = [f"{day} we {verb} home." for day, verb in 8 * [("today", "go"), ("yesterday", "went")]]
    assert language_of(often).fits(keys_of(split_units("today we go home.")))
    assert not language_of(often).fits(keys_of(split_units("today we went home.")))  # never seen in one sentence


def test_words_that_go_together_may_be_one_sign() -> None:
    language = language_of(
        ["next week we go.", "we go next week.", "we see a week.", "next week is good.", "we eat."] * 2
    )
    assert language.is_idiom("next", "week")
    assert not language.is_idiom("we", "eat")


def test_tokens_of_each_unit() -> None:
    offsets = [(0, 1), (1, 4), (4, 5), (0, 0)]  # 我 | 有2只 | 猫 | the end token
    assert token_places("我有2只猫", split_units("我有2只猫"), offsets) == [[0], [1], [1], [1], [2]]


def attention_of(peaks: Sequence[int | None], frames: int = 16) -> np.ndarray:
    """A token's attention lies on the four frames from its peak on; everywhere, without one."""
    rows = np.full((len(peaks), frames), 1 / frames)
    for row, peak in enumerate(peaks):
        if peak is not None:
            rows[row] = 0
            rows[row, peak : peak + 4] = 0.25
    return rows


def words(sentence: str) -> list[tuple[int, int]]:
    """Offsets of a token a unit."""
    places, at = [], 0
    for unit in (each.strip() for each in split_units(sentence)):
        begin = sentence.index(unit, at)
        places.append((begin, begin + len(unit)))
        at = begin + len(unit)
    return places


def test_words_whose_frames_are_their_own_are_segments() -> None:
    sentence = SENTENCES[0]
    found = segments_of(sentence, words(sentence), attention_of([None, 0, 5, None, 11, None]), language_of(), CONFIG)
    assert found == [Segment(1, 1, 0, 4, 1.0), Segment(2, 1, 5, 9, 1.0), Segment(4, 1, 11, 15, 1.0)]
    shared = segments_of(sentence, words(sentence), attention_of([None, 0, 5, None, 1, None]), language_of(), CONFIG)
    assert [segment.first for segment in shared] == [2]  # three of the four frames of the others are both's
    vague = segments_of(sentence, words(sentence), attention_of([None, 0, None, None, 8, None]), language_of(), CONFIG)
    assert [segment.first for segment in vague] == [1, 4]
    assert segments_of(sentence, words(sentence), attention_of([0] * 6, frames=2), language_of(), CONFIG) == []


def test_a_segment_is_put_in_the_place_of_frames_and_blended_at_its_seams() -> None:
    clip, segment = np.zeros((6, 69, 3), dtype=np.float32), np.full((3, 69, 3), 4.0, dtype=np.float32)
    clip[..., 2], segment[..., 2] = 1.0, 1.0
    segment[0, 0, 2] = 0.0  # a joint that the donor does not show
    clip[:, :, 0] = np.arange(6)[:, None]
    spliced = splice(clip, 2, 4, segment)
    assert spliced[:, 5, 0].tolist() == [0, 1, (4 + 2) / 2, 4, (4 + 3) / 2, 4, 5]
    assert spliced[2, 0].tolist() == [4.0, 4.0, 0.0]
    assert clip[2, 5, 0] == 2  # the clip itself is left alone


def maker(kept_out: Sequence[str] = (), **keys: object) -> CounterfactualMaker:
    """Of clips whose word `n` is spoken by the four frames from `5 n` on, whose value is the clip's number."""
    rows = []
    for number, sentence in enumerate(SENTENCES):
        units = split_units(sentence)
        for first in (1, 2, 4):
            segment = Segment(first, 1, 5 * first, 5 * first + 4, 1.0)
            values: tuple[object, ...] = (
                f"c{number}",
                first,
                units[first : first + 1],
                *neighbours(keys_of(units), segment),
            )
            frames = np.full(4 * 207, number, dtype=np.float16)
            rows.append(
                dict(zip(SEGMENT_SCHEMA.names, (*values, segment.begin, segment.end, 1.0, frames), strict=True))
            )
    config = CONFIG.model_copy(update=keys)
    return CounterfactualMaker(few_donors(rows, 16, 1), language_of(), config, kept_out)


def test_signs_and_words_are_exchanged_together() -> None:
    clip, made = np.full((30, 69, 3), 9.0, dtype=np.float32), {}
    for seed in range(20):
        other = maker().make("c0", SENTENCES[0], clip, (seed,))
        assert other is not None
        made[other.text] = other.keypoints
    assert set(made) == {"a girl sees a dog.", "a man eats a dog.", "a man sees a cat.", "a man sees a fish."}
    inside = made["a man sees a cat."][21:23]  # between the seams
    assert set(np.unique(inside)) <= {1.0, 4.0}  # of one of the clips that show a cat
    assert (made["a man sees a cat."][:20] == 9).all()
    np.testing.assert_array_equal(
        maker().make("c0", SENTENCES[0], clip, (3,)).keypoints, maker().make("c0", SENTENCES[0], clip, (3,)).keypoints
    )


def test_several_signs_may_be_exchanged() -> None:
    clip = np.full((30, 69, 3), 9.0, dtype=np.float32)
    others = [maker(exchanges=3).make("c0", SENTENCES[0], clip, (seed,)) for seed in range(20)]
    assert "a girl eats a cat." in {other.text for other in others if other is not None}


def test_sentences_that_are_tested_on_are_never_made() -> None:
    clip = np.zeros((30, 69, 3), dtype=np.float32)
    kept_out = ["A girl sees a dog.", "a man eats a dog.", "a man sees a cat.", "a man sees a fish."]
    assert all(maker(kept_out).make("c0", SENTENCES[0], clip, (seed,)) is None for seed in range(20))
    assert maker().make("unknown", SENTENCES[0], clip, (1,)) is None


def test_few_donors_keep_their_frames() -> None:
    rows = [
        dict(zip(SEGMENT_SCHEMA.names, (f"c{n}", 1, [" dog"], "a", ".", 0, 1, 1.0, np.zeros(207)), strict=True))
        for n in range(5)
    ]
    table = few_donors(rows, 2, seed=1)
    assert len(table) == 5
    assert sum(bool(frames) for frames in table["keypoints"].to_pylist()) == 2


@pytest.mark.parametrize("together", [1, 5])
def test_a_finder_s_segments_depend_on_the_clip_alone(
    small_start: SmallStart, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    rows = read_clips(small_start.directory / "clips", "train").slice(0, 12).to_pylist()
    ids, texts, clips = [row["id"] for row in rows], [row["text"] for row in rows], clips_of(rows)
    find = SegmentFinder(small_start.config, str(small_start.directory / "pretrain" / "policy"), texts)
    whole = find(ids, texts, clips)
    monkeypatch.setattr("signdpo.counterfactuals.finder.TOGETHER", together)
    columns = [{name: row[name] for name in ("id", "first", "begin", "end")} for row in find(ids, texts, clips)]
    assert columns == [{name: row[name] for name in columns[0]} for row in whole]
    table_of({name: [row[name] for row in whole] for name in SEGMENT_SCHEMA.names}, SEGMENT_SCHEMA)
