"""The metrics give the numbers that the field publishes, and refuse what would give a meaningless number."""

from __future__ import annotations

import gzip
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU

from signdpo.evaluation.metrics import edit_distance, fold_csl_daily, is_loop, rouge_l, score


def read_release(path: Path) -> dict[str, str]:
    pattern = re.compile(r"sample: (.+?), (?:prediction|ground-truth): ?(.*)")
    return dict(pattern.fullmatch(line).groups() for line in path.read_text(encoding="utf-8").splitlines())


def release_pair(shared_data: Path, corpus: str, split: str = "dev") -> tuple[list[str], list[str]]:
    hypotheses = read_release(shared_data / "predictions" / f"{corpus}.{split}.pres.txt")
    references = read_release(shared_data / "predictions" / f"{corpus}.{split}.refs.txt")
    return [hypotheses[name] for name in references], list(references.values())


def test_openasl_dev_gives_the_published_bleu4(shared_data: Path) -> None:
    scores = score(*release_pair(shared_data, "openasl"), language="en")
    assert round(scores.bleu4, 2) == 22.38
    assert "tok:13a" in scores.signature


def test_csl_daily_dev_gives_the_published_bleu4(shared_data: Path) -> None:
    scores = score(*release_pair(shared_data, "csl_daily"), language="zh", protocol="csl_daily")
    assert round(scores.bleu4, 2) == 25.27
    assert "tok:char" in scores.signature
    assert scores.signature.endswith("protocol:csl_daily")


def test_csl_daily_protocol_gives_the_published_bleu4_from_the_published_labels(shared_data: Path) -> None:
    hypotheses = read_release(shared_data / "predictions" / "csl_daily.dev.pres.txt")
    with gzip.open(shared_data / "labels" / "CSL_Daily.labels.dev") as file:
        labels = pickle.load(file)
    references = [labels[name]["text"] for name in hypotheses]
    translations = list(hypotheses.values())
    assert round(score(translations, references, language="zh", protocol="csl_daily").bleu4, 2) == 25.27
    # The labels have full-width punctuation, which no hypothesis of an mT5 has.
    assert score(translations, references, language="zh").bleu4 < 23


@pytest.mark.parametrize(
    ("corpus", "options", "bleu4", "brevity_penalty"),
    [
        ("csl_daily", {"language": "zh", "protocol": "csl_daily"}, 25.70, 0.927),
        ("how2sign", {"language": "en"}, 14.50, 0.932),
        ("openasl", {"language": "en"}, 22.64, 0.982),
    ],
)
def test_the_public_checkpoints_are_too_short_on_the_test_sets(
    shared_data: Path, corpus: str, options: dict[str, str], bleu4: float, brevity_penalty: float
) -> None:
    scores = score(*release_pair(shared_data, corpus, "test"), **options)
    assert round(scores.bleu4, 2) == bleu4
    assert round(scores.brevity_penalty, 3) == brevity_penalty
    assert scores.brevity_penalty == pytest.approx(math.exp(1 - 1 / scores.length_ratio))


def test_bleu_of_a_small_corpus_is_the_one_worked_out_by_hand() -> None:
    # Matches: 4 of 5 words, 2 of 4 bigrams (the cat, on the), 0 of 3 trigrams, smoothed to 1 / (2 * 3); 0 of 2
    # 4-grams, smoothed to 1 / (4 * 2). The reference has 6 words: brevity penalty exp(1 - 6 / 5).
    scores = score(["the cat lay on the"], ["the cat sat on the mat"], language="en")
    penalty = math.exp(1 - 6 / 5)
    assert scores.bleu1 == pytest.approx(100 * penalty * 4 / 5)
    assert scores.bleu2 == pytest.approx(100 * penalty * (4 / 5 * 2 / 4) ** (1 / 2))
    assert scores.bleu3 == pytest.approx(100 * penalty * (4 / 5 * 2 / 4 * 1 / 6) ** (1 / 3))
    assert scores.bleu4 == pytest.approx(100 * penalty * (4 / 5 * 2 / 4 * 1 / 6 * 1 / 8) ** (1 / 4))
    assert scores.length_ratio == pytest.approx(5 / 6)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_n_is_sacrebleu_with_that_largest_order(order: int) -> None:
    hypotheses = ["he is at home today", "what a nice day it is", ""]
    references = ["he is home today", "what a fine day it is today", "yes"]
    expected = BLEU(max_ngram_order=order).corpus_score(hypotheses, [references]).score
    assert getattr(score(hypotheses, references, language="en"), f"bleu{order}") == pytest.approx(expected)


def test_rouge_l_is_the_f_measure_that_favours_recall() -> None:
    # The longest common subsequence is (a, c): precision 2/2, recall 2/4.
    # F = (1 + 1.44) * 1 * 0.5 / (0.5 + 1.44 * 1) = 1.22 / 1.94
    assert rouge_l(["a", "c"], ["a", "b", "c", "d"]) == pytest.approx(1.22 / 1.94)
    assert rouge_l([], ["a"]) == 0.0
    assert rouge_l(["x"], ["a"]) == 0.0


