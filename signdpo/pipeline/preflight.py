"""What is checked before any work: each refusal names the key, what was found and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signdpo.cluster.joining import starts_here
from signdpo.cluster.placement import Demand
from signdpo.cluster.plan import begin_ray, check_demands, joined_cluster
from signdpo.cluster.storage_check import check_storage
from signdpo.config import Config, ConfigError
from signdpo.corpora.plain_text import read_sentences
from signdpo.data.cache import check_cache
from signdpo.monitoring.following import check_tracking
from signdpo.pipeline.stage import Stage, read_manifest
from signdpo.pipeline.stages import stages_of
from signdpo.pipeline.stages.language import Language
from signdpo.pipeline.stages.perturber import Perturber, read_pairs
from signdpo.run_context import RunContext
from signdpo.storage.files import is_local


def demands_of(config: Config, stages: Sequence[Stage[Any]]) -> list[Demand]:
    """What stages keep running at the same time, in their order."""
    return [demand for stage in stages for demand in stage.demands(config)]


def refuse_early(config: Config) -> None:
    """Refuse a run without room where that is arithmetic alone: before Ray takes its seconds, and imports theirs."""
    if starts_here():
        check_demands(config, demands_of(config, stages_of(config)))


def check_config(config: Config) -> None:
    """Check everything that the configuration names, without Ray.

    Raises:
        ConfigError: for the first thing that is not there or does not fit.
    """
    from signdpo.dpo.losses import loss_of  # these bring torch and transformers
    from signdpo.negatives.skeleton.negative import check_operations
    from signdpo.pipeline.policy_checks import check_language, check_policy

    check_operations(config.negatives)
    loss_of(config.dpo)
    if not config.dpo.levels:
        raise ConfigError(
            "dpo.weights are all 0, so nothing would be preferred: give a level a weight above 0 (plain likelihood is "
            "what control=steps trains)"
        )
    check_policy(config)
    if Language().is_wanted(config):
        read_sentences(config)
    if config.negatives.perturber.kind == "pairs" and Perturber().is_wanted(config):
        read_pairs(config.negatives.perturber)
    check_cache(config)
    check_language(config)
    check_tracking(config)


def check_run(context: RunContext, stages: Sequence[Stage[Any]]) -> list[Demand]:
    """Check everything that can be known now, with Ray started or joined on the way; the plan of resources.

    Raises:
        ConfigError: for the first thing that would stop the run, or let it wait for ever.
    """
    config = context.config
    for stage in stages:
        read_manifest(context, stage)
    check_config(config)
    needed = demands_of(config, stages)
    begin_ray(config, needed)
    check_storage(context.directory)
    if is_local(context.directory) and joined_cluster().groups:
        context.warn(
            f"--run-dir {context.directory} is a local path, and nodes that the autoscaler adds must mount it too: "
            "name a URI such as s3://bucket/run unless they do"
        )
    return needed
