"""The number format: one per configuration, and refused where a GPU lacks it."""

import pytest
import torch

from signdpo.config import ConfigError, load_config
from signdpo.models.precision import autocast, set_up_precision


@pytest.mark.parametrize(
    ("given", "use_gpu", "format"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("float32", True, "float32"),
        ("bfloat16", False, "bfloat16"),
    ],
)
def test_the_configuration_alone_decides_the_format(given: str, use_gpu: bool, format: str) -> None:
    keys = [f"pretrain.precision={given}", f"dpo.precision={given}", f"resources.use_gpu={use_gpu}"]
    config = load_config(None, keys)
    assert (config.pretrain_precision, config.dpo_precision) == (format, format)


def test_a_gpu_without_bfloat16_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    set_up_precision(torch.device("cuda"), "float32", key="dpo.precision")
    with pytest.raises(ConfigError, match=r"dpo\.precision is bfloat16.*Tesla V100.*set dpo\.precision=float32"):
        set_up_precision(torch.device("cuda"), "bfloat16", key="dpo.precision")


def test_autocast_multiplies_in_the_format() -> None:
    matrix, cpu = torch.ones(2, 2), torch.device("cpu")
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(cpu, precision):
            assert (matrix @ matrix).dtype == dtype
