"""A cluster of one machine whose autoscaler starts and stops nodes as a cloud would: Ray's fake provider.

Run as a script, in a process of its own: evaluates a policy on generators for which there is no node at first.
`ray.cluster_utils.AutoscalingCluster` is not used: its wheel lacks a file, and it stops every Ray on the machine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import ray

GENERATOR_NODES = 2  # at most
CLUSTER: dict[str, Any] = {
    "cluster_name": "fake",
    "max_workers": GENERATOR_NODES,
    "idle_timeout_minutes": 0.1,
    "upscaling_speed": 1.0,
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 4}, "node_config": {}, "max_workers": 0},
        "generators": {
            "resources": {"CPU": 1, "generator_slot": 1, "object_store_memory": 200 * 1024 * 1024},
            "node_config": {},
            "min_workers": 0,
            "max_workers": GENERATOR_NODES,
        },
    },
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    "cluster_synced_files": [],
    "rsync_exclude": [],
    "rsync_filter": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}
SETTINGS = [
    "corpus.synthetic.train_clips=8",
    "corpus.synthetic.dev_clips=128",
    "corpus.synthetic.test_clips=128",
    "evaluation.batch_size=4",
    f"resources.generators=[1, {GENERATOR_NODES}]",
    "resources.cpus_per_generator=1",
    "resources.generator_resources={generator_slot: 1}",
]


@contextmanager
def fake_cloud(home: Path) -> Iterator[str]:
    """The address of a head node with an autoscaler; everything it started is gone afterwards.

    Args:
        home: the home directory of the head node, for the file in which `ray up` leaves the configuration.
    """
    file = home / "ray_bootstrap_config.yaml"
    port, client_port = _free_port(), _free_port()
    address = f"127.0.0.1:{port}"
    file.write_text(json.dumps(CLUSTER | {"provider": CLUSTER["provider"] | {"gcs_address": address}}))
    command = [
        *("ray", "start", "--head", "--block", "--num-cpus=4", "--object-store-memory=200000000"),
        *("--include-dashboard=false", "--disable-usage-stats", f"--autoscaling-config={file}"),
        *(
            "--node-ip-address=127.0.0.1",
            f"--port={port}",
            f"--ray-client-server-port={client_port}",
            f"--temp-dir={home / 'ray'}",
        ),
    ]
    environment = os.environ | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with (home / "head.log").open("w") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield address
        finally:
            _end(head)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _end(head: subprocess.Popen[bytes]) -> None:
    """Kill a head node with all that it started, the nodes that its autoscaler started among them."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == head.pid:
                os.kill(int(stat.parent.name), signal.SIGKILL)
    head.wait()


def evaluate(directory: str) -> dict[str, Any]:
    """Translate a corpus on generators that need nodes of their own; what was asked, made and added."""
    from rich.console import Console

    from signdpo.cluster.plan import begin_ray, check_demands
    from signdpo.cluster.storage_check import check_storage
    from signdpo.config import load_config
    from signdpo.corpora.ingest import ingest
    from signdpo.corpora.registry import open_source
    from signdpo.models.policy import build_policy
    from signdpo.pipeline.stages.clips import Clips
    from signdpo.pipeline.stages.translation import Translation, translate
    from signdpo.run_context import RunContext

    config = load_config(None, SETTINGS)
    context = RunContext(config, directory, Console(file=StringIO()))
    begin_ray(config, [*Clips().demands(config), *Translation().demands(config)])
    too_many = load_config(None, [*SETTINGS, f"resources.generators=[{GENERATOR_NODES + 1}, {GENERATOR_NODES + 1}]"])
    result: dict[str, Any] = {"too many": refusal(lambda: check_demands(too_many, Translation().demands(too_many)))}
    source = open_source(config.corpus)
    ingest(source, context.path("clips"), config.corpus)
    build_policy(config, [entry.text for entry in source.entries("train")]).save(context.baseline)
    with Watch() as watch:
        translated = translate(context, ("dev", "test"), {"baseline": context.baseline}, {"baseline": [1.0]}, {})
        result["rows"] = len(translated)
        result["seconds"] = round(time.monotonic() - watch.began, 1)
        check_storage(directory)  # on all the nodes there are now
        result["not shared"] = refusal(lambda: check_storage("memory://run"))
        watch.wait_for(0, seconds=60)
    return result | {"nodes": watch.seen}


def refusal(check: Callable[[], object]) -> str:
    """What a check says that should refuse, or nothing."""
    from signdpo.config import ConfigError

    try:
        check()
    except ConfigError as error:
        return str(error)
    return ""


class Watch:
    """Notes when the number of nodes beside the head changes: `seen` is a list of (seconds, nodes)."""

    def __enter__(self) -> Watch:
        self.began, self.seen, self.over = time.monotonic(), [(0.0, self._count())], threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _count(self) -> int:
        return sum(node["Alive"] for node in ray.nodes()) - 1

    def _look(self) -> None:
        while not self.over.wait(0.2):
            nodes = self._count()
            if nodes != self.seen[-1][1]:
                self.seen.append((round(time.monotonic() - self.began, 1), nodes))
                print(self.seen[-1], file=sys.stderr)  # for whoever looks into a failure

    def wait_for(self, nodes: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.seen[-1][1] != nodes and time.monotonic() < until:
            time.sleep(0.2)


def main() -> None:
    home = Path(sys.argv[1])
    os.environ["HOME"] = str(home)
    with fake_cloud(home) as address:
        os.environ["RAY_ADDRESS"] = address
        try:
            result = evaluate(str(home / "run"))
        finally:
            ray.shutdown()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
