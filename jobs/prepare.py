"""Check a corpus and store it as Parquet, without training anything.

python jobs/prepare.py --out clips
python jobs/prepare.py --set corpus.kind=uni_sign --set corpus.root=/data/CSL_Daily --set corpus.language=zh --out clips
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from signdpo.config import ConfigError, load_config
from signdpo.corpora.clips import Manifest, read_quarantine
from signdpo.corpora.ingest import commonest_reasons, ingest
from signdpo.corpora.registry import open_source
from signdpo.pipeline.cluster import start_ray
from signdpo.pipeline.progress import Meter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=None, metavar="FILE", help="YAML, for example jobs/configs/default.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeatable")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the clips go: a local path or a URI")
    arguments = parser.parse_args()
    console = Console()
    try:
        config = load_config(arguments.config, arguments.set)
        source = open_source(config.corpus)
        start_ray(config)
        with Meter(console, "clips", total=None, unit="clips") as meter:
            manifest = ingest(source, arguments.out, config.corpus, progress=lambda done, total: meter.update(done))
    except (ConfigError, ValueError, FileNotFoundError) as error:
        console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        return 2
    print_summary(console, manifest, arguments.out)
    return 0


def print_summary(console: Console, manifest: Manifest, directory: str) -> None:
    table = Table("split", "clips", "shortest", "median", "longest frames", "quarantined")
    for split, summary in manifest.splits.items():
        frames = (str(summary.shortest), f"{summary.median:g}", str(summary.longest))
        table.add_row(split, str(summary.clips), *frames, str(summary.quarantined))
    console.print(table)
    for reason in commonest_reasons(read_quarantine(directory)):
        console.print(f"quarantined: {escape(reason)}", soft_wrap=True)
    console.print(f"content {manifest.content_hash[:16]} in {escape(directory)}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
