"""The Grafana board: it can be imported, it says what it shows, and it knows the metrics that there are."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from typing import Any

from support.grafana import load_board, metrics_in, panels_of, queries_of

from signdpo.monitoring.metrics import DEFINITIONS


def test_it_ships_with_the_package_and_one_command_prints_it() -> None:
    printed = subprocess.run([sys.executable, "-m", "signdpo.monitoring"], capture_output=True, text=True, check=True)
    assert json.loads(printed.stdout) == load_board()


def test_grafana_can_import_it() -> None:
    board = load_board()
    assert board["uid"] == "signdpo"
    assert board["id"] is None  # Grafana gives one on import
    assert board["schemaVersion"] >= 27  # what Ray's own boards have
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["run"]["query"]["query"] == "label_values(ray_signdpo_step, run)"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_stand_beside_each_other_under_four_questions() -> None:
    board = load_board()
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ["Is it going on?", "Negatives", "Preferences", "Cluster"]
    places = [panel["gridPos"] for panel in board["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_every_panel_has_a_title_a_description_a_unit_and_the_chosen_source() -> None:
    for panel in panels_of(load_board()):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        targets: list[dict[str, Any]] = panel["targets"]
        assert len({target["refId"] for target in targets}) == len(targets) > 0
        for source in (panel["datasource"], *(target["datasource"] for target in targets)):
            assert source == {"type": "prometheus", "uid": "${datasource}"}


def test_our_metrics_are_those_that_are_defined_and_all_of_them_are_shown_for_the_chosen_runs() -> None:
    queries = queries_of(load_board())
    shown = {name for query in queries for name in metrics_in(query) if name.startswith("ray_signdpo_")}
    assert shown <= {name for definition in DEFINITIONS for name in definition.exported}
    for definition in DEFINITIONS:
        assert shown & set(definition.exported), f"{definition.name} is on no panel"
    for query in queries:
        ours = [name for name in metrics_in(query) if name.startswith("ray_signdpo_")]
        assert query.count('{run=~"${run:regex}"') == len(ours), query


def test_metrics_have_names_of_their_own_and_gauges_a_source() -> None:
    names = [definition.name for definition in DEFINITIONS]
    assert len(set(names)) == len(names)
    for definition in DEFINITIONS:
        assert definition.name.startswith("signdpo_")
        assert (definition.source is not None) == (definition.kind == "gauge")
        assert bool(definition.boundaries) == (definition.kind == "histogram")
        assert list(definition.boundaries) == sorted(set(definition.boundaries))


def test_names_are_told_from_labels() -> None:
    query = 'sum by (ray_train_run_name) (rate(ray_a_total{ray_b=~"ray_c|x"}[5m])) / on (ray_d) ray_e or vector(0)'
    assert metrics_in(query) == ["ray_a_total", "ray_e"]
