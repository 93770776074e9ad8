"""The ledger of an alignment: which rows it was trained on, when, by whom, and what they taught.

ledger-<key>/<first step>-<last step>-rank-<rank>.parquet     one row a clip and epoch

A rank writes its part of the steps between two checkpoints just before the later one is reported. So a checkpoint that
is complete has all its parts, and steps that are rolled back and trained on again replace their parts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from signdpo.data.batches import PreferenceBatch
from signdpo.data.clips import read_parquet, write_parquet
from signdpo.data.rows import table_of
from signdpo.storage.files import join, list_folder, remove_file

LEDGER_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("epoch", pa.int32()),  # from 0
        ("step", pa.int64()),  # from 0, over all epochs
        ("rank", pa.int32()),
        ("levels", pa.list_(pa.string())),  # those whose negative was accepted, and so taught something
        ("policy_version", pa.int32()),  # updates that the guide of the negatives had had
        ("generator", pa.string()),  # the actor that made them
    ]
)
NAMED = 5  # clips that an error names
PART = re.compile(r"\d+-(\d+)-rank-\d+\.parquet")  # with its last step


class LedgerError(RuntimeError):
    """Some rows were not trained on, or more than once."""


class Ledger:
    """Keeps the account of one rank.

    Args:
        folder: of the ledger, a local path or URI.
        rank: of this worker.
        step: batches consumed so far.
    """

    def __init__(self, folder: str, *, rank: int, step: int) -> None:
        self.folder, self.rank, self.committed = folder, rank, step
        self.parts: list[pa.Table] = []

    def record(self, batch: PreferenceBatch, *, skipped: bool = False) -> None:
        """Note the preference rows of a batch that was trained on, or whose step was skipped: it taught nothing."""
        columns = {
            "id": batch.ids,
            "epoch": batch.epochs,
            "step": batch.steps,
            "rank": [self.rank] * len(batch),
            "levels": [[] if skipped else _taught(batch, row) for row in range(len(batch))],
            "policy_version": batch.policy_versions,
            "generator": batch.generators,
        }
        self.parts.append(table_of(columns, LEDGER_SCHEMA))

    def commit(self, step: int) -> None:
        """Write what was recorded since the last call, of the steps up to `step` batches."""
        name = f"{self.committed + 1:07d}-{step:07d}-rank-{self.rank}.parquet"
        write_parquet(join(self.folder, name), pa.concat_tables(self.parts))
        self.committed, self.parts = step, []


def _taught(batch: PreferenceBatch, row: int) -> list[str]:
    return [level for level, valid in batch.valid.items() if valid[row]]


def forget_ledger(folder: str, *, after: int) -> None:
    """Remove the parts of later steps than that of the checkpoint that training goes on from.

    Another number of workers, or of steps between checkpoints, would not replace them.
    """
    for name in list_folder(folder):
        if (found := PART.fullmatch(name)) and int(found[1]) > after:
            remove_file(join(folder, name))


def read_ledger(folder: str) -> pa.Table:
    """All rows of a ledger, of `LEDGER_SCHEMA`, in the order of their steps and ranks."""
    names = [name for name in sorted(list_folder(folder)) if name.endswith(".parquet")]
    parts = [read_parquet(join(folder, name), LEDGER_SCHEMA) for name in names]
    return pa.concat_tables([LEDGER_SCHEMA.empty_table(), *parts]).sort_by(
        [("step", "ascending"), ("rank", "ascending")]
    )


def check_ledger(folder: str, clips: Sequence[str], *, epochs: int) -> str:
    """Check that each epoch was trained on every clip exactly once.

    Args:
        folder: of the ledger.
        clips: ids of all training clips.
        epochs: of the run.

    Returns:
        The finding in a few words.

    Raises:
        LedgerError: naming the clips and epochs that are missing, doubled or unknown.
    """
    ledger = read_ledger(folder)
    rows = Counter(zip(ledger["epoch"].to_pylist(), ledger["id"].to_pylist(), strict=True))
    planned = {(epoch, clip) for epoch in range(epochs) for clip in clips}
    faults = {
        "were not trained on": planned - set(rows),
        "were trained on more than once": {row for row, times in rows.items() if times > 1},
        "are not of this run": set(rows) - planned,
    }
    found = [
        f"{len(wrong)} {what}, such as {', '.join(f'{clip} in epoch {epoch}' for epoch, clip in sorted(wrong)[:NAMED])}"
        for what, wrong in faults.items()
        if wrong
    ]
    if found:
        raise LedgerError(
            f"the ledger {folder} has {len(ledger):,} rows instead of {len(planned):,}: {'; '.join(found)}; remove "
            "the align/ folder of this run and run it again"
        )
    taught = {level for levels in ledger["levels"].to_pylist() for level in levels}
    said = ", ".join(
        f"{count} {unit}{'s' if count != 1 else ''}" for count, unit in ((epochs, "epoch"), (len(taught), "level"))
    )
    return f"every clip once an epoch: {len(ledger):,} rows in {said}"
