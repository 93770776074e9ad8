"""What writes the wrong sentences: rules, the edit model, and a pretrained text-to-text model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, BertConfig, GPT2Config, GPT2LMHeadModel

from signdpo.config import ConfigError, PerturberConfig
from signdpo.models.tokenizer import train_tokenizer
from signdpo.negatives.sentence.continuations import ContinuationPerturber
from signdpo.negatives.sentence.edits import EditPerturber
from signdpo.negatives.sentence.perturber import LanguagePerturber, Perturber, load_perturber, pretrained_perturber
from signdpo.negatives.sentence.perturber_batches import count_steps, epochs_of, perturber_batches
from signdpo.negatives.sentence.rules import RulePerturber
from signdpo.text.units import folded, split_units

TEXTS = [
    "My mother bought 3 coats.",
    "your brother sees Anna today",
    "we met Peter in 2019",
    "他今年四岁。",
    "我想吃面条",
]


def rules() -> RulePerturber:
    return RulePerturber.of(TEXTS, edit_share=0.25)


def edits() -> EditPerturber:
    made = EditPerturber.fresh(TEXTS, d_model=16, seed=1)
    made.model.eval()
    return made


def seq2seq() -> LanguagePerturber:
    torch.manual_seed(1)
    tokenizer = train_tokenizer(TEXTS, vocab_size=64)
    perturber = LanguagePerturber.fresh(tokenizer, PerturberConfig(d_model=16, layers=1), max_tokens=16)
    perturber.model.eval()
    return perturber


def causal() -> ContinuationPerturber:
    """A tiny GPT-2; its tokenizer has no padding token, as GPT-2's own."""
    torch.manual_seed(1)
    tokenizer = train_tokenizer(TEXTS, vocab_size=64)
    tokenizer.pad_token = None
    ids = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=1, n_head=2, **ids)
    return ContinuationPerturber(GPT2LMHeadModel(config).eval(), tokenizer, max_tokens=24)


@pytest.mark.parametrize("make", [rules, edits, seq2seq, causal])
def test_candidates_depend_on_their_seed_and_not_on_the_batch(make: Callable[[], Perturber]) -> None:
    together = make().propose(TEXTS, [1, 2, 3, 4, 5], candidates=3)
    for text, seed, options in zip(TEXTS, [1, 2, 3, 4, 5], together, strict=True):
        assert make().propose([text], [seed], candidates=3) == [options]
    assert make().propose(TEXTS, [6, 7, 8, 9, 10], candidates=3) != together


def test_rules_change_a_sentence_with_words_of_the_text() -> None:
    known = {folded(unit) for text in TEXTS for unit in split_units(text)}
    for text, options in zip(TEXTS, rules().propose(TEXTS, [0] * 5, candidates=20), strict=True):
        assert sum(folded(option) != folded(text) for option in options) >= 18  # a repeated word may swap with itself
        assert {folded(unit) for option in options for unit in split_units(option)} <= known


def test_rules_change_numbers_and_names_for_their_kind() -> None:
    only = RulePerturber({" 3": 1, " 2019": 1, " Anna": 1, " Peter": 1, " coats": 1}, edit_share=0.01)
    written = {option for options in only.propose(["we met Peter"], [4], candidates=200) for option in options}
    assert "we met Anna" in written


