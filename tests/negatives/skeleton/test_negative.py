"""A skeleton negative depends on its seed alone, and its donor is another clip of another sentence."""

from collections import Counter

import pytest
import torch
from support.small_start import SmallStart
from torch import Tensor

from signdpo.config import Config
from signdpo.data.clips import read_clips
from signdpo.levels import SKELETON_LEVELS
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeleton.donors import NO_DONORS, DonorPool
from signdpo.negatives.skeleton.negative import (
    UNCHANGED,
    ClipToPerturb,
    SkeletonNegative,
    needs_donors,
    skeleton_negative,
)

FRAMES = 30
CONFIG = Config().negatives


def random_clip(seed: int) -> Tensor:
    keypoints = torch.rand(FRAMES, 69, 3, generator=torch.Generator().manual_seed(seed)) * 0.8 - 0.4
    keypoints[..., 2] = 1.0
    return keypoints.half().float()


DONORS = DonorPool(["a", "b", "c"], ["One.", "Two.", "two."], [random_clip(seed) for seed in (1, 2, 3)])


def source(epoch: int = 0, keypoints: Tensor | None = None) -> ClipToPerturb:
    frames, parts = torch.arange(FRAMES).float(), torch.tensor([0.2, 0.1, 0.6, 0.1])
    clip = random_clip(0) if keypoints is None else keypoints
    return ClipToPerturb("clip", "Zero.", clip, frames, parts, (1, epoch, "clip"), DONORS)


def negatives_of(made_from: ClipToPerturb, redraw: int = 0) -> dict[str, SkeletonNegative]:
    return {
        level: skeleton_negative(made_from, level, CONFIG, strength=0.8, redraw=redraw) for level in SKELETON_LEVELS
    }


def test_negatives_depend_on_their_seed_alone() -> None:
    first = negatives_of(source())
    torch.manual_seed(99)
    again, epoch, redraw = negatives_of(source()), negatives_of(source(epoch=1)), negatives_of(source(), redraw=1)
    for level in SKELETON_LEVELS:
        assert torch.equal(first[level].keypoints, again[level].keypoints)
        assert first[level].operation != UNCHANGED
        assert not torch.equal(first[level].keypoints, redraw[level].keypoints)
    assert any(not torch.equal(first[level].keypoints, epoch[level].keypoints) for level in SKELETON_LEVELS)


def test_negatives_are_rounded_to_what_is_stored() -> None:
    for negative in negatives_of(source()).values():
        assert torch.equal(negative.keypoints, negative.keypoints.half().float())


def test_a_clip_that_no_operation_changes_is_marked() -> None:
    still = torch.zeros(FRAMES, 69, 3)
    level = "spatial_local"
    negative = skeleton_negative(source(keypoints=still), level, CONFIG, strength=0.8)
    assert negative.operation == UNCHANGED
    assert torch.equal(negative.keypoints, still)


def drawn(clip: str, text: str) -> Counter[str]:
    donors = (DONORS.draw(clip, text, generator(seed)) for seed in range(60))
    where = {id(keypoints): name for name, keypoints in zip(DONORS.ids, DONORS.clips, strict=True)}
    return Counter(where[id(donor)] for donor in donors if donor is not None)


def test_a_donor_is_never_the_clip_itself_nor_one_of_its_sentence() -> None:
    assert set(drawn("x", "Zero.")) == {"a", "b", "c"}
    assert set(drawn("a", "Zero.")) == {"b", "c"}
    assert drawn("b", "TWO.") == {"a": 60}
    assert DonorPool(["a"], ["One."], [random_clip(1)]).draw("b", "one.", generator(0)) is None
    assert NO_DONORS.draw("b", "one.", generator(0)) is None


def test_the_pool_is_drawn_by_the_seed_from_the_training_clips(small_start: SmallStart) -> None:
    clips = str(small_start.directory / "clips")
    pool, again, other = (DonorPool.load(clips, count=20, seed=seed, max_frames=30) for seed in (1, 1, 2))
    assert list(pool.ids) == list(again.ids)
    assert set(pool.ids) != set(other.ids)
    assert len(set(pool.ids)) == 20
    training = read_clips(clips, "train")
    assert set(pool.ids) <= set(training["id"].to_pylist())
    assert max(len(clip) for clip in pool.clips) <= 30
    everything = DonorPool.load(clips, count=1000, seed=1, max_frames=256)
    assert len(everything.ids) == training.num_rows


@pytest.mark.parametrize(("weight", "needed"), [(1.0, True), (0.0, False)])
def test_donors_are_read_only_where_an_operation_needs_them(weight: float, needed: bool) -> None:
    operations = {level: {"reverse": 1.0, "splice": weight} for level in SKELETON_LEVELS}
    config = CONFIG.model_copy(update={"operations": operations})
    assert needs_donors(config, SKELETON_LEVELS) == needed
    assert not needs_donors(config, ())