def test_rouge_l_of_a_corpus_is_the_mean_of_its_sentences() -> None:
    assert score(["a b", "x"], ["a b", "y"], language="en").rouge_l == pytest.approx(50.0)


def test_rouge_l_of_chinese_counts_characters() -> None:
    # Three of four characters in order: precision and recall are 3/4, so F is 3/4 for any beta.
    assert score(["今天星七"], ["今天星期"], language="zh").rouge_l == pytest.approx(75.0)


def test_spaces_between_characters_change_no_score_of_chinese() -> None:
    references = ["今天星期几？", "他今年6岁。"]
    together = score(["今天星期五。", "她今年50岁。"], references, language="zh").to_dict()
    apart = score(["今 天 星 期 五 。", "她 今 年 5 0 岁 。"], references, language="zh").to_dict()
    assert together == pytest.approx(apart)


def test_a_perfect_system_scores_100() -> None:
    sentences = ["Are you all bored being stuck at home?", "Go ahead and register today!"]
    scores = score(sentences, sentences, language="en")
    assert [scores.bleu1, scores.bleu4, scores.chrf, scores.rouge_l] == pytest.approx([100.0] * 4)
    assert (scores.exact, scores.length_ratio, scores.loop_rate) == (1.0, 1.0, 0.0)


def test_csl_daily_protocol_folds_only_spaces_comma_and_question_mark() -> None:
    assert fold_csl_daily("你 好，几 岁？好！。") == "你好,几岁?好！。"


@pytest.mark.parametrize(
    ("sentence", "stuck"),
    [
        ("no no no no", True),
        ("no no no", False),
        ("I go to I go to I go to school", True),
        ("I go to I go to school", False),
        ("see . . . . . .", False),
        ("the the cat the the dog", False),
    ],
)
def test_a_loop_is_a_word_four_times_or_a_phrase_three_times_in_a_row(sentence: str, stuck: bool) -> None:
    assert is_loop(sentence.split()) is stuck


def test_zeros_of_a_large_number_are_no_loop() -> None:
    assert score(["一共10000000元"], ["一共1000元"], language="zh").loop_rate == 0.0


def test_references_of_real_corpora_hold_no_loop(shared_data: Path) -> None:
    for corpus, language in (("openasl", "en"), ("csl_daily", "zh")):
        _, references = release_pair(shared_data, corpus)
        assert score(references, references, language=language).loop_rate == 0.0


@pytest.mark.parametrize("tokenize", ["13a", "intl", "none"])
def test_unsegmented_chinese_is_refused_where_spaces_separate_words(tokenize: str) -> None:
    with pytest.raises(ValueError, match=r"Chinese without spaces.*tokenize='char'"):
        score(["他今年五十岁。"], ["他今年四岁。"], language="zh", tokenize=tokenize)


@pytest.mark.parametrize("segmented", ["他 今 年 四 岁 。", "他 今年 四 岁 。"])
def test_segmented_chinese_may_be_scored_with_13a(segmented: str) -> None:
    assert score([segmented], [segmented], language="zh", tokenize="13a").bleu1 == pytest.approx(100.0)


def test_chinese_scored_as_english_by_mistake_is_refused() -> None:
    with pytest.raises(ValueError, match="language='zh'"):
        score(["他今年五十岁。"], ["他今年四岁。"], language="en")


@pytest.mark.parametrize(
    ("hypotheses", "references", "options", "message"),
    [
        (["a"], ["a", "b"], {}, "1 hypotheses against 2 references"),
        ([], [], {}, "nothing to score"),
        (["a"], ["a"], {"language": "xx"}, "unknown language 'xx'; known are zh, en, de"),
        (["a"], ["a"], {"tokenize": "spm"}, "unknown tokenizer 'spm'"),
        (["a"], ["a"], {"protocol": "csl"}, "unknown protocol 'csl'; known are csl_daily"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(
    hypotheses: list[str], references: list[str], options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references, **{"language": "en", **options})


def test_metrics_never_import_ray() -> None:
    program = "import sys, signdpo.evaluation.metrics, signdpo.evaluation.significance; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_word_error_rate_is_edits_over_reference_tokens() -> None:
    assert edit_distance(["the", "cat", "sat"], ["the", "cat", "sat", "down"]) == 1
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance([], ["a", "b"]) == 2
    scores = score(["the cat sat", "a dog"], ["the cat sat down", "the dog"], language="en")
    assert scores.wer == pytest.approx(100 * (1 + 1) / (4 + 2))
    assert score(["今天"], ["今天好吗"], language="zh").wer == pytest.approx(50.0)