@pytest.mark.parametrize("sentences", [("the dog barks", "the cat barks"), ("我想吃面条", "我想吃米")])
def test_an_edit_model_learns_a_substitution(sentences: tuple[str, str]) -> None:
    source, target = sentences
    perturber = EditPerturber.fresh([source, target], d_model=32, seed=1)
    optimizer = torch.optim.Adam(perturber.model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = perturber.loss([source], [target]).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    perturber.model.eval()
    written = [option for [option] in perturber.propose([source] * 10, range(10), candidates=1)]
    assert written.count(target) >= 8


def test_an_edit_model_copies_words_it_has_never_seen(tmp_path: Path) -> None:
    perturber = EditPerturber.fresh(["a b"], d_model=16, seed=1)
    with torch.no_grad():
        perturber.model.operation.weight.zero_()
        perturber.model.operation.bias.copy_(torch.tensor([50.0, 0.0, 0.0, 0.0]))  # keeps everything
    perturber.save(tmp_path)
    assert EditPerturber.load(tmp_path).propose(["Zebra, a quagga!"], [1], candidates=1) == [["Zebra, a quagga!"]]
    assert torch.isfinite(perturber.loss(["zebra a"], ["zebra okapi b"]).mean)


def test_a_pretrained_bart_is_fine_tuned_with_its_own_tokenizer(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=64)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "decoder_start_token_id": 1}
    shape = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "forced_eos_token_id": 1}
    config = BartConfig(vocab_size=len(tokenizer), **sizes, **ids, **shape)
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    perturber = pretrained_perturber(str(tmp_path), max_tokens=16)
    assert isinstance(perturber, LanguagePerturber)
    assert torch.isfinite(perturber.loss(TEXTS[:2], TEXTS[1:3]).mean)
    assert len(perturber.propose(TEXTS[:2], [1, 2], candidates=2)) == 2
    assert epochs_of(PerturberConfig(path=str(tmp_path), epochs=5, copy_epochs=3)) == 5  # it needs no warm-up


def test_a_pretrained_causal_model_learns_to_go_on_with_the_wrong_sentence(tmp_path: Path) -> None:
    made = causal()
    made.model.to(torch.bfloat16)  # as most are published
    made.save(tmp_path / "published")
    perturber = pretrained_perturber(str(tmp_path / "published"), max_tokens=24)
    assert isinstance(perturber, ContinuationPerturber)
    assert perturber.model.dtype == torch.float32
    sources, targets = ["we met Peter", "my mother"], ["we met Anna", "your brother sees"]
    optimizer = torch.optim.Adam(perturber.model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = perturber.loss(sources, targets).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    perturber.save(tmp_path / "trained")
    settings = PerturberConfig(path=str(tmp_path / "published"))
    trained = load_perturber(tmp_path / "trained", settings, max_tokens=24, device=torch.device("cpu"))
    assert trained is not None
    written = trained.propose(sources, [1, 2], candidates=10)
    assert [options.count(target) >= 8 for options, target in zip(written, targets, strict=True)] == [True, True]


def test_a_causal_model_is_scored_on_what_it_writes_alone() -> None:
    perturber = causal()
    prompts, ends = ["we met Peter ->", "my mother ->"], [" we met Anna", " your brother sees Anna today"]
    logps = []
    for prompt, end in zip(prompts, ends, strict=True):  # one at a time: no padding
        read, written = (perturber.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, end))
        written = [*written, perturber.tokenizer.eos_token_id]
        with torch.no_grad():
            logits = perturber.model(torch.tensor([[*read, *written]])).logits[0].log_softmax(-1)
        logps += [float(logits[len(read) - 1 + place, token]) for place, token in enumerate(written)]
    loss = perturber.loss(["we met Peter", "my mother"], ["we met Anna", "your brother sees Anna today"]).mean
    assert float(loss.detach()) == pytest.approx(-sum(logps) / len(logps), abs=1e-5)


def test_a_model_that_writes_no_sentences_is_refused(tmp_path: Path) -> None:
    BertConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"perturber\.path=.* is a bert, which writes no sentences: name an encoder"):
        pretrained_perturber(str(tmp_path), max_tokens=16)


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    made = causal()
    made.tokenizer.eos_token = None
    made.save(tmp_path)
    with pytest.raises(ConfigError, match=r"its tokenizer has no eos_token"):
        pretrained_perturber(str(tmp_path), max_tokens=16)


@pytest.mark.parametrize("architecture", ["seq2seq", "edits"])
def test_warm_up_comes_before_the_failures(architecture: str) -> None:
    config = PerturberConfig(architecture=architecture, copy_epochs=1, epochs=2, batch_size=2)
    failures = [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[2]), (TEXTS[2], TEXTS[0])]
    epochs = [perturber_batches(epoch, failures, TEXTS, config, seed=1) for epoch in range(epochs_of(config))]
    assert sum(map(len, epochs)) == count_steps(config, failures=3, texts=5)
    for sources, targets in epochs[0]:
        assert set(targets) <= set(TEXTS)
        assert all((s == t) == (architecture == "seq2seq") for s, t in zip(sources, targets, strict=True))
    for epoch in epochs[1:]:
        assert all(pair in failures for lesson in epoch for pair in zip(*lesson, strict=True))
