"""The field's translation metrics, computed as its papers compute them: BLEU-1..4, chrF, ROUGE-L, WER, failure modes.

BLEU comes from sacreBLEU (Post, 2018). Chinese is scored on characters: the published CSL-Daily figures put a space
between all characters before they score, which is sacreBLEU's `char`. Its `zh` differs in that it keeps a number or a
Latin word whole. English and German are scored with `13a`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sacrebleu.metrics import BLEU, CHRF

DEFAULT_TOKENIZERS: Final = {"zh": "char", "en": "13a", "de": "13a"}
TOKENIZERS: Final = ("13a", "zh", "char", "intl", "none")
CHARACTER_TOKENIZERS: Final = ("zh", "char")

ROUGE_BETA: Final = 1.2

# A single word said three times is emphasis ("no, no, no"; 哈哈哈); four times, or a phrase three times, is a decoder
# that is stuck.
MAX_LOOP_UNIT: Final = 8
MIN_WORD_REPEATS: Final = 4
MIN_PHRASE_REPEATS: Final = 3

# Characters stand in runs of 1 in text split into characters, below 2 in text split into words, and between two
# punctuation marks of unsegmented text in runs of 5 and more.
UNSEGMENTED_RUN: Final = 2.5
_HAN_RUN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")


@dataclass(frozen=True)
class Scores:
    """Corpus scores of one system. BLEU, chrF and ROUGE-L run from 0 to 100, rates are shares in [0, 1].

    Attributes:
        bleu1, bleu2, bleu3, bleu4: corpus BLEU with n-grams up to that order (geometric mean times brevity penalty),
            which is what the field reports; not the precision of the n-grams alone.
        chrf: chrF2 (character 6-grams, no word n-grams, whitespace ignored).
        rouge_l: mean of the sentences' ROUGE-L, see `rouge_l`.
        wer: word error rate: the fewest insertions, deletions and substitutions over the number of reference tokens of
            the corpus, in percent; characters count where BLEU uses them. Lower is better, and it may exceed 100.
        brevity_penalty: BLEU's, in (0, 1]: the factor that hypotheses shorter than the references cost.
        length_ratio: tokens of all hypotheses over tokens of all references, in BLEU's tokens.
        loop_rate: share of hypotheses that get stuck, see `is_loop`.
        exact: share of hypotheses equal to their reference, token by token.
        signature: sacreBLEU's, with the protocol appended where one was applied.
    """

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    chrf: float
    rouge_l: float
    wer: float
    brevity_penalty: float
    length_ratio: float
    loop_rate: float
    exact: float
    signature: str

    def to_dict(self) -> dict[str, float | str]:
        """Plain numbers and the signature, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ScoringTask:
    """Sentences as they will be scored: protocol applied, tokenizer chosen and checked against the text."""

    hypotheses: list[str]
    references: list[str]
    tokenize: str
    protocol: str | None

    @property
    def bleu(self) -> BLEU:
        return BLEU(tokenize=self.tokenize)

    def split(self, sentence: str) -> list[str]:
        """Tokens of ROUGE-L, loops and exact matches: characters where BLEU uses them, else what spaces separate."""
        return list("".join(sentence.split())) if self.tokenize in CHARACTER_TOKENIZERS else sentence.split()


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str,
    tokenize: str | None = None,
    protocol: str | None = None,
) -> Scores:
    """Score a system's translations against one reference each.

    Args:
        hypotheses: one sentence a clip; an empty one counts as a wrong translation.
        references: the reference of each, in the same order.
        language: of the references; chooses the tokenizer (`zh`: `char`, `en` and `de`: `13a`).
        tokenize: a sacreBLEU tokenizer instead: `13a`, `zh`, `char`, `intl` or `none`.
        protocol: `csl_daily` scores as the published CSL-Daily figures do, see `fold_csl_daily`.

    Raises:
        ValueError: no sentences, different numbers of them, an unknown language, tokenizer or protocol, or Chinese
            that was not split into words given to a tokenizer that splits at spaces.
    """
    task = prepare(hypotheses, references, language=language, tokenize=tokenize, protocol=protocol)
    metric = task.bleu
    corpus = metric.corpus_score(task.hypotheses, [task.references])
    bleu1, bleu2, bleu3, bleu4 = (
        BLEU.compute_bleu(
            corpus.counts[:order],
            corpus.totals[:order],
            corpus.sys_len,
            corpus.ref_len,
            smooth_method=metric.smooth_method,
            max_ngram_order=order,
        ).score
        for order in (1, 2, 3, 4)
    )
    pairs = [
        (task.split(hypothesis), task.split(reference))
        for hypothesis, reference in zip(task.hypotheses, task.references, strict=True)
    ]
    signature = str(metric.get_signature())
    return Scores(
        bleu1=bleu1,
        bleu2=bleu2,
        bleu3=bleu3,
        bleu4=bleu4,
        chrf=CHRF().corpus_score(task.hypotheses, [task.references]).score,
        rouge_l=100 * sum(rouge_l(*pair) for pair in pairs) / len(pairs),
        wer=100 * sum(edit_distance(*pair) for pair in pairs) / max(sum(len(reference) for _, reference in pairs), 1),
        brevity_penalty=corpus.bp,
        length_ratio=corpus.sys_len / corpus.ref_len if corpus.ref_len else 0.0,
        loop_rate=sum(is_loop(hypothesis) for hypothesis, _ in pairs) / len(pairs),
        exact=sum(hypothesis == reference for hypothesis, reference in pairs) / len(pairs),
        signature=f"{signature}|protocol:{task.protocol}" if task.protocol else signature,
    )


