"""Encoders by kind: what is refused, and how."""

import pytest

from signdpo.config import ConfigError, load_config
from signdpo.models.encoders.base import encoder_settings


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("st_gnc", r"policy\.encoder\.kind=st_gnc is not known: did you mean st_gcn\?"),
        ("nowhere:Encoder", r"policy\.encoder\.kind=nowhere:Encoder cannot be imported: No module named 'nowhere'"),
        ("os:system", r"policy\.encoder\.kind=os:system is .*, expected a signdpo\.models\.encoders\.base\.Skel"),
    ],
)
def test_a_kind_that_is_no_encoder_is_refused(kind: str, message: str) -> None:
    config = load_config(None, [f"policy.encoder.kind={kind}"])
    with pytest.raises(ConfigError, match=message):
        encoder_settings(config.policy.encoder.model_dump())


def test_a_mistyped_key_of_the_encoder_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"policy\.encoder\.joint_dm: did you mean policy\.encoder\.joint_dim\?"):
        load_config(None, ["policy.encoder.joint_dm=4"])


def test_settings_of_a_folder_without_a_kind_are_those_of_an_st_gcn() -> None:
    assert encoder_settings({"joint_dim": 4}).model_dump()["kind"] == "st_gcn"
