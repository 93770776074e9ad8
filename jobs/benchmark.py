"""How fast parts of the project are, each measured against what it replaces or against nothing.

python jobs/benchmark.py preprocess
python jobs/benchmark.py ingest --clips 2000 --json ingest.json
python jobs/benchmark.py search
python jobs/benchmark.py policy --config jobs/configs/how2sign.yaml --batch-sizes 16 32 64
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmark_policy import add_policy
from rich.console import Console

from signdpo.cluster.plan import start_ray
from signdpo.config import Config, CorpusConfig, lay_over, load_config
from signdpo.corpora.ingest import make_shard
from signdpo.corpora.planning import plan_shards
from signdpo.corpora.pose_pickle import keypoints_of
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import SPLITS
from signdpo.pipeline.run import stages_of
from signdpo.pipeline.stage import MANIFEST, RunContext, run_stages
from signdpo.skeleton.layout import PARTS
from signdpo.skeleton.normalisation import normalise
from signdpo.storage.files import read_json
from signdpo.tuning.search import run_search
from signdpo.tuning.settings import Range, SearchConfig

SEED: Final = 1
TOLERANCE: Final = 1e-5
BLOCK: Final = 50  # clips in memory at once
TRIALS: Final = 8
# A corpus and models so small that a stage takes seconds; wrong sentences by rules, which no stage has to learn.
SMALL_RUN: Final = (
    "corpus.synthetic.dev_clips=20",
    "corpus.synthetic.test_clips=1",
    "policy.encoder.temporal_channels=32",
    "policy.language_model.d_model=64",
    "pretrain.epochs=2",
    "negatives.perturber.kind=rules",
    "negatives.perturber.min_chrf=0",
    "negatives.perturber.min_fluency=-100",
    "negatives.hardness.min_margin=-1",
)
# The arrays of one clip as the pickles of the Uni-Sign release hold them: `keypoints` and `scores`.
Pose = dict[str, list[np.ndarray]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benchmarks = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, (run, description, clips) in BENCHMARKS.items():
        benchmark = benchmarks.add_parser(name, help=description, description=description)
        benchmark.add_argument("--clips", type=int, default=clips, help=f"how many (default {clips})")
        benchmark.add_argument("--frames", type=int, default=200, help="of each clip (default 200)")
        benchmark.add_argument("--json", default=None, metavar="FILE", help="write the figures there, too")
        benchmark.set_defaults(run=sized(run))
    add_policy(benchmarks)
    arguments = parser.parse_args()
    figures = {**arguments.run(arguments), **machine()}
    for name, value in figures.items():
        print(f"{name:32} {value:.6g}" if isinstance(value, float) else f"{name:32} {value}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def sized(run: Callable[[int, int], dict[str, Any]]) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """A benchmark that needs to know how many clips of how many frames, as one of the command's arguments."""
    return lambda arguments: run(arguments.clips, arguments.frames)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
        "system": platform.system(),
        **{name: version(name) for name in ("numpy", "pyarrow", "ray", "signdpo")},
        "python": platform.python_version(),
    }


def make_pose(generator: np.random.Generator, frames: int) -> Pose:
    """A made-up clip: joints anywhere in the picture, one in ten with a confidence below the threshold."""
    return {
        "keypoints": [generator.random((1, 133, 2)) for _ in range(frames)],
        "scores": [generator.uniform(0.22, 1, (1, 133)).astype(np.float32) for _ in range(frames)],
    }


# preprocess: one clip from image coordinates to what a policy sees.


def preprocess(clips: int, frames: int) -> dict[str, Any]:
    """`normalise` of whole clips against a loop over parts and frames, each given what its reader hands over.

    Raises:
        AssertionError: if the two differ by more than `TOLERANCE` anywhere.
    """
    generator = np.random.default_rng(SEED)
    looped, whole, picking, difference = 0.0, 0.0, 0.0, 0.0
    for begin in range(0, clips, BLOCK):
        poses = [make_pose(generator, frames) for _ in range(min(BLOCK, clips - begin))]
        read = [keypoints_of(pose) for pose in poses]
        looped += seconds_of(lambda pose: normalise_by_frames(**pose), poses)
        picking += seconds_of(keypoints_of, poses)
        whole += seconds_of(normalise, read)
        for pose, keypoints in zip(poses, read, strict=True):
            ours, theirs = normalise(keypoints), normalise_by_frames(**pose)
            difference = max(difference, *(np.abs(ours[:, PARTS[part]] - theirs[part]).max() for part in PARTS))
    assert difference <= TOLERANCE, f"the two normalisations differ by {difference}"
    return {
        "clips": clips,
        "frames": frames,
        "loop over parts and frames, s": looped,
        "whole clips, s": whole,
        "ratio": looped / whole,
        "picking and stacking joints, s": picking,  # which the loop does as it goes
        "ratio, that included": looped / (whole + picking),
        "largest difference": float(difference),
    }


def seconds_of(run: Callable[[Any], Any], items: Iterable[Any]) -> float:
    """How long it takes to do something with each item. Results are dropped, as a reader does with a clip it stored."""
    begin = time.perf_counter()
    for item in items:
        run(item)
    return time.perf_counter() - begin


