"""What trials have to beat: the dev score of the policy that they all start from."""

from __future__ import annotations

from typing import Any

import ray

from signdpo.config import Config
from signdpo.run_context import RunContext
from signdpo.storage.files import exists, read_json, write_json

FILE = "baseline.json"


def baseline_score(context: RunContext, policy_hash: str) -> float:
    """The score of `pretrain/policy` as a trial's policy is scored, greedy on dev; kept in `baseline.json`."""
    config, place = context.config, context.path(FILE)
    if not exists(place) or read_json(place)["policy_hash"] != policy_hash:
        resources = config.resources
        scored = _score.options(
            num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker if resources.use_gpu else 0
        ).remote(config, context.baseline, context.path("clips"))
        write_json(place, {"policy_hash": policy_hash, **ray.get(scored)})
    return float(read_json(place)[config.dpo.select_by])


@ray.remote
def _score(config: Config, folder: str, clips: str) -> dict[str, Any]:
    import torch

    from signdpo.data.clips import read_clips
    from signdpo.models.policy import Policy
    from signdpo.storage.files import fetch_folder
    from signdpo.training.workers import score_dev

    policy = Policy.load(fetch_folder(folder))
    policy.model.to("cuda" if config.resources.use_gpu else "cpu")
    torch.set_num_threads(max(1, int(config.resources.cpus_per_worker)))
    return score_dev(policy, read_clips(clips, "dev"), config)
