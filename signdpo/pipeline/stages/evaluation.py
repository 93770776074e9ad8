"""The stage `evaluation`: the aligned policy beside its MLE baseline, on dev and test."""

from __future__ import annotations

from typing import Any

from signdpo.data.actor_pool import on_actors
from signdpo.data.clips import read_clips
from signdpo.data.schedule import Schedule
from signdpo.data.stream import ClipStore
from signdpo.evaluation.metrics import score
from signdpo.evaluation.significance import paired_bootstrap
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.actors import Translate
from signdpo.pipeline.stage import Outputs, RunContext
from signdpo.storage.files import join, write_json, write_text

SPLITS = ("dev", "test")
SYSTEMS = ("baseline", "aligned")


class LostRowsError(RuntimeError):
    """Fewer, or other, translations than clips."""


def evaluate(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Translate dev and test with both policies, score them, and write `evaluation/*.json` and the sentences."""
    policies = {"baseline": context.baseline, "aligned": context.aligned}
    sentences = translate_splits(context, policies)
    results = {name: {split: _scores(context, sentences[split], name) for split in SPLITS} for name in SYSTEMS}
    comparison = {split: _compare(context, sentences[split]) for split in SPLITS}
    for name in SYSTEMS:
        write_json(context.path("evaluation", f"{name}.json"), results[name])
    write_json(context.path("evaluation", "comparison.json"), comparison)
    return {"results": results, "comparison": comparison}


def translate_splits(context: RunContext, policies: dict[str, str]) -> dict[str, dict[str, list[str]]]:
    """Split -> `id`, `text` and a column of hypotheses a policy, in the order of the clips on disk.

    Raises:
        LostRowsError: unless there is exactly one translation of every clip.
    """
    config = context.config
    store = ClipStore.load(context.path("clips"), *SPLITS, max_frames=config.corpus.max_frames)
    size = config.evaluation.batch_size
    schedule = Schedule(store.num_frames, epochs=1, batch_size=size, workers=1, seed=config.seed, shuffle=False)
    watchdog = Watchdog(context.console, config.resources)
    stream, name = store.stream(schedule.blocks()), f"{context.name}-evaluation"
    translated = on_actors(stream, Translate, (config, policies), config, watchdog.attempts, name=name)
    rows: dict[str, dict[str, Any]] = {}
    with StageProgress(context.console, "evaluation", total=len(store), unit="clips", watchdog=watchdog) as meter:
        for batch in translated.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                if row["id"] in rows:
                    raise LostRowsError(f"clip {row['id']} was translated twice")
                rows[row["id"]] = row
            meter.update(len(rows))
    if len(rows) != len(store):
        raise LostRowsError(f"{len(rows)} clips were translated, there are {len(store)}")
    return {split: _in_order(context, split, rows, policies) for split in SPLITS}


def _in_order(
    context: RunContext, split: str, rows: dict[str, dict[str, Any]], policies: dict[str, str]
) -> dict[str, list[str]]:
    """The rows of a split as columns, also written as text files, a sentence a line."""
    ids = read_clips(context.path("clips"), split, columns=["id"])["id"].to_pylist()
    columns = {name: [str(rows[clip][name]) for clip in ids] for name in ("text", *policies)}
    for name, column in columns.items():
        lines = "".join(" ".join(sentence.split()) + "\n" for sentence in column)
        write_text(join(context.path("evaluation"), f"{split}.{'references' if name == 'text' else name}.txt"), lines)
    return {"id": ids, **columns}


def _scores(context: RunContext, sentences: dict[str, list[str]], name: str) -> dict[str, Any]:
    return score(sentences[name], sentences["text"], **_protocol(context)).to_dict()


def _compare(context: RunContext, sentences: dict[str, list[str]]) -> dict[str, Any]:
    settings = context.config.evaluation
    significance = paired_bootstrap(
        sentences["baseline"],
        sentences["aligned"],
        sentences["text"],
        samples=settings.bootstrap_samples,
        seed=context.config.seed,
        **_protocol(context),
    )
    return significance.to_dict()


def _protocol(context: RunContext) -> dict[str, Any]:
    settings = context.config.evaluation
    return {"language": context.config.corpus.language, "tokenize": settings.tokenize, "protocol": settings.protocol}
