"""cluster.yaml is valid by Ray's own code and by AWS's names; what is wrong in it is named."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.jobs import load_job

from signdpo.cluster.cluster_file import check_cluster_file
from signdpo.config import ConfigError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "cluster.yaml"


def types(cluster: dict[str, Any], name: str) -> dict[str, Any]:
    return cluster["available_node_types"][name]


def test_the_shipped_file_is_valid_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the check went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    cluster = check_cluster_file(SHIPPED)
    assert set(cluster["available_node_types"]) == {"head", "trainer", "generator", "cpu"}


def test_the_shipped_file_has_the_ray_that_the_project_pins() -> None:
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    version = next(line.partition("==")[2] for line in pinned if line.startswith("ray["))
    assert f":{version}-py3" in yaml.safe_load(SHIPPED.read_text())["docker"]["image"]


def test_the_shipped_file_opens_no_port_to_the_world() -> None:
    cluster = yaml.safe_load(SHIPPED.read_text())
    assert cluster["provider"]["use_internal_ips"] is True
    assert "--env=RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]
    assert "0.0.0.0" not in SHIPPED.read_text()


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a mistyped instance type": (
        lambda c: types(c, "generator")["node_config"].update(InstanceType="g6e.2xlage"),
        r"generator\.node_config\.InstanceType=g6e\.2xlage is no instance type of EC2: did you mean g6e\.2xlarge",
    ),
    "a mistyped region": (
        lambda c: c["provider"].update(region="us-wset-2"),
        r"provider\.region=us-wset-2 is not a region of AWS: did you mean us-west-2",
    ),
    "a zone of another region": (
        lambda c: c["provider"].update(availability_zone="eu-west-1a"),
        r"provider\.availability_zone=eu-west-1a is not in provider\.region=us-west-2",
    ),
    "a negative count": (lambda c: types(c, "cpu").update(min_workers=-1), r"cpu\.min_workers=-1 is negative"),
    "min above max": (
        lambda c: types(c, "trainer").update(min_workers=3),
        r"trainer\.min_workers=3 is more than max_workers=2",
    ),
    "max above the cluster's": (
        lambda c: types(c, "generator").update(max_workers=9),
        r"generator\.max_workers=9 is more than the cluster's max_workers=8",
    ),
    "more minimum than the cluster": (
        lambda c: (
            [types(c, name).update(min_workers=2) for name in ("trainer", "generator")] + [c.update(max_workers=3)]
        ),
        "Ray refuses it: .*max_workers",
    ),
    "a key that Ray does not know": (
        lambda c: types(c, "cpu").update(maxworkers=1),
        r"Ray refuses available_node_types\.cpu: .*maxworkers",
    ),
    "a head that is not there": (lambda c: c.update(head_node_type="hed"), "Ray refuses it: .*head_node_type"),
    "another provider": (lambda c: c["provider"].update(type="gcp"), "only aws can be checked"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused_with_its_key(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    cluster = yaml.safe_load(SHIPPED.read_text())
    cluster["available_node_types"] = {  # anchors make node types share what they are merged from
        name: yaml.safe_load(yaml.safe_dump(kind)) for name, kind in cluster["available_node_types"].items()
    }
    change(cluster)
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    with pytest.raises(ConfigError, match=message):
        check_cluster_file(tmp_path / "cluster.yaml")


@pytest.mark.parametrize(("text", "message"), [("- a\n- b", "must hold a mapping"), ("a: [", "cannot be read")])
def test_what_is_no_cluster_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_cluster_file(tmp_path / "cluster.yaml")


@pytest.mark.parametrize(("trainers", "code", "printed"), [(2, 0, "2 training workers"), (3, 2, "control stage needs")])
def test_the_job_checks_that_a_plan_has_its_places(
    trainers: int, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = load_job("check_cluster")
    assert job.main([str(SHIPPED), "--set", f"resources.workers={trainers}"]) == code
    assert printed in capsys.readouterr().out
