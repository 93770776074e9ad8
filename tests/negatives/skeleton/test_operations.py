"""Skeleton perturbations: what each promises to change, and to leave alone."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from signdpo.config import ConfigError, load_config
from signdpo.corpora.synthetic.lexicon import SIGNS
from signdpo.corpora.synthetic.rendering import make_signer, render
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeleton.frames import put
from signdpo.negatives.skeleton.negative import check_operations
from signdpo.negatives.skeleton.operations import OPERATIONS, perturb, takes_donor
from signdpo.negatives.skeleton.region import Region
from signdpo.negatives.skeleton.spatial import ARMS
from signdpo.seeding import derive_seed
from signdpo.skeleton.layout import BONES, PART_ROOTS, PARTS
from signdpo.skeleton.normalisation import normalise

# Operations under which every joint keeps its confidence; the others move frames or hands, or lose them.
IN_PLACE = (
    "bend_fingers",
    "turn_hands",
    "move_hands",
    "distort_limbs",
    "shear_space",
    "rotate_space",
    "transfer_handshape",
)
HANDS = ("left_hand", "right_hand")


def clip(seed: int = 0, signs: int = 4) -> Tensor:
    """A clip of the synthetic corpus, with its missed joints and lost hands."""
    names = sorted(SIGNS)
    gloss = [names[derive_seed(seed, place) % len(names)] for place in range(signs)]
    keypoints, _ = render(gloss, make_signer(seed % 5, 7), seed)
    return torch.from_numpy(normalise(keypoints).copy()).half().float()


CLIP, DONOR = clip(0), clip(1)
FRAMES = len(CLIP)
WHOLE = Region.whole(FRAMES)
LOCAL = Region(windows=((5, 12), (20, 27)), parts=("right_hand", "body"))


def changed_by(name: str, strength: float, seed: int = 0, region: Region = WHOLE, keypoints: Tensor = CLIP) -> Tensor:
    return perturb(keypoints, name, region, strength, generator(seed), DONOR)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Region, float, int]:
    """A clip of any length, a region of it, a strength and a seed."""
    keypoints = clip(draw(st.integers(0, 20)), draw(st.integers(1, 5)))[: draw(st.integers(2, 60))]
    cuts = sorted(draw(st.lists(st.integers(0, len(keypoints)), min_size=2, max_size=6, unique=True)))
    windows = tuple(zip(cuts[::2], cuts[1::2], strict=False))
    parts = draw(st.lists(st.sampled_from(list(PARTS)), min_size=1, unique=True))
    return keypoints, Region(windows, tuple(parts)), draw(st.floats(0, 1)), draw(st.integers(0, 2**31))


def inside(region: Region, frames: int) -> Tensor:
    """What a region says that it is, joint by joint."""
    windows = [frame for begin, end in region.windows for frame in range(begin, end)]
    joints = [joint for part in region.parts for joint in range(69)[PARTS[part]]]
    return torch.tensor([[frame in windows and joint in joints for joint in range(69)] for frame in range(frames)])


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_only_the_region_changes_and_the_clip_stays_one(name: str, case: tuple[Tensor, Region, float, int]) -> None:
    keypoints, region, strength, seed = case
    before = keypoints.clone()
    changed = changed_by(name, strength, seed, region, keypoints)
    assert torch.equal(keypoints, before)  # not in place
    assert changed.shape == keypoints.shape
    outside = ~inside(region, len(keypoints))
    assert torch.equal(changed[outside], keypoints[outside])
    assert bool((changed[..., :2].abs() <= 1).all())
    assert bool((changed[changed[..., 2] == 0] == 0).all())
    if strength == 0:
        assert torch.equal(changed, keypoints)
    if name in IN_PLACE:
        assert torch.equal(changed[..., 2], keypoints[..., 2])
    if name == "mask_parts":
        assert bool(((changed == keypoints).all(-1) | (changed == 0).all(-1)).all())


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=15, deadline=None)
@given(case=cases())
def test_the_number_format_decides_nothing(name: str, case: tuple[Tensor, Region, float, int]) -> None:
    keypoints, region, strength, seed = case
    single = changed_by(name, strength, seed, region, keypoints)
    double = changed_by(name, strength, seed, region, keypoints.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=0)
    assert torch.equal(single, changed_by(name, strength, seed, region, keypoints))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_device_decides_nothing() -> None:
    for name, region in itertools.product(OPERATIONS, (WHOLE, LOCAL)):
        there = changed_by(name, 0.7, 3, region, CLIP.cuda())
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), changed_by(name, 0.7, 3, region), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_joint_is_seen_or_missing_and_never_half(name: str) -> None:
    keypoints, donor = ((each * (each[..., 2:] > 0.5)).clone() for each in (CLIP, DONOR))
    for each in (keypoints, donor):
        each[..., 2] = (each[..., 2] > 0).float()
    for seed in range(5):
        changed = perturb(keypoints, name, Region(((5, 12), (20, 27)), tuple(PARTS)), 0.7, generator(seed), donor)
        assert set(changed[..., 2].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_stronger_the_farther_joints_move(name: str) -> None:
    def displacement(strength: float) -> float:
        moved = [(changed_by(name, strength, seed) - CLIP)[..., :2].norm(dim=-1).mean() for seed in range(40)]
        return float(torch.stack(moved).mean())

    weak, middle, strong = (displacement(strength) for strength in (0.25, 0.5, 1.0))
    assert 0 < weak < middle < strong


@pytest.mark.parametrize("name", filter(takes_donor, OPERATIONS))
def test_without_a_donor_nothing_changes(name: str) -> None:
    assert torch.equal(perturb(CLIP, name, WHOLE, 1.0, generator(0)), CLIP)


def lengths(keypoints: Tensor, bones: list[tuple[int, int]]) -> Tensor:
    """`(frames, bones)`, NaN where an end is missing or may have been clipped at the border."""
    first, second = keypoints[:, [bone[0] for bone in bones]], keypoints[:, [bone[1] for bone in bones]]
    usable = ((first[..., 2] > 0) & (second[..., 2] > 0)) & (torch.maximum(first, second)[..., :2] < 1).all(-1)
    usable &= (torch.minimum(first, second)[..., :2] > -1).all(-1)
    return torch.where(usable, (first - second)[..., :2].norm(dim=-1), torch.nan)


HAND_BONES = [(PARTS[hand].start + a, PARTS[hand].start + b) for hand in HANDS for a, b in BONES[hand]]
ARM_BONES = [bone for arm in ARMS.values() for bone in itertools.pairwise(arm)]


@pytest.mark.parametrize(
    ("name", "bones"),
    [("bend_fingers", HAND_BONES), ("turn_hands", HAND_BONES), ("rotate_space", HAND_BONES + ARM_BONES)],
)
@pytest.mark.parametrize("region", [WHOLE, Region(LOCAL.windows, tuple(PARTS))])
def test_bone_lengths_stay(name: str, bones: list[tuple[int, int]], region: Region) -> None:
    keypoints = CLIP.clone()
    keypoints[(keypoints == 0).any(-1).any(-1)] = CLIP[10]  # a bone whose pivot is missing is not turned
    before, after = lengths(keypoints, bones), lengths(changed_by(name, 1.0, 3, region, keypoints), bones)
    known = ~(before.isnan() | after.isnan())
    assert float(known.double().mean()) > 0.5
    torch.testing.assert_close(after[known], before[known], atol=1e-5, rtol=1e-4)


def test_moved_hands_keep_their_shape_and_stretch_no_arm() -> None:
    changed = changed_by("move_hands", 1.0)
    for hand in HANDS:
        assert torch.equal(changed[:, PARTS[hand]], CLIP[:, PARTS[hand]])
    longest, after = lengths(CLIP, ARM_BONES).nan_to_num().amax(0), lengths(changed, ARM_BONES).nan_to_num()
    whole_arms = (CLIP[:, [joint for arm in ARMS.values() for joint in arm], 2] > 0).all(-1)
    assert bool((after[whole_arms] <= longest + 1e-5).all())


def test_a_hand_moves_only_where_its_wrist_may() -> None:
    only_hand = Region(LOCAL.windows, ("right_hand",))
    assert torch.equal(changed_by("move_hands", 1.0, region=only_hand), CLIP)
    moved = (changed_by("move_hands", 1.0, region=LOCAL) != CLIP).any(-1).any(0).nonzero().flatten().tolist()
    assert moved == [ARMS["right_hand"][1], ARMS["right_hand"][2]]


def test_a_transferred_handshape_keeps_place_and_orientation_of_the_hand() -> None:
    changed = changed_by("transfer_handshape", 1.0)
    for hand in HANDS:
        root, knuckle = PART_ROOTS[hand], PARTS[hand].start + 9
        seen = (CLIP[:, [root, knuckle], 2] > 0).all(-1)
        assert torch.equal(changed[:, root], CLIP[:, root])
        directions = [torch.atan2(*(each[seen, knuckle] - each[seen, root])[:, :2].T) for each in (CLIP, changed)]
        torch.testing.assert_close(directions[1], directions[0], atol=1e-3, rtol=0)


def test_operations_in_place_rise_and_fall_at_the_edges_of_a_window() -> None:
    region = Region(((6, 16),), tuple(PARTS))
    moved = (changed_by("turn_hands", 1.0, region=region) - CLIP)[6:16, PARTS["right_hand"], :2].norm(dim=-1).amax(-1)
    assert float(moved[0]) < 0.7 * float(moved[2:-2].max())
    assert float(moved[-1]) < 0.7 * float(moved[2:-2].max())


def test_what_is_written_into_a_window_joins_on_to_its_surroundings() -> None:
    still = torch.ones(20, 3, 3)
    still[..., :2] = 0.0
    elsewhere = still.clone()
    elsewhere[..., 0] = 0.9
    put(still, (5, 15), elsewhere[5:15])
    steps = still[:, 0, 0].diff().abs()
    assert float(steps.max()) == pytest.approx(0.3)  # 0.9 in three steps
    assert still[7:13, 0, 0].tolist() == pytest.approx([0.9] * 6)
    put(still, (0, 5), elsewhere[0:5])
    assert float(still[0, 0, 0]) == pytest.approx(0.9)  # nothing to join at the beginning of the clip


def test_reverse_plays_backwards() -> None:
    assert torch.equal(changed_by("reverse", 1.0), CLIP.flip(0))


def test_freeze_holds_what_a_window_shows_first_in_the_parts_of_the_region() -> None:
    changed = changed_by("freeze", 1.0, region=Region(((4, 16),), HANDS))
    for joints in map(PARTS.__getitem__, HANDS):
        shown = [frame for frame in range(4, 16) if CLIP[frame, joints].any()]
        inside = [frame for frame in shown if 6 <= frame < 14]
        assert torch.equal(changed[inside][:, joints], CLIP[shown[0], joints].expand(len(inside), -1, -1))
    assert torch.equal(changed[:, PARTS["body"]], CLIP[:, PARTS["body"]])


def test_shuffled_segments_are_the_same_frames_in_another_order() -> None:
    changed = changed_by("shuffle_segments", 1.0)
    order = [next(i for i in range(FRAMES) if torch.equal(frame, CLIP[i])) for frame in changed]
    assert sorted(order) == list(range(FRAMES))
    assert order != list(range(FRAMES))


def test_swapped_windows_hold_each_others_frames() -> None:
    changed = changed_by("swap_windows", 1.0, region=Region(((4, 14), (18, 28)), tuple(PARTS)))
    assert torch.equal(changed[6:12], CLIP[20:26])
    assert torch.equal(changed[20:26], CLIP[6:12])


def timeline(frames: int) -> Tensor:
    """A clip in which a joint's x says which frame it is."""
    keypoints = torch.ones(frames, 69, 3)
    keypoints[..., 0] = torch.arange(frames)[:, None] / frames
    return keypoints


