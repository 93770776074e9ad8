"""The synthetic corpus keeps what its users rely on: seeded, disjoint splits, real minimal pairs, a plausible body."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from signdpo.config import CorpusConfig, SyntheticConfig
from signdpo.corpora.source import SPLITS, Entry
from signdpo.corpora.synthetic import grammar
from signdpo.corpora.synthetic.grammar import ENGLISH_WORDS, SIGN_COUNT, Sentence, sentences
from signdpo.corpora.synthetic.lexicon import (
    FORM,
    SIGNS,
    differences,
    distinguishing_parts,
    distinguishing_share,
    minimal_pairs,
)
from signdpo.corpora.synthetic.rendering import make_signer, render
from signdpo.corpora.synthetic.source import SyntheticSource
from signdpo.skeleton import layout
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.skeleton.normalisation import CONFIDENCE_THRESHOLD

SMALL = SyntheticConfig(train_clips=40, dev_clips=10, test_clips=10)


def source_of(config: SyntheticConfig, **changes: Any) -> SyntheticSource:
    return SyntheticSource(CorpusConfig(synthetic=config.model_copy(update=changes)))


@pytest.fixture(scope="module")
def default_entries() -> dict[str, list[Entry]]:
    source = source_of(SyntheticConfig())
    return {split: source.entries(split) for split in SPLITS}


@pytest.fixture(scope="module")
def clean_clips() -> list[Clip]:
    source = source_of(SMALL, noise=0.0)
    return [source.read(entry) for entry in source.entries("train")]


@pytest.fixture(scope="module")
def many_sentences() -> list[Sentence]:
    return sentences("train", 20_000, seed=1)


def relative_to_roots(keypoints: np.ndarray) -> dict[str, np.ndarray]:
    """Each part's x and y, hands and face relative to their root joint: where a part can differ for a model."""
    points = keypoints[..., :2]
    return {
        part: points[:, joints] - (points[:, [layout.PART_ROOTS[part]]] if part in layout.PART_ROOTS else 0)
        for part, joints in layout.PARTS.items()
    }


def test_two_sources_with_one_configuration_give_the_same_clips() -> None:
    first, second = source_of(SMALL), source_of(SMALL)
    assert first.reading == second.reading
    assert first.entries("dev") == second.entries("dev")
    for one, other in zip(first.entries("dev"), reversed(second.entries("dev")[::-1]), strict=True):
        np.testing.assert_array_equal(first.read(one).keypoints, second.read(other).keypoints)


def test_another_seed_gives_other_sentences_and_another_reading() -> None:
    other = source_of(SMALL, seed=8)
    assert [entry.text for entry in other.entries("dev")] != [entry.text for entry in source_of(SMALL).entries("dev")]
    assert other.reading != source_of(SMALL).reading


def test_splits_have_their_sizes_and_share_no_sentence(default_entries: dict[str, list[Entry]]) -> None:
    config = SyntheticConfig()
    texts = {split: {entry.text for entry in entries} for split, entries in default_entries.items()}
    assert {split: len(found) for split, found in texts.items()} == {
        "train": config.train_clips,
        "dev": config.dev_clips,
        "test": config.test_clips,
    }
    assert len(set.union(*texts.values())) == sum(len(found) for found in texts.values())


def test_growing_a_split_keeps_its_clips_and_the_other_splits() -> None:
    small = source_of(SMALL)
    large = source_of(SMALL, train_clips=80, test_clips=15)
    assert large.entries("train")[:40] == small.entries("train")
    assert large.entries("dev") == small.entries("dev")
    entry = small.entries("dev")[3]
    np.testing.assert_array_equal(large.read(entry).keypoints, small.read(entry).keypoints)


def test_a_gloss_sequence_has_one_translation(default_entries: dict[str, list[Entry]]) -> None:
    translations: dict[tuple[str, ...], str] = {}
    for entry in (entry for entries in default_entries.values() for entry in entries):
        assert translations.setdefault(entry.gloss, entry.text) == entry.text


def test_sentences_stay_in_their_bounds_and_their_vocabulary(default_entries: dict[str, list[Entry]]) -> None:
    train = default_entries["train"]
    vocabulary = {word for entry in train for word in entry.text[:-1].split()}
    assert 150 <= len(vocabulary) <= 250
    assert {gloss for entry in train for gloss in entry.gloss} == set(SIGNS)
    for entry in train:
        assert ENGLISH_WORDS[0] <= len(entry.text.split()) <= ENGLISH_WORDS[1]
        assert SIGN_COUNT[0] <= len(entry.gloss) <= SIGN_COUNT[1]
        assert entry.text == entry.text.lower()
        assert entry.text[-1] == ("?" if SIGNS[entry.gloss[-1]].category == "question" else ".")


