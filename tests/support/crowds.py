"""The same people in the frames of a clip, in every format that may show several."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from signdpo.config import CorpusConfig
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import Source

NAMES = ("NOSE", "LEFT_SHOULDER", "RIGHT_SHOULDER", "LEFT_ELBOW", "RIGHT_ELBOW", "LEFT_WRIST", "RIGHT_WRIST")


class Somebody(NamedTuple):
    """Joints over a square whose left edge is at `x`, and the confidence of all of them."""

    x: float
    size: float = 100.0
    confidence: float = 0.8

    def joints(self, count: int) -> np.ndarray:
        """`(count, 3)`: the square is filled by any few neighbours among the joints."""
        places = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], axis=1)
        return np.concatenate([places * self.size + (self.x, 0), np.full((count, 1), self.confidence)], axis=1).astype(
            np.float32
        )


Frames = Sequence[Sequence[Somebody]]


def stacked(frames: Frames, joints: int) -> np.ndarray:
    """`(frames, people, joints, 3)`; who is not there has confidence 0."""
    most = max(map(len, frames))
    nobody = Somebody(0, 0, 0)
    return np.stack([[one.joints(joints) for one in (*frame, *[nobody] * (most - len(frame)))] for frame in frames])


def pickled(frames: Frames) -> dict[str, Any]:
    """As Uni-Sign's release has it."""
    people = [np.array([one.joints(133) for one in frame]).reshape(-1, 133, 3) for frame in frames]
    return {"keypoints": [each[..., :2] for each in people], "scores": [each[..., 2] for each in people]}


def pose(frames: Frames, version: float) -> bytes:
    """A `.pose` file, by hand after docs/specs of pose-format."""
    content = struct.pack("<fHHHH", version, 640, 480, 0, 1)
    for text in ("POSE_LANDMARKS", "XYC"):
        content += struct.pack("<H", len(text)) + text.encode()
    content += struct.pack("<HHH", len(NAMES), 0, 0)
    content += b"".join(struct.pack("<H", len(text)) + text.encode() for text in NAMES)
    if version == 0:
        content += struct.pack("<HH", 24, len(frames))
        for frame in frames:
            people = b"".join(struct.pack("<h", -1) + one.joints(len(NAMES)).tobytes() for one in frame)
            content += struct.pack("<H", len(frame)) + people
        return content
    numbers = stacked(frames, len(NAMES))
    counts = numbers.shape[:2]
    content += struct.pack("<HHH", 24, *counts) if version == 0.1 else struct.pack("<fIH", 24, *counts)
    return content + numbers[..., :2].tobytes() + numbers[..., 2].tobytes()


def openpose(frame: Sequence[Somebody]) -> str:
    parts = {"pose": 25, "face": 70, "hand_left": 21, "hand_right": 21}
    people = [
        {f"{part}_keypoints_2d": one.joints(count).ravel().tolist() for part, count in parts.items()} for one in frame
    ]
    return json.dumps({"version": 1.3, "people": people})


def mmpose(frames: Frames) -> bytes:
    """As MMPose writes its predictions of a video."""
    info = [
        {
            "frame_id": number,
            "instances": [
                {"keypoints": joints[:, :2].tolist(), "keypoint_scores": joints[:, 2].tolist()}
                for joints in (one.joints(133) for one in frame)
            ],
        }
        for number, frame in enumerate(frames, start=1)
    ]
    return json.dumps({"meta_info": {"num_keypoints": 133}, "instance_info": info}).encode()


MMPOSE = {
    "frames": "instance_info",
    "people": "instances",
    "joints": "keypoints",
    "confidence": "keypoint_scores",
}


def _write(root: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _table(files: Callable[[Frames], dict[str, bytes | str]]) -> Callable[[Path, Frames], None]:
    return lambda root, frames: _write(root, {"labels.csv": "id,text,split\na,word,train\n", **files(frames)})


def _uni_sign(root: Path, frames: Frames) -> None:
    labels = pickle.dumps({"a": {"text": "word", "video_path": "a.mp4"}})
    _write(root, {"labels.train": labels, "pose_format/a.pkl": pickle.dumps(pickled(frames))})


def _csl_news(root: Path, frames: Frames) -> None:
    labels = [{"video": f"{name}.mp4", "pose": f"{name}.pkl", "text": "word"} for name in "ab"]
    _write(root, {"CSL_News_Labels.json": json.dumps(labels), "pose_format/a.pkl": pickle.dumps(pickled(frames))})


def _npz(root: Path, frames: Frames) -> None:
    _table(lambda _: {})(root, frames)
    np.savez(root / "a.npz", keypoints=stacked(frames, 133))


WRITERS: dict[str, Callable[[Path, Frames], None]] = {
    "uni_sign": _uni_sign,
    "csl_news": _csl_news,
    "npz": _npz,
    "openpose": _table(
        lambda frames: {f"a/a_{number:03d}_keypoints.json": openpose(frame) for number, frame in enumerate(frames)}
    ),
    "json": _table(lambda frames: {"a.json": mmpose(frames)}),
    "pose 0.0": _table(lambda frames: {"a.pose": pose(frames, 0)}),
    "pose 0.1": _table(lambda frames: {"a.pose": pose(frames, 0.1)}),
    "pose 0.2": _table(lambda frames: {"a.pose": pose(frames, 0.2)}),
}


def write_crowd(kind: str, root: Path, frames: Frames, **corpus: Any) -> Source:
    """A corpus of one training clip with these people, opened."""
    WRITERS[kind](root, frames)
    if kind == "json":
        corpus["landmarks"] = MMPOSE
    return open_source(CorpusConfig(kind=kind.partition(" ")[0], root=str(root), **corpus))
