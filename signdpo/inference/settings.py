"""What a policy is used with: the settings of the run it comes from, or those in its own folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import yaml
from rich.console import Console

from signdpo.config import Config, ConfigError, load_config, parse_config
from signdpo.config.evaluation import TUNE
from signdpo.evaluation.systems import policies_of
from signdpo.run_context import RunContext
from signdpo.storage.files import absolute, exists, join, read_json, read_text

# Of a run's configuration; what it asked of its machines says nothing of this one.
SECTIONS: Final = ("seed", "corpus", "policy", "evaluation")
DECODING: Final = ("num_beams", "max_new_tokens", "length_penalty", "no_repeat_ngram_size")


def config_of(policy: str, path: str | None, overrides: Iterable[str]) -> Config:
    """The configuration that clips are read and decoded with.

    Args:
        policy: folder or URI of the policy.
        path: a YAML file that says it; None: the `config.yaml` of the run whose policy this is, else the policy's
            `generation_config.json` over the defaults.
        overrides: `key=value`, laid over that.

    Raises:
        ConfigError: if there is no policy, or a setting is not valid.
    """
    if not exists(join(policy, "config.json")):
        raise ConfigError(
            f"--policy {policy}: there is no policy here (no config.json); name a folder such as "
            "runs/default/align/policy"
        )
    if path is not None:
        return load_config(path, overrides)
    if (run := _run_of(policy)) is not None:
        kept = yaml.safe_load(read_text(join(run, "config.yaml")))
        return parse_config({section: kept[section] for section in SECTIONS if section in kept}, overrides)
    place = join(policy, "generation_config.json")
    own = read_json(place) if exists(place) else {}
    return parse_config({"evaluation": {name: own[name] for name in DECODING if name in own}}, overrides)


def length_penalty_of(policy: str, config: Config, console: Console) -> float:
    """The exponent that beams are ranked with; where a run tuned it, what it chose for this policy."""
    given = config.evaluation.length_penalty
    if given != TUNE:
        return float(given)
    if (run := _run_of(policy)) is not None:
        from signdpo.pipeline.stage import read_outputs  # these bring Ray
        from signdpo.pipeline.stages.translation import Translation

        context = RunContext(config, run, console)
        systems = {folder: system for system, folder in policies_of(context).items()}
        if (system := systems.get(absolute(policy))) is not None:
            return read_outputs(context, Translation).length_penalties[system]
    raise ConfigError(
        f"evaluation.length_penalty={TUNE} is chosen on dev, and no run tells what was chosen for {policy}: give "
        "--length-penalty"
    )


def _run_of(policy: str) -> str | None:
    """The run directory that a policy lies in, two folders below it."""
    run = absolute(policy).rsplit("/", 2)[0]
    return run if exists(join(run, "config.yaml")) else None
