"""Whether a plan fits on nodes: sums, single nodes, shares of GPUs, and nodes that may be added."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import yaml
from support.configs import ALL_LEVELS

from signdpo.cluster.autoscaling import of_cluster_file
from signdpo.cluster.placement import Demand, Inventory, NodeGroup, Part, check_placement
from signdpo.cluster.plan import check_demands
from signdpo.config import Config, ConfigError, ResourcesConfig, load_config
from signdpo.pipeline.preflight import demands_of
from signdpo.pipeline.stages import stages_of

CLUSTER_FILE = Path(__file__).parents[2] / "cluster.yaml"


def demands(config: Config) -> list[Demand]:
    return demands_of(config, stages_of(config))


def place(inventory: Inventory, *parts: tuple[int, dict[str, float]]) -> None:
    demand = Demand("align", tuple(Part("worker", each, count, count, ("resources.workers",)) for count, each in parts))
    check_placement([demand], inventory)


def nodes(*resources: dict[str, float]) -> Inventory:
    return Inventory(resources)


def test_what_fits_exactly_is_placed() -> None:
    place(nodes({"CPU": 2}), (1, {"CPU": 0.5}), (1, {"CPU": 0.5}), (1, {"CPU": 1}))
    place(nodes({"CPU": 1}), (10, {"CPU": 0.1}))


def test_a_worker_larger_than_every_node_is_refused_though_the_sum_fits() -> None:
    with pytest.raises(ConfigError, match=r"worker of 8 CPU, and no node has more than 4 CPU.*resources\.workers"):
        place(nodes({"CPU": 4}, {"CPU": 4}), (1, {"CPU": 8}))


def test_workers_that_fit_one_by_one_and_not_together_are_refused() -> None:
    place(nodes({"CPU": 4}, {"CPU": 4}), (2, {"CPU": 3}))
    with pytest.raises(ConfigError, match=r"align stage needs 9 CPU.*has 2 x 4 CPU.*no node has room left for every"):
        place(nodes({"CPU": 4}, {"CPU": 4}), (3, {"CPU": 3}))


def test_a_share_of_a_gpu_comes_from_one_gpu() -> None:
    place(nodes({"CPU": 8, "GPU": 1}), (1, {"CPU": 4, "GPU": 0.6}), (2, {"CPU": 2, "GPU": 0.2}))
    with pytest.raises(ConfigError, match=r"1\.8 GPU"):  # 2 are there, but each holds only one of 0.6
        place(nodes({"CPU": 8, "GPU": 2}), (3, {"CPU": 1, "GPU": 0.6}))


def test_gpus_on_a_cluster_without_any_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"no node has more than 0 GPU.*set resources\.use_gpu=false"):
        place(nodes({"CPU": 8}), (1, {"CPU": 1, "GPU": 1}))


def test_resources_that_no_node_has_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="no node has all of that"):
        place(nodes({"CPU": 8}, {"CPU": 1, "GPU": 1}), (1, {"CPU": 4, "GPU": 1}))


def test_tasks_leave_special_nodes_to_those_that_need_them() -> None:
    place(nodes({"CPU": 1, "generator_slot": 1}, {"CPU": 1}), (1, {"CPU": 1}), (1, {"CPU": 1, "generator_slot": 1}))


def test_nodes_that_may_be_added_count_up_to_their_limits() -> None:
    generators = NodeGroup("generators", {"CPU": 2, "generator_slot": 1}, 2)
    growing = Inventory(({"CPU": 1},), (generators,))
    place(growing, (2, {"CPU": 2, "generator_slot": 1}), (1, {"CPU": 1}))
    with pytest.raises(ConfigError, match=r"up to 2 x 2 CPU, 1 generator_slot \(generators\) to be added"):
        place(growing, (3, {"CPU": 2, "generator_slot": 1}))
    with pytest.raises(ConfigError, match="no node has room left"):
        place(Inventory(({"CPU": 1},), (generators,), most_added=1), (2, {"CPU": 2, "generator_slot": 1}))
    place(Inventory((), (NodeGroup("any", {"CPU": 2}),)), (50, {"CPU": 2}))


def test_a_plan_for_one_machine_is_refused_exactly_where_it_would_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("signdpo.cluster.plan.starts_here", lambda: True)
    generators = ((1, 1), (1, 4), (2, 2))
    for num_cpus, workers, cpus, (fewest, most), each in product(
        (1, 2, 3, 4), (1, 2, 3), (0.5, 1.0, 2.0), generators, (0.25, 1.0)
    ):
        resources = ResourcesConfig(
            num_cpus=num_cpus,
            workers=workers,
            cpus_per_worker=cpus,
            cpus_per_pretrain_worker=0.5,
            generators=(fewest, most),
            cpus_per_generator=each,
        )
        config = Config(resources=resources)
        # By hand: one CPU stays free beside the one that pre-trains, and beside trainers and the fewest generators.
        if num_cpus >= 0.5 + 1 and num_cpus >= workers * cpus + fewest * each + 1:
            check_demands(config, demands(config))
        else:
            with pytest.raises(ConfigError, match=r"resources\..*raise resources\.num_cpus"):
                check_demands(config, demands(config))


def test_every_stage_that_runs_is_planned() -> None:
    def planned(*overrides: str) -> list[tuple[str, float]]:
        return [(demand.stage, demand.cpus) for demand in demands(load_config(ALL_LEVELS, overrides))]

    ends = [("align", 2.5), ("translation", 1.5)]
    control, segments = ("control", 2), ("segments", 1.5)
    begins = [("clips", 1), ("pretrain", 2), control, ("perturber", 1.5), ("perturber", 1), segments]
    assert planned() == [*begins, *ends]
    assert planned("negatives.perturber.kind=rules", "policy.init=/x") == [("clips", 1), control, segments, *ends]
    assert planned("negatives.mode=cached")[6:] == [("negatives", 1.5), ("align", 2), ("translation", 1.5)]


def test_the_preset_cluster_fits_what_cluster_yaml_may_become() -> None:
    cluster = of_cluster_file(yaml.safe_load(CLUSTER_FILE.read_text()))
    check_placement(demands(load_config(None, ["resources=cluster"])), cluster)
    most = ["resources=cluster", "resources.generators=[8, 8]"]
    check_placement(demands(load_config(None, most)), cluster)  # all that the preset grows to has a place
    with pytest.raises(ConfigError, match="no node has room left for every generator"):
        check_placement(demands(load_config(None, [*most, "resources.generators=[9, 9]"])), cluster)
