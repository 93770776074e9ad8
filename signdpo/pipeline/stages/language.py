"""The stage `language`: a language model from scratch reads text, before there are clips."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import trainers
from signdpo.config import Config
from signdpo.config.policy import GRAMMAR
from signdpo.corpora.plain_text import KEY, read_sentences
from signdpo.data.clips import read_clips
from signdpo.pipeline.actors import language_worker
from signdpo.pipeline.stage import Inputs, Results, Stage, StageOutputs, file_stamps
from signdpo.pipeline.stages.clips import Clips
from signdpo.run_context import RunContext
from signdpo.storage.files import hash_folder, put_folder
from signdpo.text.units import folded
from signdpo.training.denoising import batch_bounds
from signdpo.training.fit import fit, keep_best
from signdpo.training.plan import LanguageSettings, TrainingPlan

# Keys that say what a language model from scratch is.
SHAPE: Final = (
    "policy.vocab_size",
    *(f"policy.language_model.{name}" for name in ("d_model", "d_ff", "layers", "heads")),
)


class LanguageOutputs(StageOutputs):
    """A language model that has read text.

    Args:
        sentences: that it read.
        content_hash: hash of its folder.
    """

    sentences: int
    content_hash: str


class Language(Stage[LanguageOutputs]):
    """Writes `language/model`, which the policy is then made of: what mT5 is to the policies of the field."""

    name = "language"
    outputs = LanguageOutputs
    builds_on = (Clips,)
    shared = True

    def purpose(self, config: Config) -> str:
        return "the language model reads text"

    def is_wanted(self, config: Config) -> bool:
        return config.policy.language_model.pretrain_text is not None

    def reads(self, config: Config) -> Sequence[str]:
        grammar = config.policy.language_model.pretrain_text == GRAMMAR
        return (
            "seed",
            KEY,
            "policy.language_model.pretrain",
            *SHAPE,
            "policy.max_text_tokens",
            "pretrain.dropout",
            *(("corpus.synthetic.seed",) if grammar else ()),
        )

    def results(self, before: Results) -> dict[str, Any]:
        return {"clips.content_hash": before[Clips].content_hash}

    def files(self, config: Config) -> dict[str, Any]:
        text = config.policy.language_model.pretrain_text
        return {} if text in (None, GRAMMAR) else file_stamps([str(text)])

    def demands(self, config: Config) -> list[Demand]:
        return [Demand(self.name, (trainers(config.resources, "pretrain_worker", config.resources.pretrain_workers),))]

    def work(self, context: RunContext, before: Results, inputs: Inputs) -> LanguageOutputs:
        config, text, initial = context.config, context.path(self.name, "text"), context.path(self.name, "initial")
        choices = config.policy.language_model.pretrain
        taught = _sentences(context, before[Clips].clips)
        with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
            pq.write_table(pa.table({"text": taught}), f"{folder}/sentences.parquet")
            put_folder(folder, text)
        with tempfile.TemporaryDirectory(prefix="signdpo-") as folder:
            _untrained(config, taught).save(folder)
            put_folder(folder, initial)
        plan = TrainingPlan(
            stage=self.name,
            key=inputs.training_key,
            section="policy.language_model.pretrain",
            loop=language_worker,
            settings=LanguageSettings(text=text, initial=initial),
            identity={"text": hash_folder(text)},
            total_steps=choices.epochs * len(batch_bounds(len(taught), batch_size=choices.batch_size)),
            workers=config.resources.pretrain_workers,
            cpus=config.resources.cpus_per_pretrain_worker,
            score=None,
        )
        keep_best(context, fit(context, plan), context.language_model, None)
        return LanguageOutputs(sentences=len(taught), content_hash=hash_folder(context.language_model))


def _sentences(context: RunContext, splits: Collection[str]) -> list[str]:
    """The text without the sentences of dev and test, which must not be known, and the training sentences."""
    texts = {split: read_clips(context.clips, split, columns=["text"])["text"].to_pylist() for split in splits}
    asked = {folded(text) for split, found in texts.items() if split != "train" for text in found}
    read = read_sentences(context.config)
    kept = [text for text in read if folded(text) not in asked]
    left_out = f", {len(read) - len(kept)} of dev and test left out" if len(kept) < len(read) else ""
    context.say(f"{len(kept)} sentences{left_out}, and those of {len(texts['train'])} training clips")
    return list(dict.fromkeys([*kept, *texts["train"]]))


def _untrained(config: Config, sentences: Sequence[str]) -> Any:
    """A `TextToText` from scratch, and a tokenizer of these sentences."""
    import torch

    from signdpo.models.language_model import build_language_model, fresh_t5
    from signdpo.models.text_to_text import TextToText
    from signdpo.models.tokenizer import train_tokenizer

    torch.manual_seed(config.seed)
    tokenizer = train_tokenizer(sentences, vocab_size=config.policy.vocab_size)
    shape = fresh_t5(config.policy.language_model, vocab_size=len(tokenizer), dropout=config.pretrain.dropout)
    return TextToText(build_language_model(shape.to_dict()), tokenizer)
