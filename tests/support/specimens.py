"""Small whole corpora of every kind, whose clip or labels a test may damage."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from signdpo.config import CorpusConfig
from signdpo.corpora.registry import open_source
from signdpo.corpora.source import Source

POSE_POINTS = {"POSE_LANDMARKS": ("NOSE", "LEFT_SHOULDER", "RIGHT_SHOULDER", "LEFT_WRIST", "LEFT_ELBOW")}


@dataclass(frozen=True)
class Specimen:
    """A corpus of one clip in train.

    Args:
        kind: of the corpus.
        clip: where the clip's file is, and its content.
        labels: where the labels are, and their content.
        others: further files.
    """

    kind: str
    clip: tuple[str, bytes]
    labels: tuple[str, bytes]
    others: dict[str, bytes] = field(default_factory=dict)

    def write(self, root: Path, *, clip: bytes | None = None, labels: bytes | None = None) -> Source:
        """Put the corpus under `root`, with another clip or other labels, and open it."""
        files = {
            **self.others,
            self.clip[0]: self.clip[1] if clip is None else clip,
            self.labels[0]: self.labels[1] if labels is None else labels,
        }
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return open_source(CorpusConfig(kind=self.kind, root=str(root)))


def uni_sign_clip(protocol: int, dtype: str = "f4", frames: int = 3) -> bytes:
    generator = np.random.default_rng(1)
    keypoints = [generator.random((1, 133, 2)).astype(dtype) for _ in range(frames)]
    return pickle.dumps(
        {"keypoints": keypoints, "scores": [np.ones((1, 133), dtype)] * frames, "start": 0, "end": 2}, protocol
    )


def pose_clip(version: float) -> bytes:
    """A `.pose` file of two frames, after docs/specs of pose-format."""
    header = struct.pack("<fHHHH", version, 640, 480, 0, len(POSE_POINTS))
    for name, points in POSE_POINTS.items():
        for text in (name, "XYZC"):
            header += struct.pack("<H", len(text)) + text.encode()
        header += struct.pack("<HHH", len(points), 0, 0)
        header += b"".join(struct.pack("<H", len(text)) + text.encode() for text in points)
    numbers = np.random.default_rng(1).uniform(0.5, 1, (2, 5, 4)).astype("<f4")
    if version == 0:
        people = b"".join(struct.pack("<Hh", 1, -1) + frame.tobytes() for frame in numbers)
        return header + struct.pack("<HH", 24, 2) + people
    counts = struct.pack("<HHH", 24, 2, 1) if version == 0.1 else struct.pack("<fIH", 24, 2, 1)
    return header + counts + numbers[..., :3].tobytes() + numbers[..., 3].tobytes()


def openpose_frame(seed: int = 1) -> bytes:
    generator = np.random.default_rng(seed)
    counts = {"pose": 25, "face": 70, "hand_left": 21, "hand_right": 21}
    person = {
        f"{part}_keypoints_2d": generator.uniform(0.4, 1, 3 * count).round(2).tolist() for part, count in counts.items()
    }
    return json.dumps({"version": 1.3, "people": [person]}).encode()


def landmarks_of(seed: int = 1) -> bytes:
    """A frame of MediaPipe's landmarks."""
    counts = {"pose": 25, "left_hand": 21, "right_hand": 21, "face": 478}
    generator = np.random.default_rng(seed)
    frame = {f"{part}_landmarks": generator.uniform(0, 99, (n, 2)).round(1).tolist() for part, n in counts.items()}
    return json.dumps(frame).encode()


def npz_clip(save: Callable[..., None], **arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


_LABELS = {"a": {"name": "a", "gloss": ["A", "B"], "text": "我 a word", "video_path": "a.mp4"}}
_TABLE = 'id,text,split,gloss,signer,start,end\na,我 a word,train,A B,s,0,2\nb,"x, ""y""",train,,,,\n'.encode()
_HOW2SIGN = b"VIDEO_ID\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE\nv\ta\t0.5\t1.5\ta word\n"
_JSONL = json.dumps({"id": "a", "text": "我", "split": "train", "gloss": ["A"], "start": 0, "end": 2}).encode() + b"\n"
_NEWS = json.dumps([{"video": "a.mp4", "pose": "a.pkl", "text": "我"}] * 2, ensure_ascii=False).encode()
_NPZ = {"keypoints": np.random.default_rng(1).random((2, 133, 2)).astype("f4"), "scores": np.ones((2, 133), "f2")}


def _uni_sign(clip: bytes, labels: bytes) -> Specimen:
    return Specimen("uni_sign", ("pose_format/a.pkl", clip), ("labels.train", labels))


def _labelled(kind: str, clip: tuple[str, bytes], labels: tuple[str, bytes] = ("labels.csv", _TABLE)) -> Specimen:
    return Specimen(kind, clip, labels)


_ZIPPED = gzip.compress(pickle.dumps(_LABELS))
_STORED, _DEFLATED = npz_clip(np.savez, **_NPZ), npz_clip(np.savez_compressed, **_NPZ)

SPECIMENS: dict[str, Specimen] = {
    **{f"uni_sign, protocol {n}": _uni_sign(uni_sign_clip(n), pickle.dumps(_LABELS, n)) for n in (0, 2, 3, 4, 5)},
    "uni_sign, float64": _uni_sign(uni_sign_clip(4, "f8", frames=8), _ZIPPED),
    "uni_sign, gzip": _uni_sign(gzip.compress(uni_sign_clip(4)), _ZIPPED),
    "csl_news": Specimen("csl_news", ("pose_format/a.pkl", uni_sign_clip(4)), ("CSL_News_Labels.json", _NEWS)),
    **{f"pose {version}": _labelled("pose", ("a.pose", pose_clip(version))) for version in (0, 0.1, 0.2)},
    "openpose": Specimen(
        "openpose",
        ("a/x_000_keypoints.json", openpose_frame()),
        ("how2sign_realigned_train.csv", _HOW2SIGN),
        {"a/x_001_keypoints.json": openpose_frame(2)},
    ),
    "json": _labelled("json", ("a.json", b'{"keypoints": [%s, {}, %s]}' % (landmarks_of(1), landmarks_of(2)))),
    "json, lines": _labelled("json", ("a.jsonl", landmarks_of(1) + b"\n" + landmarks_of(2) + b"\n")),
    "npz": _labelled("npz", ("a.npz", _STORED), ("labels.jsonl", _JSONL)),
    "npz, compressed": _labelled("npz", ("a.npz", _DEFLATED), ("labels.tsv", _TABLE.replace(b",", b"\t"))),
}
