"""Held-out splits: whole recordings, decided by nothing but themselves."""

from __future__ import annotations

import random

import pytest

from signdpo.corpora.source import SPLITS, Entry
from signdpo.corpora.splits import hold_out, recording_of


def entry(id_: str, text: str = "a word") -> Entry:
    return Entry(id_, "train", f"{id_}.mp4", text)


def videos(count: int) -> list[Entry]:
    """Three clips of each of `count` videos, named as in How2Sign."""
    return [entry(f"video{number:06d}_{clip}-1-rgb_front.mp4") for number in range(count) for clip in range(3)]


@pytest.mark.parametrize(
    ("id_", "recording"),
    [
        ("-fZc293MpJk_0-1-rgb_front.mp4", "-fZc293MpJk"),
        ("--7E2sU6zP4_10-5-rgb_front", "--7E2sU6zP4"),
        ("G21Gx_C18IA_2_3-2-rgb_front.mp4", "G21Gx_C18IA"),
        ("1nFdgokPwBw-00:00:14.100-00:00:17.266.mp4", "1nFdgokPwBw"),
        ("5dttR4Yq-2k-00_02_27.533-00_02_31.300", "5dttR4Yq-2k"),
        ("S000020_P0008_T00", "S000020"),
        ("clip_17", "a word"),
        ("a-long-name_of-some-other-corpus", "a word"),
    ],
)
def test_the_recording_is_read_off_the_id(id_: str, recording: str) -> None:
    assert recording_of(entry(id_)) == recording


def test_stretches_of_one_file_are_one_recording() -> None:
    first, second = Entry("a", "train", "v.pose#frames=0-9", "one"), Entry("b", "train", "v.pose#frames=9-20", "two")
    assert recording_of(first) == recording_of(second) == "v.pose"


def test_a_sentence_is_a_recording_whatever_its_case_and_spacing() -> None:
    assert recording_of(entry("x", "Good  Morning")) == recording_of(entry("y", "good morning\n"))
    assert recording_of(entry("x", " ")) == "x"


def test_the_parts_are_the_whole_and_share_no_recording() -> None:
    train = videos(1000)
    parts = {split: hold_out(train, split, 0.1, ("dev", "test")) for split in SPLITS}
    assert sorted(clip.id for part in parts.values() for clip in part) == sorted(clip.id for clip in train)
    recordings = [{recording_of(clip) for clip in part} for part in parts.values()]
    assert sum(map(len, recordings)) == 1000
    assert all(clip.split == split for split, part in parts.items() for clip in part)
    # 100 expected, with a standard deviation of 9.5.
    assert 70 < len(recordings[1]) < 130
    assert 70 < len(recordings[2]) < 130


def test_the_parts_depend_on_neither_order_nor_company() -> None:
    train = videos(200)
    dev = {clip.id for clip in hold_out(train, "dev", 0.2, ("dev",))}
    shuffled = random.Random(1).sample(train, len(train))[:300]
    assert {clip.id for clip in hold_out(shuffled, "dev", 0.2, ("dev",))} == dev & {clip.id for clip in shuffled}


def test_a_test_split_stays_when_a_dev_split_arrives() -> None:
    train = videos(200)
    both, alone = ("dev", "test"), ("test",)
    assert hold_out(train, "test", 0.1, both) == hold_out(train, "test", 0.1, alone)
    dev = {clip.id for clip in hold_out(train, "dev", 0.1, both)}
    assert dev <= {clip.id for clip in hold_out(train, "train", 0.1, alone)}


def test_nothing_missing_leaves_the_training_split_whole() -> None:
    train = videos(10)
    assert hold_out(train, "train", 0.2, ()) == train


def test_a_share_too_small_for_the_corpus_is_an_error_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"none of the 4 recordings .* split dev: raise corpus\.hold_out=0\.001"):
        hold_out(videos(4), "dev", 0.001, ("dev",))
    assert hold_out([], "dev", 0.1, ("dev",)) == []
