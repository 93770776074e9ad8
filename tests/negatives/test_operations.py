"""Skeleton perturbations: what each promises to change, and to leave alone."""

import pytest
import torch
from torch import Tensor

from signdpo.config import Config, ConfigError, load_config
from signdpo.levels import SKELETON_LEVELS
from signdpo.negatives.operations import OPERATIONS, Region, perturb
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeletons import UNCHANGED, check_operations, skeleton_negatives
from signdpo.seeding import derive_seed
from signdpo.skeleton.layout import BONES, PARTS

FRAMES = 30


def clip(seed: int = 0, *, left_hand: bool = True) -> Tensor:
    keypoints = torch.rand(FRAMES, 69, 3, generator=torch.Generator().manual_seed(seed)) * 0.8 - 0.4
    keypoints[..., 2] = 1.0
    if not left_hand:
        keypoints[:, PARTS["left_hand"]] = 0.0
    keypoints[3, 40] = 0.0  # a joint that was not seen
    return keypoints.half().float()


LOCAL = Region(windows=((5, 11), (20, 26)), parts=("right_hand", "body"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_outside_the_region_changes(name: str) -> None:
    keypoints = clip()
    changed = perturb(keypoints, name, LOCAL, 0.9, generator(1))
    outside = ~LOCAL.mask(FRAMES)
    assert torch.equal(changed[outside], keypoints[outside])
    assert changed.shape == keypoints.shape


@pytest.mark.parametrize("name", OPERATIONS)
def test_strength_zero_is_the_identity(name: str) -> None:
    assert torch.equal(perturb(clip(), name, LOCAL, 0.0, generator(1)), clip())


@pytest.mark.parametrize("name", OPERATIONS)
def test_full_strength_changes_the_clip(name: str) -> None:
    assert not torch.equal(perturb(clip(), name, Region.whole(FRAMES), 1.0, generator(1)), clip())


@pytest.mark.parametrize("name", ["bend_fingers", "turn_hands", "shear_space"])
def test_a_missing_joint_stays_missing(name: str) -> None:
    assert perturb(clip(), name, Region.whole(FRAMES), 1.0, generator(1))[3, 40].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["bend_fingers", "turn_hands"])
def test_bone_lengths_of_the_hands_stay(name: str) -> None:
    keypoints = clip()
    changed = perturb(keypoints, name, Region.whole(FRAMES), 1.0, generator(2))
    seen = torch.arange(FRAMES) != 3
    inside = (changed[..., :2].abs() < 1).all(-1)
    for first, second in BONES["right_hand"]:
        first, second = first + PARTS["right_hand"].start, second + PARTS["right_hand"].start
        unclipped = seen & inside[:, first] & inside[:, second]
        before = (keypoints[:, first, :2] - keypoints[:, second, :2]).norm(dim=-1)[unclipped]
        after = (changed[:, first, :2] - changed[:, second, :2]).norm(dim=-1)[unclipped]
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_reverse_plays_backwards() -> None:
    whole = Region.whole(FRAMES)
    assert torch.equal(perturb(clip(), "reverse", whole, 1.0, generator(0)), clip().flip(0))


def test_freeze_holds_the_first_frame_of_a_window() -> None:
    region = Region(windows=((5, 11),), parts=tuple(PARTS))
    changed = perturb(clip(), "freeze", region, 1.0, generator(0))
    assert torch.equal(changed[5:11], clip()[5].expand(6, -1, -1))


def test_shuffled_segments_are_the_same_frames_in_another_order() -> None:
    changed = perturb(clip(), "shuffle_segments", Region.whole(FRAMES), 1.0, generator(0))
    order = [next(i for i in range(FRAMES) if torch.equal(frame, clip()[i])) for frame in changed]
    assert sorted(order) == list(range(FRAMES))
    assert order != list(range(FRAMES))


def test_swapped_windows_hold_each_others_frames() -> None:
    region = Region(windows=((5, 11), (20, 26)), parts=tuple(PARTS))
    changed = perturb(clip(), "swap_windows", region, 1.0, generator(0))
    assert torch.equal(changed[5:11], clip()[20:26])
    assert torch.equal(changed[20:26], clip()[5:11])


def negatives_of(keypoints: Tensor, *seed: str | int) -> tuple[dict[str, Tensor], dict[str, str]]:
    return skeleton_negatives(
        keypoints, torch.arange(FRAMES).float(), torch.tensor([0.2, 0.1, 0.6, 0.1]), Config().negatives, seed
    )


def test_negatives_depend_on_their_seed_alone() -> None:
    first, operations = negatives_of(clip(), 1, 0, "clip")
    torch.manual_seed(99)
    again, _ = negatives_of(clip(), 1, 0, "clip")
    other_epoch, _ = negatives_of(clip(), 1, 1, "clip")
    for level in SKELETON_LEVELS:
        assert torch.equal(first[level], again[level])
        assert operations[level] != UNCHANGED
    assert any(not torch.equal(first[level], other_epoch[level]) for level in SKELETON_LEVELS)


def test_negatives_are_rounded_to_what_is_stored() -> None:
    for negative in negatives_of(clip(), 1, 0, "clip")[0].values():
        assert torch.equal(negative, negative.half().float())


def test_a_clip_that_no_operation_changes_is_marked() -> None:
    still = torch.zeros(FRAMES, 69, 3)
    negatives, operations = negatives_of(still, 1, 0, "clip")
    assert set(operations.values()) == {UNCHANGED}
    assert torch.equal(negatives["spatial_local"], still)


def test_unknown_operation_is_refused_with_the_known_ones() -> None:
    config = load_config(None, ["negatives.operations.spatial_local={bend_toes: 1.0}"])
    with pytest.raises(ConfigError, match=r"spatial_local\.bend_toes.*bend_fingers"):
        check_operations(config.negatives)


def test_seeds_differ_by_every_part_and_fit_torch() -> None:
    seeds = {derive_seed(*parts) for parts in [(1, 0, "a"), (1, 1, "a"), (2, 0, "a"), (1, 0, "b"), (10, "a")]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
