"""The stage `clips`: the corpus as Parquet."""

from __future__ import annotations

from signdpo.corpora.ingest import commonest_reasons, ingest
from signdpo.corpora.registry import open_source
from signdpo.data.clips import read_quarantine
from signdpo.monitoring.progress import StageProgress
from signdpo.monitoring.stalls import Watchdog
from signdpo.pipeline.stage import Outputs, RunContext


def prepare(context: RunContext, before: dict[str, Outputs], key: str) -> Outputs:
    """Ingest the corpus into `clips`."""
    corpus, directory = context.config.corpus, context.path("clips")
    watchdog = Watchdog(context.console, context.config.resources)
    with StageProgress(context.console, "clips", total=None, unit="clips", watchdog=watchdog) as meter:
        manifest = ingest(
            open_source(corpus), directory, corpus, progress=lambda done, total: meter.update(done, total=total)
        )
    quarantined = read_quarantine(directory)
    counts = ", ".join(f"{split} {summary.clips}" for split, summary in manifest.splits.items())
    context.console.print(f"  {counts}; quarantined {len(quarantined)}")
    for reason in commonest_reasons(quarantined):
        context.console.print(f"  {reason}", style="yellow", markup=False)
    return {
        "hash": manifest.content_hash,
        "clips": {split: summary.clips for split, summary in manifest.splits.items()},
        "quarantined": len(quarantined),
        "reasons": commonest_reasons(quarantined),
    }
