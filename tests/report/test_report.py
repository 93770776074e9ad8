"""The report is one file that stands alone, says what it was given, and shows what a perturbation changed."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.offsetbox import TextArea
from matplotlib.text import Text
from PIL import Image

from signdpo.levels import BY_NAME, LEVELS, SKELETON_LEVELS
from signdpo.report.animation import save_animation
from signdpo.report.curves import ALIGNMENT, curves_figure, running_mean, series
from signdpo.report.gallery import gallery
from signdpo.report.html import Comparison, ReportData, TranslationExample, render
from signdpo.report.negatives import NegativeExample, differs, moments, negative_figure
from signdpo.report.svg import INK, to_svg
from signdpo.skeleton.layout import PARTS

SCORES = {
    "bleu1": 50.0,
    "bleu2": 36.0,
    "bleu3": 28.0,
    "bleu4": 21.3,
    "chrf": 45.0,
    "rouge_l": 40.0,
    "signature": "tok:13a",
}
BOOTSTRAP = {"p_value": 0.012, "confidence_low": -0.2, "confidence_high": 1.9, "samples": 1000}


def random_clip(frames: int, seed: int) -> np.ndarray:
    clip = np.random.default_rng(seed).uniform(-1, 1, size=(frames, 69, 3)).astype(np.float32)
    clip[..., 2] = 1.0
    return clip


def negative_example(text: str = "go home now", rejected_text: str = "go away now") -> NegativeExample:
    clip = random_clip(30, seed=1)
    frozen = clip.copy()
    frozen[10:20] = frozen[10]
    return NegativeExample(
        id="clip-7",
        text=text,
        rejected_text=rejected_text,
        keypoints=clip,
        perturbed={**dict.fromkeys(SKELETON_LEVELS, clip[::-1]), "temporal_local": frozen},
        frame_salience=np.linspace(0, 1, 30),
        part_salience=np.array([1.0, 2.0, 6.0, 1.0]),
        operations={"temporal_local": "freeze"},
        reference_margins={level: index - 1.5 for index, level in enumerate(LEVELS)},
    )


def rows(count: int = 60) -> list[dict[str, float]]:
    return [
        {"step": step, "loss": 1 / (1 + step), "logps/chosen": -30.0 - step, "wait_share": 0.1}
        | {f"rewards/margins/{level}": 0.1 * step for level in LEVELS}
        | {f"rewards/accuracies/{level}": 0.5 for level in LEVELS}
        for step in range(count)
    ]


def full_report() -> ReportData:
    return ReportData(
        title="A <run>",
        facts={"clips": "480 train"},
        config="seed: 1",
        quarantine={"text is empty": 2, "no confident joint": 7},
        comparisons=[Comparison("dev", 60, SCORES, {**SCORES, "bleu4": 22.4, "chrf": 44.7}, BOOTSTRAP)],
        pretraining=rows(),
        alignment=rows(),
        negatives=[negative_example()],
        negative_statistics={
            "temporal_local": {"accepted": 0.875, "masked": 0.125, "redrawn": 0.333, "margin": 4.2, "strength": 0.9},
            "language": {"accepted": 0.75, "masked": 0.25, "margin": 5.0},
        },
        translations=[TranslationExample("t-1", "he is <here>", "he was here", "he is here")],
        warnings=["the chosen text became less likely"],
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render(full_report())


class TagBalance(HTMLParser):
    """Fails at a tag that closes what was not open."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_fetches_nothing(page: str) -> None:
    checker = TagBalance()
    checker.feed(page)
    assert checker.open == []
    # Names of XML namespaces are the only addresses.
    assert set(re.findall(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://[^"\s<]+', page)) <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in page
    assert not re.search(r"url\((?!#)|@import|<link|<img", page)


def test_every_text_is_escaped() -> None:
    count = itertools.count()
    texts = []

    def hostile() -> str:
        texts.append(f'<b id="{next(count)}">&')
        return texts[-1]

    example = negative_example(f"go {hostile()} now", f"go {hostile()} now")
    example = dataclasses.replace(example, id=hostile(), operations=dict.fromkeys(SKELETON_LEVELS, hostile()))
    drawn = render(
        ReportData(
            title=hostile(),
            facts={hostile(): hostile()},
            config=hostile(),
            quarantine={hostile(): 1},
            comparisons=[Comparison("dev", 1, {**SCORES, "signature": hostile()})],
            negatives=[example],
            translations=[TranslationExample(hostile(), hostile(), hostile(), hostile())],
            warnings=[hostile()],
        )
    )
    drawn += gallery(hostile(), [example], {hostile(): hostile()}, {example.id: hostile()})
    assert "<b id=" not in drawn
    plain = unescape(re.sub("</?mark[^>]*>", "", drawn))
    assert [text for text in texts if text not in plain] == []


def test_the_page_tells_counts_scores_differences_and_significance(page: str) -> None:
    text = re.sub(r"<[^>]+>", " ", page)
    assert "9 clips were refused" in text
    assert text.index("7  no confident joint") < text.index("2  text is empty")
    assert "21.30" in text
    assert "22.40" in text
    assert "+1.10" in text
    assert "\u22120.30" in text
    assert "p = 0.012, significant at 0.05" in text
    assert "\u22120.20 to +1.90" in text


def test_the_headline_tells_each_split_and_calls_only_a_significant_change_better() -> None:
    aligned = {**SCORES, "bleu4": 22.4}
    chance = Comparison("test", 58, SCORES, aligned, {**BOOTSTRAP, "p_value": 0.3})
    page = render(ReportData("run", comparisons=[Comparison("dev", 60, SCORES, aligned, BOOTSTRAP), chance]))
    headline = page.partition('<div class="headline">')[2].partition("<section>")[0]
    assert re.findall(r'<span class="(\w+)">([^<]*)', headline) == [("better", "+1.10"), ("same", "+1.10")]
    text = " ".join(re.sub(r"<[^>]+>", "", headline).split())
    assert "dev, 60 sentences; checkpoints were selected on it BLEU-4 21.30 → 22.40" in text
    assert "test, 58 sentences; held out BLEU-4 21.30 → 22.40 +1.10 p = 0.300, not significant at 0.05" in text


def test_the_page_tells_what_became_of_the_negatives(page: str) -> None:
    cells = [re.findall(r"<td>([^<]*)</td>", row) for row in re.findall(r"<tr><th>\w+ ?\w*</th>.*?</tr>", page)]
    assert ["87.5%", "33.3%", "12.5%", "4.20", "0.90"] in cells
    assert ["75.0%", "", "25.0%", "5.00", ""] in cells


def test_the_chosen_log_probability_is_compared_with_step_zero() -> None:
    # The last tenth of 60 steps is 54 to 59, whose mean is -30 - 56.5.
    assert "fell from \u221230.00 at step zero to \u221286.50" in render(ReportData("run", alignment=rows(60)))


def test_what_was_not_run_has_no_section() -> None:
    page = render(ReportData("only pre-trained", pretraining=rows()))
    assert "Pre-training" in page
    for title in ("Preference optimisation", "Negatives", "Translations", "Translation quality", "Configuration"):
        assert title not in page


def test_a_baseline_without_an_aligned_policy_is_shown_alone() -> None:
    page = render(ReportData("baseline", comparisons=[Comparison("dev", 60, SCORES)]))
    assert "21.30" in page
    assert "difference" not in page


def test_the_same_data_gives_the_same_bytes(page: str) -> None:
    assert render(full_report()) == page


def marked(sentence: str, other: str) -> str:
    """The sentence as the page shows a baseline's translation beside its reference."""
    page = render(ReportData("run", translations=[TranslationExample("t-1", other, sentence, "")]))
    return page.partition("<dt>baseline</dt><dd>")[2].partition("</dd>")[0]


@pytest.mark.parametrize(
    ("sentence", "other", "expected"),
    [
        ("go home now", "go away now", "go <mark>home</mark> now"),
        ("他今年四岁。", "他今年五十岁。", "他今年<mark>四</mark>岁。"),
        ("Go home", "go home", "Go home"),
        ("go now", "go home now", 'go<mark class="gap" title="missing: home"></mark> now'),
        ("I don't know", "I don’t care", "I <mark>don&#39;t know</mark>"),
        ("", "yes", '<mark class="gap" title="missing: yes"></mark>'),
    ],
)
def test_differing_words_are_marked(sentence: str, other: str, expected: str) -> None:
    assert marked(sentence, other) == expected


def test_marking_loses_no_character() -> None:
    sentence = "  So, we’re <granting> 2  fees… 给 会员！ "
    assert unescape(re.sub(r"<[^>]+>", "", marked(sentence, "other words"))) == sentence


def test_a_series_leaves_out_rows_without_a_finite_value() -> None:
    logged = [{"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": math.nan}, {"step": 4, "loss": 1.0}]
    steps, values = series(logged, "loss")
    assert steps.tolist() == [1, 4]
    assert values.tolist() == [2.0, 1.0]


def test_the_running_mean_at_the_ends_is_over_what_is_there() -> None:
    assert running_mean(np.array([1.0, 2.0, 6.0]), 3).tolist() == [1.5, 3.0, 4.0]


def test_every_level_keeps_its_colour_in_every_panel() -> None:
    figure = curves_figure(rows(10), ALIGNMENT)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    for title in ("reward margin", "reward accuracy"):
        colours = [line.get_color() for line in panels[title].lines]
        assert colours[: len(LEVELS)] == [level.colour for level in BY_NAME.values()]


def test_metrics_that_were_not_logged_leave_a_note_in_their_panel() -> None:
    svg = to_svg(curves_figure([{"step": 0, "loss": 1.0}], ALIGNMENT))
    assert "not logged" in svg


def test_svg_takes_its_ink_from_the_page() -> None:
    svg = to_svg(curves_figure(rows(3), ALIGNMENT))
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert INK not in svg


def test_drawing_leaves_matplotlib_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    to_svg(negative_figure(negative_example()))
    assert dict(matplotlib.rcParams) == before


def test_moments_are_the_middles_of_equal_stretches() -> None:
    assert moments(100, 5).tolist() == [10, 30, 50, 70, 90]
    assert moments(2, 4).tolist() == [0, 0, 1, 1]


def test_a_joint_differs_when_it_moved_or_went_but_not_by_rounding() -> None:
    picture = np.zeros((1, 3, 2), dtype=np.float32)
    other = np.array([[[0.001, 0.0], [0.1, 0.0], [np.nan, np.nan]]], dtype=np.float32)
    assert differs(other, picture).tolist() == [[False, True, True]]


def test_the_bar_below_a_level_covers_the_changed_frames() -> None:
    figure = negative_figure(negative_example())
    # Frames 11 to 19 of 30 repeat frame 10; frame 10 itself is unchanged.
    bar = figure.axes[2 + SKELETON_LEVELS.index("temporal_local")].lines[-1]
    assert bar.get_xdata() == pytest.approx([11 / 30, 20 / 30])


def test_a_clip_without_a_single_joint_can_be_drawn() -> None:
    example = negative_example()
    empty = np.zeros_like(example.keypoints)
    blank = NegativeExample(**{**vars(example), "keypoints": empty, "perturbed": {"spatial_local": empty}})
    assert to_svg(negative_figure(blank)).startswith("<svg")


def test_the_report_never_imports_ray_or_pyplot() -> None:
    program = "import sys, signdpo.report.html; sys.exit('ray' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_gallery_shows_each_clip_its_margins_and_what_was_left_out() -> None:
    example = dataclasses.replace(negative_example(), left_out=["spatial_global"])
    page = gallery(
        "Negatives",
        [example, dataclasses.replace(example, id="clip-8", rejected_text="")],
        {"run": "r"},
        {"clip-8": "clip-8.gif"},
    )
    assert re.findall('<img src="([^"]*)"', page) == ["clip-8.gif"]
    assert page.count("<article>") == 2
    assert "\u22121.50</b> left out" in page
    assert "none of the candidates was a usable wrong sentence" in page
    assert "<script" not in page


def test_a_picture_that_leaves_its_page_takes_its_sentences_along() -> None:
    figure = negative_figure(negative_example(), sentences=True)
    assert [text.get_text() for text in figure.texts] == ["chosen", "", "language", "margin +2.5"]
    pieces = [text for row in figure.findobj(TextArea) for text in row.findobj(Text)]
    assert [(text.get_text(), text.get_weight()) for text in pieces] == [
        *(("go", "normal"), (" home", "bold"), (" now", "normal")),
        *(("go", "normal"), (" away", "bold"), (" now", "normal")),
    ]


def test_what_was_lost_is_dotted_where_it_was() -> None:
    example = negative_example()
    without_hand = example.keypoints.copy()
    without_hand[:, PARTS["right_hand"]] = 0.0
    figure = negative_figure(dataclasses.replace(example, perturbed={"spatial_local": without_hand}))
    dotted = [line for line in figure.axes[2].lines if line.get_linestyle() == ":"]
    drawn = [bool(np.isfinite(line.get_xdata()).any()) for line in dotted]  # a line a part
    assert drawn == [part == "right_hand" for part in PARTS]


def test_an_animation_has_a_picture_a_frame(tmp_path: Path) -> None:
    example = negative_example()
    save_animation(example, tmp_path / "clip.gif")
    with Image.open(tmp_path / "clip.gif") as animation:
        assert animation.n_frames == len(example.keypoints)
