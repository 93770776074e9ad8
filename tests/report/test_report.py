"""The report is one file that stands alone and says what it was given; texts are data."""

from __future__ import annotations

import dataclasses
import itertools
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from support.report import logged_rows, negative_example

from signdpo.levels import SKELETON_LEVELS
from signdpo.report.gallery import gallery, write_gallery
from signdpo.report.html import ReportData, SplitScores, TranslationExample, render
from signdpo.report.markdown import to_markdown
from signdpo.report.model_card import model_card
from signdpo.report.scores import NO_CONTROL

SCORES = {
    "bleu1": 50.0,
    "bleu2": 36.0,
    "bleu3": 28.0,
    "bleu4": 21.3,
    "chrf": 45.0,
    "rouge_l": 40.0,
    "brevity_penalty": 0.932,
    "length_ratio": 0.934,
    "loop_rate": 0.025,
    "copies": 0.1,
    "pairs_words": 0.86,
    "intervals": {"bleu4": [19.0, 23.1], "pairs_words": [0.81, 0.9]},
    "signature": "tok:13a",
}


def difference(delta: float, p_value: float = 0.012) -> dict[str, dict[str, float]]:
    """Of BLEU-4 in points, and of a share."""
    found = {"delta": delta, "p_value": p_value, "confidence_low": -0.2, "confidence_high": 1.9}
    return {"bleu4": found, "pairs_words": {name: value / 100 for name, value in found.items()}}


def three_systems(split: str = "test", p_value: float = 0.012) -> SplitScores:
    return SplitScores(
        split,
        60,
        {"baseline": SCORES, "control": {**SCORES, "bleu4": 23.5}, "aligned": {**SCORES, "bleu4": 22.4}},
        {
            "aligned - control": difference(-1.1, p_value),
            "aligned - baseline": difference(1.1),
            "control - baseline": difference(2.2),
        },
    )


def full_report() -> ReportData:
    return ReportData(
        title="A <run>",
        facts={"clips": "480 train"},
        config="seed: 1",
        quarantine={"text is empty": 2, "no confident joint": 7},
        splits=[three_systems(), three_systems("dev")],
        pretraining=logged_rows(),
        control=logged_rows(),
        alignment=logged_rows(),
        negatives=[negative_example()],
        negative_statistics={
            "temporal_local": {"accepted": 0.875, "masked": 0.125, "redrawn": 0.333, "margin": 4.2, "strength": 0.9},
            "language": {"accepted": 0.75, "masked": 0.25, "margin": 5.0},
        },
        translations=[TranslationExample("t-1", "he is <here>", {"baseline": "he was here", "aligned": "he is here"})],
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


def test_a_table_in_markdown() -> None:
    assert to_markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_the_card_of_a_policy_says_what_it_is_worth_beside_its_control() -> None:
    text = model_card(full_report(), language="de")
    header = yaml.safe_load(text.split("---")[1])
    assert header["language"] == ["de"]
    assert header["pipeline_tag"] == "translation"
    assert "| aligned | 22.40 | 45.00 | 40.00 | 86.0 % |" in text
    assert "aligned - control: BLEU-4 -1.10 (-0.20 to +1.90), p = 0.012; pairs: words" in text
    assert "## Scores on dev, 60 clips, which chose the checkpoint" in text
    assert "- clips: 480 train" in text
    assert "the chosen text became less likely" in text
    assert NO_CONTROL not in text
    alone = dataclasses.replace(full_report(), splits=[SplitScores("test", 60, {"aligned": SCORES})])
    assert NO_CONTROL in model_card(alone, language="en")


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
            splits=[SplitScores("dev", 1, {hostile(): {**SCORES, "signature": hostile()}})],
            negatives=[example],
            translations=[TranslationExample(hostile(), hostile(), {hostile(): hostile()})],
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
    for value in ("21.30", "23.50", "22.40", "0.932", "2.5 %", "86.0 %", "81.0 % \u2013 90.0 %"):
        assert value in text
    for value in ("\u22121.10", "+1.10", "+2.20", "p = 0.012"):
        assert value in text


def test_the_headline_is_aligned_minus_control_and_only_a_significant_change_is_coloured() -> None:
    page = render(ReportData("run", splits=[three_systems(), three_systems("dev", p_value=0.3)]))
    headline = page.partition('<div class="headline">')[2].partition("<section>")[0]
    assert re.findall(r'<span class="(\w+)">([^<]*)', headline) == [("worse", "\u22121.10"), ("same", "\u22121.10")]
    text = " ".join(re.sub(r"<[^>]+>", "", headline).split())
    assert text.startswith(
        "test, 60 sentences aligned - control: BLEU-4 \u22121.10 "
        "baseline 21.30, control 23.50, aligned 22.40; 95 % \u22120.20 to +1.90, p = 0.012, significant at 0.05"
    )
    assert "dev (used to choose the checkpoint), 60 sentences" in text
    assert "p = 0.300, not significant at 0.05" in text
    assert NO_CONTROL not in page


def test_a_run_without_a_control_says_so() -> None:
    found = three_systems()
    systems = {name: scores for name, scores in found.systems.items() if name != "control"}
    alone = dataclasses.replace(
        found, systems=systems, differences={"aligned - baseline": found.differences["aligned - baseline"]}
    )
    page = render(ReportData("run", splits=[alone]))
    assert NO_CONTROL in page
    assert "aligned - baseline: BLEU-4" in page


def test_the_page_tells_what_became_of_the_negatives(page: str) -> None:
    cells = [re.findall(r"<td>([^<]*)</td>", row) for row in re.findall(r"<tr><th>\w+ ?\w*</th>.*?</tr>", page)]
    assert ["87.5%", "33.3%", "12.5%", "4.20", "0.90"] in cells
    assert ["75.0%", "", "25.0%", "5.00", ""] in cells


def test_the_chosen_log_probability_is_compared_with_step_zero() -> None:
    # The last tenth of 60 steps is 54 to 59, whose mean is -30 - 56.5.
    assert "fell from \u221230.00 at step zero to \u221286.50" in render(ReportData("run", alignment=logged_rows(60)))


def test_what_was_not_run_has_no_section() -> None:
    page = render(ReportData("only pre-trained", pretraining=logged_rows()))
    assert "Pre-training" in page
    for title in ("Preference optimisation", "Negatives", "Translations", "Translation quality", "Configuration"):
        assert title not in page


def test_a_baseline_without_an_aligned_policy_is_shown_alone() -> None:
    page = render(ReportData("baseline", splits=[SplitScores("dev", 60, {"baseline": SCORES})]))
    assert "21.30" in page
    assert "Differences on" not in page


def test_the_same_data_gives_the_same_bytes(page: str) -> None:
    assert render(full_report()) == page


def marked(sentence: str, other: str) -> str:
    """The sentence as the page shows a baseline's translation beside its reference."""
    page = render(ReportData("run", translations=[TranslationExample("t-1", other, {"baseline": sentence})]))
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


def test_clips_whose_ids_are_alike_as_file_names_get_pictures_of_their_own(tmp_path: Path) -> None:
    examples = [dataclasses.replace(negative_example(), id=id_) for id_ in ("a/b", "a_b", "手" * 200)]
    write_gallery(tmp_path, examples, {}, animated=False)
    assert len(list(tmp_path.glob("*.png"))) == 3