def test_english_reorders_the_signs_of_nearly_every_sentence(default_entries: dict[str, list[Entry]]) -> None:
    reordered = 0
    for entry in default_entries["train"]:
        padded = f" {entry.text[:-1]} "
        places = [
            next((padded.find(f" {form} ") for form in SIGNS[gloss].words if f" {form} " in padded), None)
            for gloss in entry.gloss
        ]
        found = [place for place in places if place is not None]
        reordered += found != sorted(found)
    assert reordered / len(default_entries["train"]) > 0.95


@pytest.mark.parametrize(
    ("in_gloss", "in_text"),
    [
        ("YESTERDAY .* MOTHER BUY$", "^my mother bought .* yesterday\\.$"),
        ("EVERY_DAY .*TEACHER READ$", "^the teacher reads .* every day\\.$"),
        ("TEACHER TEACHER \\w+ NOT$", "^the teachers (will|did|do|were|are) not "),
        ("APPLE NEW ", " a new apple"),
        ("CAR TWO ", " two cars"),
        ("COAT COAT ", " many coats"),
        ("TEA \\w+ BUY NOT$", "not buy any tea"),
        ("BUY WANT$", "want(s|ed)? to buy "),
        ("FATHER BUY QUESTION$", "^(did|does|will) your father buy "),
        ("LAST_WEEK .*SISTER BUY WHAT$", "^what did your sisters? buy .*last week\\?$"),
        ("YOU HAPPY$", "^you (are|were|will be) happy"),
    ],
)
def test_glosses_translate_to_english(in_gloss: str, in_text: str, many_sentences: list[Sentence]) -> None:
    found = [sentence for sentence in many_sentences if re.search(in_gloss, " ".join(sentence.gloss))]
    assert found
    for sentence in found:
        assert re.search(in_text, sentence.text), sentence


def test_no_two_signs_look_alike() -> None:
    forms = [tuple(getattr(sign, name) for name in FORM) for sign in SIGNS.values()]
    assert len(set(forms)) == len(SIGNS)


def test_minimal_pairs_exist_in_place_movement_handshape_hands_and_face() -> None:
    pairs = minimal_pairs()
    assert len(pairs) >= 30
    fields = {differences(*pair)[0] for pair in pairs}
    assert {"handshape", "location", "movement", "expression"} <= fields
    same_category = [pair for pair in pairs if pair[0].category == pair[1].category]
    assert len(same_category) >= 12  # these can stand for each other in any sentence


@pytest.mark.parametrize("pair", minimal_pairs(), ids=lambda pair: f"{pair[0].gloss}-{pair[1].gloss}")
def test_a_minimal_pair_differs_in_the_stated_parts_and_frames_only(pair: tuple) -> None:
    signer = make_signer(0, seed=7)
    clips = [render(["I", sign.gloss, "BOOK"], signer, seed=5, noise=0.0) for sign in pair]
    (first, spans), (second, _) = clips
    start, end = spans[1]
    parts = distinguishing_parts(*pair)
    moved = {
        part: np.abs(one - other).max(axis=(1, 2)) / signer.scale  # (frames,), in shoulder widths
        for (part, one), other in zip(relative_to_roots(first).items(), relative_to_roots(second).values(), strict=True)
    }
    assert {part for part, change in moved.items() if change.max() > 1e-4} == parts
    early, late = (round(start + share * (end - start)) for share in distinguishing_share(*pair))
    for part in parts:
        assert moved[part][early:late].max() == pytest.approx(moved[part].max(), rel=0.3)


def test_spans_are_ordered_and_inside_the_clip() -> None:
    source = source_of(SMALL)
    for entry in source.entries("train"):
        clip = source.read(entry)
        clip.check()
        assert clip.keypoints.dtype == np.float32
        assert clip.gloss_spans is not None
        assert clip.gloss_spans.shape == (len(clip.gloss), 2)
        assert clip.gloss_spans.dtype == np.int32
        bounds = clip.gloss_spans.ravel()
        assert (np.diff(bounds) > 0).all()  # signs last a while, and so does the way from one to the next
        assert bounds[0] > 0
        assert bounds[-1] < len(clip.keypoints)