def normalise_by_frames(keypoints: list[np.ndarray], scores: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the public Uni-Sign code does to a clip, frame by frame and part by part, written from its description.

    Args:
        keypoints: a frame `(1, 133, 2)`.
        scores: a frame `(1, 133)`.

    Returns:
        By part, `(frames, joints, 3)` float64.
    """
    parts = {}
    extent = 0.0
    for part in PARTS:
        joints_of_frames, confidence_of_frames = [], []
        for people, confidence_of_people in zip(keypoints, scores, strict=True):
            person, confidence = people[0], confidence_of_people[0]
            if part == "body":
                chosen = [0, *range(3, 11)]
                joints = person[chosen]
                confidence = confidence[chosen]
            elif part == "face":
                chosen = [*range(23, 40, 2), *range(83, 91), 53]
                joints = person[chosen]
                joints = joints - joints[-1]
                confidence = confidence[chosen]
            else:
                hand = slice(91, 112) if part == "left_hand" else slice(112, 133)
                joints = person[hand]
                joints = joints - joints[0]
                confidence = confidence[hand]
            joints_of_frames.append(joints)
            confidence_of_frames.append(confidence)
        clip = np.concatenate([np.stack(joints_of_frames), np.stack(confidence_of_frames)[..., None]], axis=-1)
        if part == "body":
            left, top, extent = box_of(clip)
            if extent:
                clip[..., :2] = ((clip[..., :2] - [left, top]) / extent - 0.5) * 2
        elif extent:
            clip[..., :2] = clip[..., :2] / extent
        if not extent:
            clip = np.zeros(clip.shape)
        clip = np.clip(clip, -1, 1)
        clip[clip[..., 2] <= 0.3] = 0
        parts[part] = clip
    return parts


def box_of(clip: np.ndarray) -> tuple[float, float, float]:
    """Left and upper edge and side of the square around the confident joints; a side of 0 if there are too few."""
    points = clip[clip[..., 2] > 0.3][:, :2]
    if len(points) < 4:
        return 0.0, 0.0, 0.0
    left, right = min(points[:, 0]), max(points[:, 0])
    top, bottom = min(points[:, 1]), max(points[:, 1])
    side = max(right - left, bottom - top)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


# ingest: from pickles to Parquet, on one CPU and without Ray.


def ingest(clips: int, frames: int) -> dict[str, Any]:
    """Read, check, normalise and store clips, in this process."""
    generator = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pose_format").mkdir()
        size = 0
        for split in SPLITS:
            count = clips if split == "train" else 1
            labels = {f"{split}{n}": {"text": "a sentence", "video_path": f"{split}{n}.mp4"} for n in range(count)}
            (root / f"labels.{split}").write_bytes(pickle.dumps(labels))
            for id_ in labels:
                size += (root / "pose_format" / f"{id_}.pkl").write_bytes(pickle.dumps(make_pose(generator, frames)))
        corpus = CorpusConfig(kind="uni_sign", root=folder)
        source = open_source(corpus)
        shards, _ = plan_shards(source, corpus)
        listing = seconds_of(source.entries, SPLITS)
        reading = seconds_of(source.read, (entry for shard in shards for entry in shard.entries))
        storing = seconds_of(lambda shard: make_shard(shard, source, f"{folder}/out"), shards)
    return {
        "clips": clips,
        "frames": frames,
        "pickles, MB": size / 1e6,
        "listing, s": listing,
        "reading, clips/s": (clips + 2) / reading,
        "reading and storing, clips/s": (clips + 2) / storing,
    }


# search: settings tried by one search, against as many runs one after the other.


def search(clips: int, frames: int) -> dict[str, Any]:
    """A search without early stopping against separate runs of its trials' settings, from the corpus to the policy."""
    config = load_config(None, [*SMALL_RUN, f"corpus.synthetic.train_clips={clips}", f"corpus.max_frames={frames}"])
    space = {"dpo.beta": Range(loguniform=(0.1, 3)), "dpo.weights.language": Range(uniform=(0, 1))}
    settings = SearchConfig(trials=TRIALS, scheduler="none", space=space)
    console = Console(stderr=True)
    start_ray(config)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        results = run_search(config, settings, f"{folder}/search", console)
        searching = time.perf_counter() - began
        console.print(f"the search took {searching:.0f} s")
        assert all(result.state == "finished" for result in results), "a trial has failed: there is nothing to compare"
        runs = [run_alone(lay_over(config, result.settings), f"{folder}/{result.id}", console) for result in results]
    separate, alignments = (sum(seconds) for seconds in zip(*runs, strict=True))
    return {
        "trials": len(results),
        "clips": clips,
        "search, s": searching,
        "separate runs, s": separate,
        "ratio": separate / searching,
        "their alignments alone, s": alignments,
        "ratio to alignments alone": alignments / searching,
    }


def run_alone(config: Config, directory: str, console: Console) -> tuple[float, float]:
    """Seconds of a run up to its aligned policy, and those of its alignment."""
    stages = stages_of(config)
    last = next(place for place, stage in enumerate(stages) if stage.name == "align")
    context = RunContext(config, directory, console)
    began = time.perf_counter()
    run_stages(context, stages[: last + 1])
    seconds = time.perf_counter() - began
    console.print(f"a separate run took {seconds:.0f} s")
    return seconds, float(read_json(context.path("align", MANIFEST))["seconds"])


BENCHMARKS: Final[dict[str, tuple[Callable[[int, int], dict[str, Any]], str, int]]] = {
    "preprocess": (preprocess, "normalisation of clips, whole against frame by frame", 1000),
    "ingest": (ingest, "from pickles to Parquet, on one CPU", 500),
    "search": (search, f"a search of {TRIALS} trials against as many runs, all tiny: ten minutes", 120),
}


if __name__ == "__main__":
    sys.exit(main())
