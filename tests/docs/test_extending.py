"""The worked examples of `docs/extending.md`: taken out of the page, imported, and held to what each kind promises."""

import importlib
import math
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from signdpo.config import Config, ConfigError, load_config
from signdpo.corpora.registry import open_source
from signdpo.dpo.objective import Logps, multi_level_objective
from signdpo.levels import LEVELS
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy, build_policy
from signdpo.negatives.seeding import generator
from signdpo.negatives.skeleton.negative import ClipToPerturb, check_operations, skeleton_negative
from signdpo.negatives.skeleton.operations import perturb
from signdpo.negatives.skeleton.region import Region
from signdpo.skeleton.clip import BadClipError
from signdpo.skeleton.normalisation import normalise
from signdpo.totals import means

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
EXAMPLES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL))
TEXTS = ["the man buys a red book", "my mother did not see the dog yesterday"] * 30


@pytest.fixture(scope="module", autouse=True)
def my_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("mine")
    for name, code in EXAMPLES.items():
        (folder / f"{name}.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def settings_of(name: str) -> list[str]:
    """The `--set` values of the command that follows an example."""
    command = re.search(rf"# {name}\.py.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert command is not None
    return [bare or quoted for quoted, bare in re.findall(r"--set (?:'([^']*)'|(\S+))", command[1])]


def test_every_block_of_code_is_run_here() -> None:
    assert PAGE.read_text().count("```python") == len(EXAMPLES) == 4


def test_the_reader_lists_reads_and_refuses(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.uniform(0, 500, (9, 133, 2)), rng.uniform(0.5, 1, (9, 133, 1))], axis=2)
    np.save(tmp_path / "a.npy", pixels)
    (tmp_path / "b.npy").write_bytes(b"no array")
    np.save(tmp_path / "c.npy", np.array([{"a": "pickle"}]))
    (tmp_path / "labels.csv").write_text("id,text,split\na,good morning,train\nb,x,train\nc,x,train\nd,x,dev\n")
    config = load_config(None, [*settings_of("my_reader"), f"corpus.root={tmp_path}"])
    source = pickle.loads(pickle.dumps(open_source(config.corpus)))
    good, *bad = source.entries("train")
    clip = source.read(good)
    clip.check()
    assert clip.text == "good morning"
    np.testing.assert_allclose(clip.keypoints[:, 0, :2], pixels[:, 0, :2], rtol=1e-6)  # both begin with the nose
    assert np.abs(normalise(clip.keypoints)).max() == 1
    for entry in bad:
        with pytest.raises(BadClipError, match="no array of numpy"):
            source.read(entry)
    with pytest.raises(BadClipError, match="missing"):
        source.read(source.entries("dev")[0])


def test_the_operation_keeps_its_promises() -> None:
    config = load_config(None, settings_of("my_operation")).negatives
    check_operations(config)
    name = "my_operation:mumble"
    clip = torch.rand(30, 69, 3, generator=generator("clip")) * 2 - 1
    clip[..., 2] = (clip[..., 2] > 0).float()
    clip *= clip[..., 2:]  # missing joints are zero in all channels
    region = Region(windows=((5, 12), (20, 27)), parts=("right_hand", "body"))
    inside = region.mask(len(clip))
    moved = []
    for strength in (0.0, 0.3, 1.0):
        changed = perturb(clip, name, region, strength, generator(3))
        assert torch.equal(changed, perturb(clip, name, region, strength, generator(3)))
        assert torch.equal(changed[~inside], clip[~inside])
        assert changed[..., :2].abs().max() <= 1
        assert bool((changed[clip[..., 2] == 0] == 0).all())
        double = perturb(clip.double(), name, region, strength, generator(3))
        torch.testing.assert_close(double, changed.double(), atol=1e-5, rtol=0)
        moved.append(float((changed - clip)[..., :2].norm(dim=-1).mean()))
    assert 0 == moved[0] < moved[1] < moved[2]
    only = {**config.operations, "temporal_global": {name: 1.0}}
    source = ClipToPerturb("a", "x", clip, torch.ones(30), torch.ones(4), (1, 0, "a"))
    made = skeleton_negative(source, "temporal_global", config.model_copy(update={"operations": only}), strength=0.8)
    assert made.operation == name


def test_the_loss_gives_what_was_worked_out_by_hand() -> None:
    dpo = load_config(None, settings_of("my_loss")).dpo
    chosen, rejected = torch.tensor([-8.0], requires_grad=True), torch.tensor([-12.0])
    reference = Logps(torch.tensor([-100.0]), {level: torch.tensor([-7.0]) for level in LEVELS})  # must not enter
    objective = multi_level_objective(
        Logps(chosen, {level: rejected for level in LEVELS}),
        reference,
        torch.tensor([4]),
        torch.tensor([3]),
        {level: torch.tensor([True]) for level in LEVELS},
        dpo,
    )
    metrics = means(objective.metrics)
    # Skeleton levels: -8 / 4 - -12 / 4 = 1; language: -8 / 4 - -12 / 3 = 2. Beta is 2, the margin 0.5.
    assert metrics["losses/spatial_local"] == pytest.approx(math.log1p(math.exp(-(2 * 1 - 0.5))))
    assert metrics["losses/language"] == pytest.approx(math.log1p(math.exp(-(2 * 2 - 0.5))))
    assert metrics["rewards/margins/language"] == pytest.approx(4)
    objective.loss().backward()
    assert chosen.grad is not None
    assert chosen.grad.item() < 0


def encoder_config(kind: str, *more: str) -> Config:
    own = settings_of("my_encoder") if kind == "mine" else ["policy.encoder.temporal_channels=16"]
    return load_config(None, [*own, "policy.language_model.d_model=32", "policy.language_model.d_ff=64", *more])


@pytest.mark.parametrize("kind", ["st_gcn", "mine"])
def test_the_encoder_keeps_its_promises(kind: str, tmp_path: Path) -> None:
    policy = build_policy(encoder_config(kind), TEXTS)
    encoder = policy.model.encoder.eval()
    rng = torch.Generator().manual_seed(0)
    clips = [torch.rand(length, 69, 3, generator=rng) for length in (37, 20, 1, 8)]
    keypoints, mask = pad_clips(clips)
    keypoints[~mask] = torch.nan  # what lies in padding must not matter
    random_state = torch.get_rng_state()
    hidden, positions = encoder(keypoints, mask)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert positions.sum(1).tolist() == [math.ceil(len(clip) / encoder.stride) for clip in clips]
    for row, clip in enumerate(clips):
        alone, _ = encoder(*pad_clips([clip]))
        torch.testing.assert_close(alone[0], hidden[row, : alone.shape[1]], atol=1e-5, rtol=0)
    alone = clips[0][None].requires_grad_(True)
    encoder(alone, torch.ones(1, 37, dtype=torch.bool))[0].sum().backward()
    assert alone.grad is not None
    assert bool((alone.grad.abs().sum((0, 2, 3)) > 0).all())
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path)
    assert loaded.hash() == policy.hash()
    assert torch.equal(loaded.model.encoder(keypoints, mask)[0][positions], hidden[positions])


def test_the_encoder_trains_inside_a_translator() -> None:
    policy = build_policy(encoder_config("mine"), TEXTS)
    keypoints, mask = pad_clips([torch.rand(37, 69, 3), torch.rand(20, 69, 3)])
    labels = tokenize(policy.tokenizer, TEXTS[:2], max_tokens=64)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        loss = -policy.model.token_logps(policy.model.encode(keypoints, mask), labels).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    encoder = importlib.import_module("my_encoder").WindowEncoder
    assert isinstance(policy.model.encoder, encoder)
    assert policy.model.encoder.stride == 8


def test_a_mistyped_key_of_the_encoders_own_names_the_nearest() -> None:
    config = encoder_config("mine", "policy.encoder.fames=3")
    with pytest.raises(ConfigError, match=r"policy\.encoder\.fames: did you mean policy\.encoder\.frames\?"):
        build_policy(config, TEXTS)