def test_warped_time_runs_forwards_at_uneven_speed() -> None:
    times = changed_by("warp_time", 1.0, keypoints=timeline(40), region=Region.whole(40))[:, 0, 0] * 40
    steps = times.diff()
    assert float(times[0]) == pytest.approx(0, abs=1e-4)
    assert float(times[-1]) == pytest.approx(39, abs=1e-3)
    assert bool((steps > 0).all())
    assert float(steps.max() / steps.min()) > 4


def test_dropped_frames_are_gone_and_the_rest_fills_the_time() -> None:
    times = changed_by("drop", 0.5, keypoints=timeline(40), region=Region.whole(40))[:, 0, 0] * 40
    assert float(times[0]) == pytest.approx(0, abs=1e-4)
    assert float(times[-1]) == pytest.approx(39, abs=1e-3)
    kept = {round(time) for time in times.tolist()}
    assert len(kept) < 28  # 16 of 40 cut, of which linear interpolation shows a few on its way across


def test_a_repeated_movement_goes_forwards_back_and_forwards() -> None:
    times = changed_by("repeat", 1.0, keypoints=timeline(40), region=Region.whole(40))[:, 0, 0] * 40
    turns = (times.diff().sign().diff() != 0).sum()
    assert int(turns) == 2
    assert float(times.diff().abs().max()) < 3.1


