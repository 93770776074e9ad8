"""Generators that need nodes of their own bring them up and let them go, and no row is lost on the way."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import ray
from ray.core.generated.autoscaler_pb2 import ClusterConfig, NodeGroupConfig
from rich.console import Console

from signdpo.cluster.autoscaling import autoscaled
from signdpo.config import Config
from signdpo.pipeline.preflight import check_run
from signdpo.pipeline.stages import stages_of
from signdpo.run_context import RunContext

SCRIPT = Path(__file__).parents[1] / "support" / "autoscaled_cluster.py"


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_generators_scale_nodes_up_from_none_and_down_again() -> None:
    with TemporaryDirectory(prefix="sd", dir="/tmp") as home:  # Ray's sockets have short paths
        # A token of its own. Ray reads the mode when it is imported, and the script moves its home.
        token = Path(home) / "token"
        token.write_text(secrets.token_hex(32))
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        command = [sys.executable, str(SCRIPT), home]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    counts = [nodes for _, nodes in result["nodes"]]
    assert counts[0] == counts[-1] == 0
    assert max(counts) == 2, result["nodes"]
    assert result["rows"] == {"dev": 128, "test": 128}
    # Two nodes may come, so three generators never find their places.
    assert "up to 2 x 1 CPU, 1 generator_slot (generators) to be added: no node has room" in result["too many"]
    assert "what another node wrote there is not seen" in result["not shared"]


@contextmanager
def reported(*groups: NodeGroupConfig) -> Iterator[None]:
    """While a platform reports what it may add to the cluster of these tests."""
    client = ray._private.worker.global_worker.gcs_client
    client.report_cluster_config(ClusterConfig(node_group_configs=groups).SerializeToString())
    try:
        yield
    finally:
        client.report_cluster_config(ClusterConfig().SerializeToString())


@pytest.mark.usefixtures("ray_cluster")
def test_what_a_platform_reports_may_be_added() -> None:
    there = {"CPU": 4.0}
    assert autoscaled([there]) is None
    groups = [
        NodeGroupConfig(name="fixed", resources={"CPU": 4}, max_count=1),  # is there already
        NodeGroupConfig(name="few", resources={"CPU": 8, "GPU": 1}, max_count=3),
        NodeGroupConfig(name="endless", resources={"CPU": 2}, max_count=-1),
    ]
    with reported(*groups):
        inventory = autoscaled([there])
    assert inventory is not None
    assert {group.name: group.most for group in inventory.groups} == {"few": 3, "endless": float("inf")}


@pytest.mark.usefixtures("ray_cluster")
def test_a_local_run_directory_on_nodes_to_come_is_warned_of(tmp_path: Path) -> None:
    context = RunContext(Config(), str(tmp_path), Console(file=StringIO()))
    check_run(context, stages_of(context.config))
    assert context.console.file.getvalue() == ""
    with reported(NodeGroupConfig(name="more", resources={"CPU": 8}, max_count=3)):
        check_run(context, stages_of(context.config))
    assert "nodes that the autoscaler adds must mount" in context.console.file.getvalue()
