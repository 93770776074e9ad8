"""The negatives of a run as a data set of its own."""

import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from support.configs import ALL_LEVELS
from support.small_runs import SmallRun

from signdpo.config import load_config
from signdpo.data.rows import PREFERENCE_SCHEMA
from signdpo.levels import LEVELS
from signdpo.pipeline.data_card import ABOUT, CARD, COUNTED, card, generate_negatives


def test_every_column_is_explained() -> None:
    assert list(ABOUT) == PREFERENCE_SCHEMA.names


def test_the_card_counts_pairs_and_margins_and_names_the_licence() -> None:
    margins = np.full((4, len(LEVELS)), np.nan)
    margins[:, LEVELS.index("language")] = [1.0, 2.0, 3.0, 9.0]
    valid = np.isfinite(margins)
    valid[3] = False
    columns = {
        "id": ["a", "b"] * 2,
        "epoch": [0, 0, 1, 1],
        "valid": valid.tolist(),
        "reference_margins": margins.tolist(),
    }
    rows = pa.table({name: columns[name] for name in COUNTED})
    text = card(load_config(ALL_LEVELS), rows, {"clips": "`abc`"}, licence="CC-BY-4.0")
    header = yaml.safe_load(text.split("---")[1])
    assert header["license_name"] == "CC-BY-4.0"
    assert header["language"] == ["en"]
    assert "4 rows: 2 training clips, each in 2 epochs" in text
    assert "| `language` | another sentence | 3 | 75.0 % | 1.50 / 2.00 / 2.50 |" in text
    assert "| `temporal_local` | another clip | 0 | 0.0 % |  |" in text
    assert "- clips: `abc`" in text
    only_one = card(load_config(), rows, {}, licence="x")
    assert "`counterfactual` |" in only_one
    assert "| `language` | another" not in only_one


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_gives_its_negatives_away(small_run: SmallRun, tmp_path: Path) -> None:
    run = shutil.copytree(small_run.directory, tmp_path / "run")
    before, console = (run / "config.yaml").read_text(), Console(file=StringIO(), width=200)
    folder = generate_negatives(small_run.config, str(run), console, licence="CC0-1.0")
    assert folder in console.file.getvalue()  # type: ignore[attr-defined]
    parts = json.loads((run / folder / "manifest.json").read_text())["parts"]
    table = pq.read_table([f"{folder}/{name}" for name in parts])
    assert table.schema.names == PREFERENCE_SCHEMA.names
    assert len(table) == 2 * 72
    text = (run / folder / CARD).read_text()
    assert "144 rows: 72 training clips, each in 2 epochs" in text
    assert "CC0-1.0" in text
    assert (run / "config.yaml").read_text() == before