def test_a_splice_is_the_donors_and_at_most_half_of_the_clip() -> None:
    changed = changed_by("splice", 1.0)
    foreign = [frame for frame in changed if any(torch.equal(frame, other) for other in DONOR)]
    assert FRAMES / 2 - 5 <= len(foreign) <= FRAMES / 2 + 1


def test_masked_parts_are_missing() -> None:
    changed = changed_by("mask_parts", 1.0, region=LOCAL)
    assert not changed[5:12, PARTS["right_hand"]].any()


def test_exchanged_hands_are_mirrored() -> None:
    changed = changed_by("exchange_hands", 1.0)
    mirrored = CLIP[:, PARTS["left_hand"]] * torch.tensor([-1.0, 1.0, 1.0])
    both = CLIP[:, PARTS["left_hand"]].flatten(1).any(1) & CLIP[:, PARTS["right_hand"]].flatten(1).any(1)
    assert torch.equal(changed[both][:, PARTS["right_hand"]], mirrored[both])
    assert torch.equal(changed[~both], CLIP[~both])
    assert 0 < both.sum() < FRAMES
    assert torch.equal(changed[:, PARTS["body"]], CLIP[:, PARTS["body"]])


LEFT_HAND = PARTS["left_hand"]
ONE_HAND = CLIP.clone()
ONE_HAND[:, LEFT_HAND] = 0.0


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_hand_that_a_clip_never_shows_does_not_appear(name: str) -> None:
    changed = changed_by(name, 1.0, keypoints=ONE_HAND)
    assert not changed[:, LEFT_HAND].any()
    assert (changed[:, PARTS["right_hand"], 2] > 0).any() or name == "mask_parts"


