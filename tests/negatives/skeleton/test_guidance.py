"""Regions of the local levels: salient, or elsewhere on an equal area."""

import pytest
import torch
from torch import Tensor

from signdpo.config import Config, Guidance, NegativesConfig, load_config
from signdpo.levels import BY_NAME, SKELETON_LEVELS
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeleton.guidance import area, region_of, salient_parts, salient_windows
from signdpo.negatives.skeleton.negative import ClipToPerturb, skeleton_negative
from signdpo.negatives.skeleton.region import Region
from signdpo.skeleton.layout import PARTS

FRAMES = 36
LOCAL = ("spatial_local", "temporal_local")
RIGHT_HAND = torch.tensor([0.1, 0.1, 0.7, 0.1])
ALL_JOINTS = torch.ones(FRAMES, 69, dtype=torch.bool)


def peaked() -> Tensor:
    salience = torch.ones(FRAMES)
    salience[8:14] = 20.0
    salience[24:30] = 10.0
    return salience / salience.sum()


def negatives_config(*overrides: str) -> NegativesConfig:
    return load_config(None, [f"negatives.{each}" for each in overrides]).negatives


def region(
    level: str, guidance: Guidance, *seed: int, parts: Tensor = RIGHT_HAND, present: Tensor = ALL_JOINTS
) -> Region:
    config = negatives_config(f"guidance={guidance}")
    return region_of(level, peaked(), parts, present, config, generator("region", *seed))


def frames_of(chosen: Region) -> list[int]:
    return [frame for begin, end in chosen.windows for frame in range(begin, end)]


def test_windows_lie_on_the_peaks_wherever_those_are() -> None:
    assert salient_windows(peaked(), 0.35) == ((8, 14), (24, 30))  # neither is a multiple of the length, 6


def test_windows_keep_a_distance_so_that_one_sign_does_not_fill_two() -> None:
    salience = torch.full((FRAMES,), 0.1)
    salience[8:20] = 1.0  # one long sign
    first, second = sorted(salient_windows(salience, 0.1))
    assert second[0] - first[1] >= 3


@pytest.mark.parametrize("share", [0.1, 0.35, 0.7, 1.0])
@pytest.mark.parametrize("num_frames", [4, 7, FRAMES])
def test_windows_hold_the_configured_share_and_do_not_overlap(share: float, num_frames: int) -> None:
    salience = torch.rand(num_frames, generator=torch.Generator().manual_seed(3))
    windows = salient_windows(salience, share)
    frames = [frame for begin, end in windows for frame in range(begin, end)]
    assert len(frames) == len(set(frames))
    assert set(frames) <= set(range(num_frames))
    assert float(salience[frames].sum()) >= share * float(salience.sum()) - 1e-5
    assert len(windows) >= 2  # never fewer, so that there are two to exchange


def test_a_clip_shorter_than_a_window_is_one_window() -> None:
    assert salient_windows(torch.ones(2), 0.5) == ((0, 2),)


def test_salient_parts_are_the_fewest_that_hold_the_share() -> None:
    assert salient_parts(RIGHT_HAND, 0.5) == ("right_hand",)
    assert salient_parts(torch.tensor([0.3, 0.1, 0.5, 0.1]), 0.6) == ("right_hand", "body")


def test_the_configured_share_decides_how_much_is_covered() -> None:
    little, much = (
        region_of("spatial_local", peaked(), RIGHT_HAND, ALL_JOINTS, config, generator(0))
        for config in (negatives_config("salience.share=0.2"), negatives_config("salience.share=0.9"))
    )
    assert area(little, ALL_JOINTS) < area(much, ALL_JOINTS)
    assert len(little.parts) < len(much.parts)


@pytest.mark.parametrize("guidance", ["attention", "random", "uniform"])
def test_global_levels_may_change_everything_and_local_ones_may_not(guidance: Guidance) -> None:
    for level in SKELETON_LEVELS:
        everything = bool(region(level, guidance).mask(FRAMES).all())
        assert everything == (BY_NAME[level].scope == "global")


@pytest.mark.parametrize("level", LOCAL)
@pytest.mark.parametrize("guidance", ["random", "uniform"])
@pytest.mark.parametrize("parts", [[0.1, 0.1, 0.7, 0.1], [0.7, 0.1, 0.1, 0.1], [0.25, 0.05, 0.3, 0.4]])
def test_other_guidance_has_as_many_windows_and_the_same_area(
    level: str, guidance: Guidance, parts: list[float]
) -> None:
    guided = region(level, "attention", parts=torch.tensor(parts))
    target = area(guided, ALL_JOINTS)
    for seed in range(20):
        other = region(level, guidance, seed, parts=torch.tensor(parts))
        frames = frames_of(other)
        assert len(other.windows) == len(guided.windows)
        assert len(frames) == len(set(frames))
        assert set(frames) <= set(range(FRAMES))
        joints = sum(PARTS[part].stop - PARTS[part].start for part in other.parts)
        assert abs(area(other, ALL_JOINTS) - target) <= joints / 2  # to the nearest frame
        if guidance == "random":
            assert len(other.parts) == len(guided.parts)


def test_random_windows_of_all_parts_keep_their_lengths() -> None:
    lengths = sorted(end - begin for begin, end in region("temporal_local", "attention").windows)
    for seed in range(20):
        assert sorted(end - begin for begin, end in region("temporal_local", "random", seed).windows) == lengths


def test_random_regions_reach_every_frame_and_part() -> None:
    drawn = [region("spatial_local", "random", seed) for seed in range(200)]
    assert {frame for each in drawn for frame in frames_of(each)} == set(range(FRAMES))
    assert {part for each in drawn for part in each.parts} == {"left_hand", "right_hand", "face", "body"}


def test_a_part_that_is_not_there_is_no_place_to_perturb() -> None:
    present = ALL_JOINTS.clone()
    present[:, PARTS["left_hand"]] = False
    target = area(region("spatial_local", "attention", present=present), present)
    for seed in range(20):
        other = region("spatial_local", "random", seed, present=present)
        assert other.parts != ("left_hand",)
        assert area(other, present) == pytest.approx(target, abs=11)


def test_uniform_windows_are_evenly_spread() -> None:
    windows = region("temporal_local", "uniform").windows
    assert windows == ((6, 12), (24, 30))  # 36 frames, two windows of 6, gaps of 6, 12 and 6


def test_a_random_region_depends_on_its_seed_alone() -> None:
    assert region("spatial_local", "random", 1) == region("spatial_local", "random", 1)
    assert len({region("spatial_local", "random", seed) for seed in range(10)}) > 1


def test_guidance_is_read_where_negatives_are_made() -> None:
    keypoints = torch.rand(FRAMES, 69, 3, generator=torch.Generator().manual_seed(0)).half().float()
    source = ClipToPerturb("clip", "A sentence.", keypoints, peaked(), RIGHT_HAND, (1, 0, "clip"))
    for level in LOCAL:
        made = {
            guidance: skeleton_negative(source, level, negatives_config(f"guidance={guidance}"), strength=1.0)
            for guidance in ("attention", "random", "uniform")
        }
        if level == "temporal_local":
            assert len({negative.operation for negative in made.values()}) == 1  # the same, elsewhere
        assert not torch.equal(made["attention"].keypoints, made["random"].keypoints)
        assert not torch.equal(made["attention"].keypoints, made["uniform"].keypoints)


def test_attention_is_the_default() -> None:
    assert Config().negatives.guidance == "attention"
