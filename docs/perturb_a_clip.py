"""Perturb a clip, draw it, and ask a policy what it makes of it. Needs no Ray and no file.

python docs/perturb_a_clip.py
python docs/perturb_a_clip.py --operation reverse --strength 0.5 --picture reversed.png
python docs/perturb_a_clip.py --policy runs/default/pretrain/policy

Without --policy the policy is new, so that where it looks is chance and no clip costs it much. With the baseline of a
run the perturbed clip costs nats, and the salient windows lie on signs.
"""

from __future__ import annotations

import argparse

import torch
from matplotlib.figure import Figure
from torch import Tensor

from signdpo.config import Config, CorpusConfig, SyntheticConfig
from signdpo.corpora.synthetic.source import SyntheticSource
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.policy import Policy, build_policy
from signdpo.negatives.skeleton.guidance import region_of
from signdpo.negatives.skeleton.operations import OPERATIONS, perturb, takes_donor
from signdpo.negatives.skeleton.region import Region
from signdpo.negatives.skeleton.salience import measure_salience
from signdpo.skeleton.clip import Clip
from signdpo.skeleton.drawing import draw_strip
from signdpo.skeleton.layout import PARTS
from signdpo.skeleton.normalisation import normalise


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    config = Config(corpus=CorpusConfig(synthetic=SyntheticConfig(train_clips=400, dev_clips=20, test_clips=20)))
    source = SyntheticSource(config.corpus)
    clip, donor = (source.read(entry) for entry in source.entries("dev")[options.clip : options.clip + 2])
    if options.policy:
        policy = Policy.load(options.policy)
    else:
        policy = build_policy(config, [entry.text for entry in source.entries("train")])
        policy.model.eval()  # dropout is off

    keypoints = torch.from_numpy(normalise(clip.keypoints))  # (frames, 69, 3)
    region = salient_region(policy, keypoints, clip, config)
    rng = torch.Generator().manual_seed(options.seed)
    given = torch.from_numpy(normalise(donor.keypoints)) if takes_donor(options.operation) else None
    perturbed = perturb(keypoints, options.operation, region, options.strength, rng, given)
    draw(keypoints, perturbed, options)

    clean, changed = logps(policy, [keypoints, perturbed], clip.text).tolist()
    print(f"clip       {clip.id}, {len(keypoints)} frames: {clip.text}")
    print(f"region     frames {', '.join(f'{a} to {b}' for a, b in sorted(region.windows))}: {', '.join(region.parts)}")
    print(f"operation  {options.operation}, strength {options.strength:g}")
    print(f"log p      recorded {clean:.3f}, perturbed {changed:.3f}: margin {clean - changed:.3f} nats")
    print(f"drawn      {options.picture}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", metavar="DIR", help="folder of a policy; default: a new one")
    parser.add_argument("--clip", type=int, default=0, help="number of a dev clip, 0 to 18 (0)")
    parser.add_argument("--operation", default="swap_windows", choices=sorted(OPERATIONS))
    parser.add_argument("--strength", type=float, default=1.0, help="0 to 1 (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the operation (1)")
    parser.add_argument("--picture", default="perturbed.png", metavar="FILE", help="where it is drawn (perturbed.png)")
    return parser.parse_args()


def salient_region(policy: Policy, keypoints: Tensor, clip: Clip, config: Config) -> Region:
    """The windows and parts in which the policy's cross-attention says that the meaning is."""
    padded, mask = pad_clips([keypoints])
    labels = tokenize(policy.tokenizer, [clip.text], max_tokens=config.policy.max_text_tokens)
    settings, eos = config.negatives.salience, policy.tokenizer.eos_token_id
    with torch.no_grad():
        salience = measure_salience(policy.model, padded, mask, labels, settings, eos)
    present = keypoints[..., 2] > 0
    unused = torch.Generator()  # only `guidance: random` draws from it
    return region_of("spatial_local", salience.frames[0], salience.parts[0], present, config.negatives, unused)


@torch.no_grad()
def logps(policy: Policy, clips: list[Tensor], text: str) -> Tensor:
    """Log-probability of a sentence under each clip, `(clips,)` in nats."""
    labels = tokenize(policy.tokenizer, [text] * len(clips), max_tokens=64)
    return policy.model.logps(policy.model.encode(*pad_clips(clips)), labels)


def draw(keypoints: Tensor, perturbed: Tensor, options: argparse.Namespace) -> None:
    """Two strips: the clip as it was recorded, and perturbed, with the parts that changed under a halo."""
    moved = (keypoints - perturbed).abs().amax(-1) > 0.005  # (frames, 69)
    changed = torch.stack([moved[:, where].any(-1) for where in PARTS.values()], dim=-1)  # (frames, 4)
    figure = Figure(figsize=(12, 5), layout="constrained")
    above, below = figure.subplots(2, 1)
    draw_strip(above, keypoints.numpy(), title="recorded")
    draw_strip(below, perturbed.numpy(), highlight=changed.numpy(), title=options.operation)
    figure.savefig(options.picture, dpi=120)


if __name__ == "__main__":
    main()