@pytest.mark.parametrize("name", filter(takes_donor, OPERATIONS))
def test_a_hand_is_not_lost_to_a_donor_that_never_shows_it(name: str) -> None:
    changed = perturb(CLIP, name, WHOLE, 1.0, generator("seed"), ONE_HAND.flip(0))
    assert torch.equal(changed[:, LEFT_HAND], CLIP[:, LEFT_HAND])
    assert not torch.equal(changed, CLIP)


def test_hands_are_exchanged_only_where_both_are_seen() -> None:
    assert torch.equal(changed_by("exchange_hands", 1.0, keypoints=ONE_HAND), ONE_HAND)
    half = torch.cat([ONE_HAND[: FRAMES // 2], CLIP[FRAMES // 2 :]])
    changed = changed_by("exchange_hands", 1.0, keypoints=half)
    assert torch.equal(changed[: FRAMES // 2], half[: FRAMES // 2])
    assert not torch.equal(changed[FRAMES // 2 :], half[FRAMES // 2 :])


def test_a_part_that_is_first_seen_inside_a_window_is_held_from_there() -> None:
    changed = changed_by("freeze", 1.0, keypoints=torch.cat([ONE_HAND[:8], CLIP[8:]]))[:, LEFT_HAND]
    assert not changed[:8].any()
    shown = [frame for frame in range(8, FRAMES) if CLIP[frame, LEFT_HAND].any()]
    assert torch.equal(changed[shown], CLIP[shown[0], LEFT_HAND].expand(len(shown), -1, -1))


def test_unknown_operation_is_refused_with_the_known_ones() -> None:
    config = load_config(None, ["negatives.operations.spatial_local={bend_toes: 1.0}"])
    with pytest.raises(ConfigError, match=r"spatial_local=bend_toes.*bend_fingers"):
        check_operations(config.negatives)


def test_seeds_differ_by_every_part_and_fit_torch() -> None:
    seeds = {derive_seed(*parts) for parts in [(1, 0, "a"), (1, 1, "a"), (2, 0, "a"), (1, 0, "b"), (10, "a")]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
