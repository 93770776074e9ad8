"""The policy a run starts from: whether it is there and fits, and which one it is."""

from __future__ import annotations

from pathlib import Path

from signdpo.config import Config, ConfigError
from signdpo.models.policy import UNI_SIGN, uni_sign_of
from signdpo.models.uni_sign import open_uni_sign
from signdpo.storage import FileInfo, exists, join, list_files, list_folder


def check_policy(config: Config) -> None:
    """Raise `ConfigError` if the configuration names a policy that is not there or does not fit.

    A Uni-Sign checkpoint is checked whole, its weights unread: no corpus is prepared for one that cannot be used.
    """
    init = config.policy.init
    named = uni_sign_of(config)
    if named is not None:
        open_uni_sign(*named)
    elif init is not None and not exists(join(init, "config.json")):
        raise ConfigError(
            f"policy.init={init}: there is no policy here (no config.json); name a folder that Policy.save wrote, for "
            f"example another run's align/policy, or {UNI_SIGN}FILE for a checkpoint of the Uni-Sign release"
        )


def initial_files(config: Config) -> dict[str, list[int | str]]:
    """Size and stamp of every file that the configuration makes the policy of, by place; empty for a fresh one.

    A file that was replaced by another under the same name shows here. A hub name has no files here.
    """
    named = uni_sign_of(config)
    folders = [config.policy.init, config.policy.language_model.path] if named is None else [named[1]]
    found: dict[str, FileInfo] = {}
    for folder in folders:
        if folder is not None:
            found |= {join(folder, name): info for name, info in list_folder(folder).items()}
    if named is not None:
        folder, name = str(Path(named[0]).parent), Path(named[0]).name
        found |= {join(folder, name): info for name, info in list_files(folder, [name]).items()}
    return {place: [info.size, info.stamp] for place, info in sorted(found.items())}