def prepare(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str,
    tokenize: str | None = None,
    protocol: str | None = None,
) -> ScoringTask:
    """Check the arguments of `score` and apply the protocol; arguments and errors are those of `score`."""
    if len(hypotheses) != len(references):
        raise ValueError(
            f"{len(hypotheses)} hypotheses against {len(references)} references: each hypothesis needs one reference, "
            "in the same order"
        )
    if not references:
        raise ValueError("nothing to score: there are no sentences")
    if protocol is not None and protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known are {', '.join(PROTOCOLS)}")
    fold = PROTOCOLS[protocol] if protocol else str
    task = ScoringTask(
        hypotheses=[fold(hypothesis) for hypothesis in hypotheses],
        references=[fold(reference) for reference in references],
        tokenize=_choose_tokenizer(language, tokenize),
        protocol=protocol,
    )
    _refuse_unsegmented_chinese(task)
    return task


def fold_csl_daily(sentence: str) -> str:
    """The text of a CSL-Daily sentence as Uni-Sign (Li et al., ICLR 2025) scores it.

    Spaces go, and the full-width comma and question mark become ASCII. The public code folds the references alone,
    because its mT5 tokenizer folds every hypothesis already; folding both gives the same figures there and does not
    punish a policy whose tokenizer keeps the marks. The full-width exclamation mark stays, as it does there.
    """
    return "".join(sentence.split()).replace("，", ",").replace("？", "?")


PROTOCOLS: Final[dict[str, Callable[[str], str]]] = {"csl_daily": fold_csl_daily}


def rouge_l(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """ROUGE-L of one sentence in [0, 1]: the F-measure of the longest common subsequence, recall favoured by beta 1.2.

    The definition of the COCO caption tools (Lin, 2004, with beta = 1.2), which sign language translation has reported
    since Camgoz et al. (CVPR 2018). Uni-Sign's table uses the `rouge` package instead, whose beta is precision over
    recall. `rouge-score` is neither: beta is 1 and its tokenizer drops all that is not a Latin letter or a digit.
    """
    common = _longest_common_subsequence(hypothesis, reference)
    if common == 0:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def edit_distance(hypothesis: Sequence[str], reference: Sequence[str]) -> int:
    """Levenshtein distance in tokens."""
    row = list(range(len(reference) + 1))
    for length, token in enumerate(hypothesis, start=1):
        diagonal, row[0] = row[0], length
        for column, other in enumerate(reference, start=1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (token != other))
    return row[-1]


def is_loop(tokens: Sequence[str]) -> bool:
    """Whether a decoder got stuck: one token four times in a row, or two to eight tokens three times in a row.

    The repeated tokens must hold a letter, so that a large number spelled in characters or a row of dots is no loop.
    """
    for unit in range(1, MAX_LOOP_UNIT + 1):
        repeats = MIN_WORD_REPEATS if unit == 1 else MIN_PHRASE_REPEATS
        run = 0  # tokens in a row that equal the one `unit` places before
        for position in range(unit, len(tokens)):
            run = run + 1 if tokens[position] == tokens[position - unit] else 0
            if run >= unit * (repeats - 1) and _has_letter(tokens[position - unit + 1 : position + 1]):
                return True
    return False


def _has_letter(tokens: Sequence[str]) -> bool:
    return any(character.isalpha() for token in tokens for character in token)


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    row = [0] * (len(second) + 1)
    for token in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = row[column]
            row[column] = diagonal + 1 if token == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]


def _choose_tokenizer(language: str, tokenize: str | None) -> str:
    if language not in DEFAULT_TOKENIZERS:
        raise ValueError(f"unknown language {language!r}; known are {', '.join(DEFAULT_TOKENIZERS)}")
    if tokenize is None:
        return DEFAULT_TOKENIZERS[language]
    if tokenize not in TOKENIZERS:
        raise ValueError(f"unknown tokenizer {tokenize!r}; known are {', '.join(TOKENIZERS)}")
    return tokenize


def _refuse_unsegmented_chinese(task: ScoringTask) -> None:
    if task.tokenize in CHARACTER_TOKENIZERS:
        return
    for side, sentences in (("references", task.references), ("hypotheses", task.hypotheses)):
        runs = [run for sentence in sentences for run in _HAN_RUN.findall(sentence)]
        if runs and sum(map(len, runs)) / len(runs) > UNSEGMENTED_RUN:
            longest = max(runs, key=len)
            raise ValueError(
                f"tokenize={task.tokenize} splits at spaces, but the {side} are Chinese without spaces: "
                f"{longest[:20]!r} would count as one word and BLEU would be far too low. "
                "Score on characters: language='zh' with tokenize='char' (the default)"
            )
