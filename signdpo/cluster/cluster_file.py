"""Is a cluster.yaml for AWS right? Asked offline, before `ray up` starts anything that costs money."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from signdpo.config import ConfigError, did_you_mean

# https://aws.amazon.com/ec2/instance-types/
SMALL_SIZES = {"large": 2, "xlarge": 4}  # vCPUs; a size `<n>xlarge` has 4 n
ACCELERATED = re.compile(r"(g|p|trn|inf|dl|vt|f)\d")  # families of which some have GPUs or the like
GPUS = {
    name: gpus
    for gpus, names in {
        1: "g5.xlarge g5.2xlarge g5.4xlarge g5.8xlarge g5.16xlarge g6.xlarge g6.2xlarge g6.4xlarge g6.8xlarge "
        "g6.16xlarge g6e.xlarge g6e.2xlarge g6e.4xlarge g6e.8xlarge g6e.16xlarge p5.4xlarge",
        4: "g5.12xlarge g5.24xlarge g6.12xlarge g6.24xlarge g6e.12xlarge g6e.24xlarge",
        8: "g5.48xlarge g6.48xlarge g6e.48xlarge p4d.24xlarge p4de.24xlarge p5.48xlarge p5e.48xlarge p5en.48xlarge",
    }.items()
    for name in names.split()
}


def check_cluster_file(path: str | Path) -> dict[str, Any]:
    """The content of a cluster.yaml for AWS that `ray up` will understand.

    Ray's own validation takes any instance type, region and number of CPUs; they are checked against what botocore
    knows of AWS and against each other.

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


@cache
def instance_types() -> list[str]:
    """All that botocore knows: no network is asked."""
    import botocore.session

    return list(botocore.session.get_session().get_service_model("ec2").shape_for("InstanceType").enum)


def _node_problems(cluster: Mapping[str, Any]) -> Iterator[str]:
    known = instance_types()
    for name, kind in cluster["available_node_types"].items():
        key = f"available_node_types.{name}"
        yield from (f"{key}.{problem}" for problem in _count_problems(kind, cluster))
        instance = str(kind["node_config"].get("InstanceType"))
        if instance not in known:
            yield f"{key}.node_config.InstanceType={instance} is no instance type of EC2{did_you_mean(instance, known)}"
        else:
            yield from (f"{key}.resources.{problem}" for problem in _resource_problems(instance, kind["resources"]))


def _count_problems(kind: Mapping[str, Any], cluster: Mapping[str, Any]) -> Iterator[str]:
    least, most = kind.get("min_workers", 0), kind.get("max_workers", cluster["max_workers"])
    for name, count in (("min_workers", least), ("max_workers", most)):
        if count < 0:
            yield f"{name}={count} is negative"
    if least > most:
        yield f"min_workers={least} is more than max_workers={most}"
    if most > cluster["max_workers"]:
        yield f"max_workers={most} is more than the cluster's max_workers={cluster['max_workers']}"


def _resource_problems(instance: str, declared: Mapping[str, int]) -> Iterator[str]:
    """Declared CPUs and GPUs against what the instance has; CPUs may be fewer, to leave some to other programs."""
    size = instance.split(".")[1]
    times = re.fullmatch(r"(\d+)xlarge", size)
    cpus = 4 * int(times[1]) if times else SMALL_SIZES.get(size)
    if cpus is not None and declared.get("CPU", cpus) > cpus:
        yield f"CPU={declared['CPU']}, and a {instance} has {cpus}"
    gpus = GPUS.get(instance) if ACCELERATED.match(instance) else 0
    if gpus is None:
        yield f"GPU={declared.get('GPU', 0)}: how many a {instance} has is not known here, add it to {__name__}.GPUS"
    elif declared.get("GPU", 0) != gpus:
        yield f"GPU={declared.get('GPU', 0)}, and a {instance} has {gpus}"
