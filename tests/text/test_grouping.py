"""Messages are grouped by what they say, and no group claims of all what is true of one."""

from __future__ import annotations

import pytest

from signdpo.text.grouping import grouped


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["frame 4 has 0 people"], "frame 4 has 0 people"),
        (["frame 4 has 0 people"] * 3, "frame 4 has 0 people"),
        (["frame 4 has 0 people", "frame 9 has 2 people", "frame 7 has 2 people"], "frame 4 to 9 has 0 to 2 people"),
        (["frame 9 has 2 people", "frame 10 has 2 people"], "frame 9 to 10 has 2 people"),  # not by their digits
        (["at 5 % of the size", "at 25.5 % of the size"], "at 5 to 25.5 % of the size"),
        (["reach 1e+09", "reach 2.5"], "reach 2.5 to 1e+09"),
        (["/data/a.pkl is missing", "/data/b.pkl is missing"], "... is missing"),
        (["/data/a.pkl is missing"] * 2, "/data/a.pkl is missing"),
        (["s3://bucket/a/1.npz has 3 frames", "s3://bucket/a/2.npz has 4 frames"], "... has 3 to 4 frames"),
        (["face_2d has 54 numbers", "face_2d has 45 numbers"], "face_2d has 45 to 54 numbers"),
        (["v_004_keypoints.json: x", "v_011_keypoints.json: x"], "v_004 to 011_keypoints.json: x"),
        ([""], ""),
    ],
)
def test_a_number_that_differs_is_a_range_and_a_path_is_left_out(texts: list[str], expected: str) -> None:
    (group,) = grouped((text, place) for place, text in enumerate(texts))
    assert group.text == expected
    assert group.first == texts[0]
    assert group.members == tuple(range(len(texts)))


def test_what_says_something_else_is_another_group_and_the_largest_comes_first() -> None:
    texts = ["no frames", "frame 1 is cut off", "frame 1 is damaged", "frame 2 is damaged", "no hands"]
    groups = grouped((text, text) for text in texts)
    assert [(group.text, len(group.members)) for group in groups] == [
        ("frame 1 to 2 is damaged", 2),
        ("no frames", 1),
        ("frame 1 is cut off", 1),
        ("no hands", 1),
    ]


def test_a_number_is_not_grouped_with_a_path() -> None:
    assert [group.text for group in grouped([("0 is missing", 1), ("a/b is missing", 2), ("3 is missing", 3)])] == [
        "0 to 3 is missing",
        "a/b is missing",
    ]
    assert len(grouped([("... is missing", 1), ("a/b is missing", 2), ("c/d is missing", 3)])) == 2


def test_nothing_has_no_groups() -> None:
    assert grouped([]) == []
