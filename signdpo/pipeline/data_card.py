"""The negatives of a run as a data set for others: Parquet that explains itself by a card, as the Hugging Face Hub
reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rich.console import Console

from signdpo.config import Config, lay_over
from signdpo.data.cache import MANIFEST
from signdpo.data.clips import read_parquet
from signdpo.data.rows import PREFERENCE_SCHEMA
from signdpo.levels import BY_NAME, LEVELS, SKELETON_LEVELS
from signdpo.pipeline.preflight import check_run
from signdpo.pipeline.run import show_plan
from signdpo.pipeline.stage import plan, run_stages
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.clips import Clips
from signdpo.pipeline.stages.negatives import Negatives, cache_folder
from signdpo.pipeline.stages.pretrain import Pretrain
from signdpo.report.markdown import to_card, to_markdown
from signdpo.run_context import RunContext
from signdpo.skeleton.layout import LAYOUT_VERSION, PARTS
from signdpo.storage.files import CARD, absolute, exists, join, read_json, write_text

COUNTED: Final = ("id", "epoch", "valid", "reference_margins")
SAID: Final = {"skeleton": "another clip", "sentence": "another sentence", "both": "a clip and sentence of other signs"}
ABOUT: Final[Mapping[str, str]] = {
    "id": "the clip, unique within its split",
    "text": "the sentence that is signed: the chosen one of every pair",
    "num_frames": "frames of the clip and of each of its perturbed versions",
    "keypoints": "`num_frames * 69 * 3` of the clip: x, y, confidence of each joint, normalised",
    "gloss": "the signs in order; empty if unknown",
    "gloss_spans": "first and past-the-last frame of each gloss; empty if unknown",
    "signer": "empty if unknown",
    "epoch": "from 0; each has negatives of its own",
    "step": "the update that the row is for",
    **{f"keypoints_{level}": f"of the non-preferred clip of `{level}`; empty if not made" for level in SKELETON_LEVELS},
    "rejected_text": "the non-preferred sentence of `language`; empty if none was found",
    "keypoints_counterfactual": "of the clip in which other signs are signed; empty if there is none",
    "text_counterfactual": "the sentence that is right for it, and preferred to `text` there",
    "reference_counterfactual": "log r of that pair, in nats",
    "reference_logps": "log r of the chosen one, then of the rejected ones in the order of the levels",
    "reference_margins": "log r(chosen) - log r(rejected), in the order of the levels",
    "valid": "whether a level has a pair, in the order of the levels",
    "operations": "the operation of each skeleton level; `none` if none was applied",
    "strengths": "of these operations, in (0, 1]",
    "redraws": "times that each was drawn again",
    "salience_frames": "share of the meaning that the policy's attention gives each frame",
    "salience_parts": f"share that it gives {', '.join(PARTS)}",
    "reference_hash": "of the weights that scored the row",
    "policy_version": "0: the reference guided the negatives",
    "generator": "the actor that made the row",
}


def generate_negatives(config: Config, directory: str, console: Console, *, licence: str) -> str:
    """Make the negatives of a run, or take those that are there, and write their card; returns their folder.

    Args:
        config: of the run.
        directory: of the run, finished or new.
        console: where a person reads.
        licence: under which the corpus' clips and sentences may be used.

    Raises:
        ConfigError: before any work, if the configuration cannot be run here.
    """
    context = RunContext(lay_over(config, {"negatives.mode": "cached"}), absolute(directory), console)
    stages = [stage for stage in stages_of(context.config) if stage.shared]
    needed = check_run(context, stages)
    show_plan(context, plan(context, stages), needed)
    if not exists(context.path("config.yaml")):
        write_text(context.path("config.yaml"), config.to_yaml())
    before = run_stages(context, stages)
    folder = cache_folder(context, before[Negatives].key)
    facts = {
        "rows are decided by": f"`{before[Negatives].key}`, whose parts `{MANIFEST}` has",
        "clips": f"`{before[Clips].content_hash[:16]}` of corpus.kind={config.corpus.kind}",
        "reference policy": f"`{before[Pretrain].policy_hash[:16]}`",
    }
    write_text(join(folder, CARD), card(config, read_counts(folder), facts, licence=licence))
    console.print(f"negatives  {folder}", markup=False, soft_wrap=True)
    console.print(f"card       {join(folder, CARD)}", markup=False, soft_wrap=True)
    return folder


def read_counts(folder: str) -> pa.Table:
    """The columns of all rows that a card counts."""
    files = [join(folder, name) for name in read_json(join(folder, MANIFEST))["parts"]]
    with ThreadPoolExecutor(8) as pool:
        return pa.concat_tables(pool.map(lambda file: read_parquet(file, columns=COUNTED), files))


def card(config: Config, rows: pa.Table, facts: Mapping[str, str], *, licence: str) -> str:
    """The card of a data set of negatives, in Markdown with the header that the Hub reads.

    Args:
        config: of the run.
        rows: columns `COUNTED` of all rows.
        facts: where they come from, by name.
        licence: of the corpus.
    """
    header: dict[str, Any] = {
        "pretty_name": "SignDPO negatives",
        "language": [config.corpus.language],
        "license": "other",
        "license_name": licence,
        "tags": ["sign-language-translation", "preference", "dpo", "pose"],
        "configs": [{"config_name": "default", "data_files": "*.parquet"}],
    }
    clips, epochs = len(set(rows["id"].to_pylist())), len(set(rows["epoch"].to_pylist()))
    columns = [(f"`{field.name}`", str(field.type), ABOUT[field.name]) for field in PREFERENCE_SCHEMA]
    paragraphs = [
        "# Preference pairs for sign language translation",
        f"{len(rows)} rows: {clips} training clips, each in {epochs} epochs with other negatives. A row is a clip of "
        "2-D keypoints with its sentence, and what is preferred less. Made by SignDPO, guided by the attention of the "
        "policy (arXiv 2604.18034).",
        '```python\nfrom datasets import load_dataset\nload_dataset("parquet", data_files="*.parquet")\n```',
        "## Pairs",
        _pairs(config, rows),
        "## Columns",
        to_markdown([("column", "type", ""), *columns]),
        f"Keypoints are flat lists of float16 in the layout `{LAYOUT_VERSION}` of 69 joints (body, hands, face), "
        "centred and scaled by part; `log r` is the log-probability of a sentence given a clip under the reference "
        f"policy, in nats. The order of the levels is {', '.join(LEVELS)}.",
        "## Where they come from",
        "\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
        f"- licence of the corpus: {licence}. The rows hold its clips and sentences, so it holds for them, too.",
    ]
    return to_card(header, paragraphs, config.to_yaml())


def _pairs(config: Config, rows: pa.Table) -> str:
    """A table of the levels that were made: how many pairs they have, and how hard they are."""
    valid = np.array(rows["valid"].to_pylist(), dtype=bool).reshape(-1, len(LEVELS))
    margins = np.array(rows["reference_margins"].to_pylist(), dtype=float).reshape(-1, len(LEVELS))
    table = [("level", "preferred less is", "pairs", "of the rows", "margin, quartiles in nats")]
    for place, level in enumerate(LEVELS):
        if level not in config.made_levels:
            continue
        kept = margins[valid[:, place], place]
        spread = " / ".join(f"{value:.2f}" for value in np.quantile(kept, (0.25, 0.5, 0.75))) if len(kept) else ""
        share = f"{100 * valid[:, place].mean():.1f} %"
        table.append((f"`{level}`", SAID[BY_NAME[level].perturbs], str(len(kept)), share, spread))
    return to_markdown(table)
