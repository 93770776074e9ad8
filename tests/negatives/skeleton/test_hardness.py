"""Hardness control: what is kept lies in the band, and no clip's negatives depend on the batch."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from support.preferences import preference_columns
from torch import Tensor

from signdpo.config import BandConfig, Config, ConfigError, HardnessConfig, NegativesConfig, load_config
from signdpo.data.batches import PreferenceBatch
from signdpo.data.statistics import batch_statistics, run_statistics
from signdpo.levels import LEVELS, SKELETON_LEVELS
from signdpo.negatives.skeleton.hardness import Band, DrawnNegative, draw_within_band
from signdpo.negatives.skeleton.negative import UNCHANGED, ClipToPerturb
from signdpo.totals import means

FRAMES, CLIPS = 24, 6


def sources(count: int = CLIPS) -> list[ClipToPerturb]:
    made = []
    for row in range(count):
        keypoints = torch.rand(FRAMES, 69, 3, generator=torch.Generator().manual_seed(row)) * 0.8 - 0.4
        keypoints[..., 2] = 1.0
        parts = torch.tensor([0.3, 0.1, 0.5, 0.1])
        made.append(
            ClipToPerturb(
                f"clip {row}", "text", keypoints.half().float(), torch.arange(FRAMES).float(), parts, (1, 0, row)
            )
        )
    return made


CONFIG = Config().negatives


class Displacement:
    """A reference to which a clip costs `scale` times its mean displacement; each call is off by up to `noise`."""

    def __init__(self, scale: float, noise: float = 0.0, seed: int = 0) -> None:
        self.scale, self.noise, self.rng = scale, noise, np.random.default_rng(seed)
        self.clips = [source.keypoints for source in sources()]
        self.calls: list[int] = []

    def __call__(self, rows: Sequence[int], clips: Sequence[Tensor]) -> Tensor:
        self.calls.append(len(rows))
        moved = [float((clip - self.clips[row]).abs().mean()) for row, clip in zip(rows, clips, strict=True)]
        error = 0.0 if len(rows) == 1 else self.rng.uniform(-self.noise, self.noise, len(rows))
        return torch.from_numpy(-self.scale * np.array(moved) + error).float()


def settled_by(
    score: Displacement, config: NegativesConfig = CONFIG, band: Band | None = None, noise: float = 0.0
) -> list[dict[str, DrawnNegative]]:
    hardness = config.hardness
    bands = [band or Band.at(0, 1, hardness.skeleton, hardness, tokens=10)] * CLIPS
    return draw_within_band(sources(), torch.zeros(CLIPS), bands, score, config, SKELETON_LEVELS, noise=noise)


def every(result: list[dict[str, DrawnNegative]]) -> list[DrawnNegative]:
    assert all(set(row) == set(SKELETON_LEVELS) for row in result)
    return [settled for row in result for settled in row.values()]


@pytest.mark.parametrize("scale", [0.0, 5.0, 50.0, 500.0])
def test_accepted_negatives_lie_inside_the_band_and_others_were_redrawn_as_often_as_allowed(scale: float) -> None:
    band = Band(0.5, 3.0)
    for each in every(settled_by(Displacement(scale), band=band)):
        assert each.accepted == (0.5 <= each.margin <= 3.0)
        assert each.accepted or each.redraws == CONFIG.hardness.redraws
        assert each.negative.operation != UNCHANGED


def test_too_easy_ones_are_drawn_weaker_and_too_hard_ones_stronger() -> None:
    band = Band(1.0, 2.0)
    easy = every(settled_by(Displacement(1000.0), band=band))
    hard = every(settled_by(Displacement(0.01), band=band))
    assert {each.negative.strength for each in hard} == {1.0}
    drawn = {level: CONFIG.strength[level] / 4 for level in SKELETON_LEVELS}  # halved twice
    assert {each.negative.strength for each in easy if not each.accepted} <= set(drawn.values())


def test_redraws_rescue_some_that_would_be_masked() -> None:
    band = Band(0.5, 2.0)
    never = CONFIG.model_copy(update={"hardness": CONFIG.hardness.model_copy(update={"redraws": 0})})
    with_redraws, without = (every(settled_by(Displacement(20.0), config, band)) for config in (CONFIG, never))
    assert sum(each.accepted for each in with_redraws) > sum(each.accepted for each in without)


def test_only_what_is_drawn_again_is_scored_again_all_clips_together() -> None:
    score = Displacement(20.0)
    redrawn = [each.redraws for each in every(settled_by(score, band=Band(0.5, 2.0)))]
    assert score.calls == [count for count in (sum(n >= r for n in redrawn) for r in range(3)) if count]


def test_rounding_of_scores_never_decides() -> None:
    """Many ends of the band, so that margins lie near some of them; errors as batches of other clips would make."""
    exact = [each.margin for each in every(settled_by(Displacement(20.0), band=Band(-1e9, 1e9)))]
    for low in exact[::4]:
        band = Band(low, low + 1.0)
        outcomes = {
            tuple((each.redraws, each.accepted, each.negative.operation) for each in every(settled))
            for settled in (settled_by(Displacement(20.0, 1e-4, seed), band=band, noise=1e-3) for seed in range(4))
        }
        assert len(outcomes) == 1


def test_a_clip_that_nothing_changes_is_masked_and_not_drawn_again() -> None:
    score = Displacement(1.0)
    score.clips = [torch.zeros(FRAMES, 69, 3)]
    still = ClipToPerturb("clip", "text", score.clips[0], torch.ones(FRAMES), torch.ones(4) / 4, (1, 0, "clip"))
    bands = [Band(-1.0, 1.0)]
    (settled,) = draw_within_band([still], torch.zeros(1), bands, score, CONFIG, SKELETON_LEVELS, noise=0.0)
    assert [(each.accepted, each.redraws) for each in settled.values()] == [(False, 0)] * 4


def test_the_band_hardens_linearly_over_the_epochs() -> None:
    ends, config = BandConfig(min_margin=1.0, max_margin=11.0), HardnessConfig(unit="sentence", harden=0.6)
    bands = [Band.at(epoch, 3, ends, config, tokens=7) for epoch in range(3)]
    assert bands == [Band(1.0, 11.0), Band(1.0, 8.0), Band(1.0, 5.0)]
    assert Band.at(0, 1, ends, config, tokens=7) == Band(1.0, 11.0)


def test_a_band_a_token_is_as_much_wider_as_the_sentence_has_tokens() -> None:
    ends, config = BandConfig(min_margin=0.25, max_margin=1.0), HardnessConfig(unit="token", harden=0.5)
    assert [Band.at(0, 2, ends, config, tokens=count) for count in (4, 40)] == [Band(1.0, 4.0), Band(10.0, 40.0)]
    assert Band.at(1, 2, ends, config, tokens=4) == Band(1.0, 2.5)


def test_an_end_of_the_band_may_be_open() -> None:
    config = HardnessConfig(harden=0.5)
    assert 1e9 in Band.at(1, 2, BandConfig(min_margin=0.0), config, tokens=9)
    assert -0.1 not in Band.at(1, 2, BandConfig(min_margin=0.0), config, tokens=9)
    assert -1e9 in Band.at(1, 2, BandConfig(max_margin=0.0), config, tokens=9)
    assert not Band.at(0, 1, BandConfig(), config, tokens=9).is_near(0.0, 1.0)


def test_only_the_levels_that_are_wanted_are_drawn_and_scored() -> None:
    score, bands = Displacement(20.0), [Band(-1e9, 1e9)] * CLIPS
    drawn = draw_within_band(sources(), torch.zeros(CLIPS), bands, score, CONFIG, ["temporal_local"], noise=0.0)
    assert [list(row) for row in drawn] == [["temporal_local"]] * CLIPS
    assert score.calls == [CLIPS]
    assert draw_within_band(sources(), torch.zeros(CLIPS), bands, score, CONFIG, [], noise=0.0) == [{}] * CLIPS
    assert score.calls == [CLIPS]


def test_a_band_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hardness\.skeleton: min_margin=13\.0 must be less than max_margin=1\.5"):
        load_config(None, ["negatives.hardness.skeleton.min_margin=13"])


def test_statistics_of_batches_add_up_to_those_of_a_run() -> None:
    def batch(valid: list[bool], margin: float, redraws: int, clips: int) -> PreferenceBatch:
        columns = preference_columns(
            clips,
            valid=[np.array(valid)] * clips,
            reference_margins=[np.full(6, margin, np.float32)] * clips,
            redraws=[np.full(4, redraws, np.int32)] * clips,
        )
        return PreferenceBatch.collate(columns)

    first, second = batch([True] * 6, 2.0, 0, 30), batch([False, *[True] * 5], 5.0, 2, 10)
    metrics = [means(batch_statistics(first)) | {"rows": 30}, means(batch_statistics(second)) | {"rows": 10}]
    assert metrics[1]["negatives/accepted/spatial_global"] == 0
    run = run_statistics(metrics)
    assert list(run) == list(LEVELS)
    assert run["spatial_global"].model_dump() == pytest.approx(
        {"accepted": 0.75, "masked": 0.25, "redrawn": 0.25, "margin": 2.0, "strength": 0.5}
    )
    assert run["temporal_local"].margin == pytest.approx((30 * 2.0 + 10 * 5.0) / 40)
    assert (run["language"].redrawn, run["language"].strength) == (None, None)
