"""Many clip files, translated by actors of Ray Data: read in tasks, in the order of the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from rich.console import Console

from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import DATA_TASK, begin_ray, generators
from signdpo.config import Config, CorpusConfig
from signdpo.data.actor_pool import BatchWorker, on_actors
from signdpo.data.rows import Columns, table_of
from signdpo.data.stream import ordered_execution, scheduled
from signdpo.inference.clip_files import ClipFile
from signdpo.inference.reading import READ_SCHEMA, read_rows
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog

if TYPE_CHECKING:  # brings torch
    from signdpo.inference.translator import TranslatorArguments

NAME: Final = "translate"
TRANSLATED_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),  # why the clip was refused; empty if it was not
        ("sentences", pa.list_(pa.string())),  # the best first; none of a refused clip
        ("logps", pa.list_(pa.float64())),  # of each, in nats per token
    ]
)


class TranslateClips(BatchWorker):
    """See `signdpo.inference.translator.ClipTranslator`."""

    def load(self, arguments: Any) -> None:
        from signdpo.inference.translator import ClipTranslator  # brings torch

        self.translator = ClipTranslator(arguments)

    def work(self, batch: Columns) -> pa.Table:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        found = self.translator(rows)
        sentences = [[each.sentence for each in hypotheses] for hypotheses in found]
        logps = [[each.logp_per_token for each in hypotheses] for hypotheses in found]
        columns = {"id": batch["id"], "reason": batch["reason"], "sentences": sentences, "logps": logps}
        return table_of(columns, TRANSLATED_SCHEMA)


def translate_on_actors(
    files: list[ClipFile], config: Config, arguments: TranslatorArguments, console: Console
) -> Iterator[list[dict[str, Any]]]:
    """Rows of `TRANSLATED_SCHEMA` of all files in their order, some at a time.

    Args:
        files: the clips.
        config: for the clips' readers, the actors and the size of a batch.
        arguments: what each actor's translator is made of.
        console: where a person reads.

    Raises:
        ConfigError: if the actors have no room.
    """
    begin_ray(config, [Demand(NAME, (generators(config.resources), DATA_TASK))])
    size = config.evaluation.batch_size
    blocks = [files[begin : begin + size] for begin in range(0, len(files), size)]
    stream = scheduled(len(blocks), gather_files, {"blocks": blocks, "corpus": config.corpus})
    watchdog = Watchdog(console, config.resources)
    translated = on_actors(stream, TranslateClips, (arguments,), config, watchdog.attempts, name=NAME)
    translated.context.execution_options = ordered_execution()
    done = 0
    with StageProgress(console, NAME, total=len(files), unit="clips", watchdog=watchdog) as progress:
        for batch in translated.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield batch.to_pylist()
            done += len(batch)
            progress.update(done)


def gather_files(batch: Columns, blocks: list[list[ClipFile]], corpus: CorpusConfig) -> pa.Table:
    """Rows of `READ_SCHEMA` of the blocks whose numbers are in the column `id`."""
    rows = [row for block in batch["id"] for row in read_rows(blocks[block], corpus, step=int(block))]
    return table_of({name: [row[name] for row in rows] for name in READ_SCHEMA.names}, READ_SCHEMA)