def test_signers_may_be_kept_out_of_training() -> None:
    signers = {
        held_out: {split: {entry.signer for entry in source.entries(split)} for split in SPLITS}
        for held_out in (0, 3)
        for source in [source_of(SMALL, signers=4, signers_held_out=held_out)]
    }
    first = {f"signer_{index}" for index in range(4)}
    assert signers[0] == dict.fromkeys(SPLITS, first)
    assert signers[3]["train"] == first
    assert signers[3]["dev"] == signers[3]["test"] == {"signer_4", "signer_5", "signer_6"}


def test_two_signers_sign_differently() -> None:
    clips = [render(["MOTHER", "WORK"], make_signer(index, seed=7), seed=5, noise=0.0)[0] for index in (0, 1)]
    same_length = min(map(len, clips))
    first, second = (relative_to_roots(clip[:same_length])["right_hand"] for clip in clips)
    assert np.abs(first - second).max() > 0.01


def test_noise_drops_joints_and_without_it_all_are_seen(clean_clips: list[Clip]) -> None:
    assert all((clip.keypoints[..., 2] == 1).all() for clip in clean_clips)
    source = source_of(SMALL)
    keypoints = np.concatenate([source.read(entry).keypoints for entry in source.entries("train")])
    missed = keypoints[..., 2] <= CONFIDENCE_THRESHOLD
    assert 0.03 < missed.mean() < 0.12
    assert (keypoints[missed][:, :2] > 0).all()  # a guess, as of a real estimator, and no corner of the image
    whole_hands = missed[:, layout.PARTS["right_hand"]].all(axis=1)
    assert 0.01 < whole_hands.mean() < 0.12


def test_the_body_is_upright_in_the_image_with_bones_of_plausible_length(clean_clips: list[Clip]) -> None:
    for clip in clean_clips:
        points = clip.keypoints[..., :2]
        assert points.min() > 0.0
        assert points.max() < 1.0
        shoulders = np.linalg.norm(points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER], axis=-1)
        np.testing.assert_allclose(shoulders, shoulders[0], rtol=1e-4)
        assert (points[:, layout.NOSE, 1] < points[:, layout.RIGHT_SHOULDER, 1]).all()
        assert (points[:, layout.RIGHT_SHOULDER, 0] < points[:, layout.LEFT_SHOULDER, 0]).all()
        for shoulder, elbow, wrist, hand in (
            (layout.RIGHT_SHOULDER, layout.RIGHT_ELBOW, layout.RIGHT_WRIST, "right_hand"),
            (layout.LEFT_SHOULDER, layout.LEFT_ELBOW, layout.LEFT_WRIST, "left_hand"),
        ):
            upper_arm = np.linalg.norm(points[:, elbow] - points[:, shoulder], axis=-1)
            forearm = np.linalg.norm(points[:, wrist] - points[:, elbow], axis=-1)
            assert (upper_arm <= 0.81 * shoulders).all()  # foreshortened at most, never longer
            assert (forearm <= 0.73 * shoulders).all()
            np.testing.assert_allclose(points[:, layout.PARTS[hand]][:, 0], points[:, wrist], atol=1e-6)
            rest = points[[0, -1]]
            assert (rest[:, layout.PARTS[hand], 1].min(axis=1) > rest[:, elbow, 1]).all()


def test_what_cannot_be_read_is_a_bad_clip() -> None:
    source = source_of(SMALL)
    with pytest.raises(BadClipError, match="UNICORN"):
        source.read(Entry("x", "train", "train/0", "a unicorn.", ("UNICORN",), "signer_0"))
    with pytest.raises(BadClipError, match="nowhere"):
        source.read(Entry("x", "train", "nowhere", "a car.", ("CAR",), "signer_0"))


def test_other_languages_and_too_many_clips_are_refused_with_the_key_to_change() -> None:
    with pytest.raises(ValueError, match=r"corpus\.language"):
        SyntheticSource(CorpusConfig(language="de"))
    with pytest.raises(ValueError, match="there is no split 'valid'"):
        source_of(SMALL).entries("valid")


def test_a_grammar_that_runs_dry_names_the_key_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Sentence(("I", "WORK", "NOT"), "i do not work at school.")
    monkeypatch.setattr(grammar, "sample_sentence", lambda rng: only)
    with pytest.raises(ValueError, match=r"lower corpus\.synthetic\.\w+_clips"):
        sentences(grammar.split_of(only.text), 2, seed=1)
