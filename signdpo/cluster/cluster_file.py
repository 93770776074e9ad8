"""Is a cluster.yaml for AWS right? Asked offline, before `ray up` starts anything that costs money."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from signdpo.config import ConfigError, did_you_mean


def check_cluster_file(path: str | Path) -> dict[str, Any]:
    """The content of a cluster.yaml for AWS that `ray up` will understand.

    Ray's own validation takes any instance type and region, which botocore knows by name, and any number of nodes.

    Raises:
        ConfigError: every problem, a line each, with its key.
    """
    try:
        cluster = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    _validate_with_ray(path, cluster)
    problems = [*_provider_problems(cluster["provider"]), *_node_problems(cluster)]
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return dict(cluster)


def _validate_with_ray(path: str | Path, cluster: Any) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    if not isinstance(cluster, dict):
        raise ConfigError(f"{path} must hold a mapping, found {type(cluster).__name__}")
    try:
        validate_config(prepare_config(copy.deepcopy(cluster)))
    except ValidationError as error:
        place = ".".join(map(str, error.absolute_path))
        raise ConfigError(f"{path}: Ray refuses {place or 'it'}: {error.message}") from error
    except (ValueError, KeyError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"{path}: Ray refuses it: {error}") from error


def _provider_problems(provider: Mapping[str, Any]) -> Iterator[str]:
    import botocore.session

    if provider["type"] != "aws":
        yield f"provider.type={provider['type']}: only aws can be checked here"
        return
    region, regions = provider.get("region"), botocore.session.get_session().get_available_regions("ec2")
    if region not in regions:
        yield f"provider.region={region} is not a region of AWS{did_you_mean(str(region), regions)}"
    for zone in str(provider.get("availability_zone", "")).replace(" ", "").split(","):
        if zone and not re.fullmatch(rf"{re.escape(str(region))}[a-z]", zone):
            yield f"provider.availability_zone={zone} is not in provider.region={region}"


def _node_problems(cluster: Mapping[str, Any]) -> Iterator[str]:
    import botocore.session

    # All that botocore knows: no network is asked.
    known = list(botocore.session.get_session().get_service_model("ec2").shape_for("InstanceType").enum)
    for name, kind in cluster["available_node_types"].items():
        key = f"available_node_types.{name}"
        yield from (f"{key}.{problem}" for problem in _count_problems(kind, cluster))
        instance = str(kind["node_config"].get("InstanceType"))
        if instance not in known:
            yield f"{key}.node_config.InstanceType={instance} is no instance type of EC2{did_you_mean(instance, known)}"


def _count_problems(kind: Mapping[str, Any], cluster: Mapping[str, Any]) -> Iterator[str]:
    least, most = kind.get("min_workers", 0), kind.get("max_workers", cluster["max_workers"])
    for name, count in (("min_workers", least), ("max_workers", most)):
        if count < 0:
            yield f"{name}={count} is negative"
    if least > most:
        yield f"min_workers={least} is more than max_workers={most}"
    if most > cluster["max_workers"]:
        yield f"max_workers={most} is more than the cluster's max_workers={cluster['max_workers']}"
