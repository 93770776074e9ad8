"""Whether every node of a cluster can use a run directory."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import fsspec
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from signdpo.config import ConfigError
from signdpo.storage.files import is_local

PROBE_SECONDS = 60.0  # for a node to write, and to start the process that does; object stores retry for long

NOT_SHARED = "what another node wrote there is not seen"


def check_storage(directory: str) -> None:
    """Let every node write to the run directory and read what the first one wrote.

    Nodes that an autoscaler adds later are not asked: they are set up as those that are there.

    Raises:
        ConfigError: naming the node that cannot, and why.
    """
    nodes = _alive_nodes()
    own = ray.get_runtime_context().get_node_id()
    others = [node for node in nodes if node != own]
    first = f".probe-{uuid.uuid4().hex}"
    _refuse(directory, _ask([own], directory, first, None), nodes)
    try:
        _refuse(directory, _ask(others, directory, first, first), nodes)
    finally:
        _remove(directory, [first, *(f"{first}-{node}" for node in others)])


def _ask(nodes: Sequence[str], directory: str, name: str, there: str | None) -> dict[str, str | None]:
    """Node -> what is wrong with the directory there, or None. Nodes that have gone meanwhile are left out."""
    asked = {}
    for node in nodes:
        here = _probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        asked[here.remote(directory, name if there is None else f"{name}-{node}", there)] = node
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS) if asked else ([], [])
    answers: dict[str, str | None] = {asked[reference]: f"no answer in {PROBE_SECONDS:g} s" for reference in silent}
    for reference in answered:
        try:
            answers[asked[reference]] = ray.get(reference)
        except ray.exceptions.RayError as error:
            answers[asked[reference]] = f"{type(error).__name__}: {error}"
    alive = _alive_nodes()
    return {node: problem for node, problem in answers.items() if node in alive}


def _alive_nodes() -> dict[str, str]:
    """Id -> host name."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}


@ray.remote(num_cpus=0, max_retries=0)
def _probe(directory: str, name: str, there: str | None) -> str | None:
    """What keeps this node from writing a file to a directory, or from seeing the one that is `there`."""
    try:
        filesystem, folder = fsspec.core.url_to_fs(directory)
        if there is not None and not filesystem.exists(f"{folder}/{there}"):
            return NOT_SHARED
        filesystem.makedirs(folder, exist_ok=True)
        filesystem.pipe_file(f"{folder}/{name}", b"signdpo")
        return None if filesystem.cat_file(f"{folder}/{name}") == b"signdpo" else "what was written reads otherwise"
    except Exception as error:  # whatever a storage raises, the answer is that it cannot be used
        return f"{type(error).__name__}: {error}"


def _refuse(directory: str, answers: Mapping[str, str | None], nodes: Mapping[str, str]) -> None:
    for node, problem in answers.items():
        if problem is not None:
            remedy = (
                "name a folder that every node mounts, or a URI such as s3://bucket/run"
                if is_local(directory) or problem == NOT_SHARED
                else "check that the bucket exists, that the nodes' role may write to it, and that its fsspec package "
                "(s3fs, gcsfs, adlfs) is installed on them"
            )
            raise ConfigError(f"--run-dir {directory} cannot be used on node {nodes[node]}: {problem}; {remedy}")


def _remove(directory: str, names: Sequence[str]) -> None:
    filesystem, folder = fsspec.core.url_to_fs(directory)
    for name in names:
        if filesystem.exists(f"{folder}/{name}"):
            filesystem.rm_file(f"{folder}/{name}")
