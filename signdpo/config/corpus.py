"""Keys of `corpus`: where clips come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from signdpo.config.base import Count, NonNegative, Positive, Section, Share
from signdpo.skeleton.people import PersonChoice


class SyntheticConfig(Section):
    train_clips: Count = 800
    dev_clips: Count = 500
    test_clips: Count = 1000
    signers: Count = 8
    signers_held_out: int = Field(default=0, ge=0)
    noise: NonNegative = 1.0
    seed: int = 7


class LandmarksConfig(Section):
    frames: str | None = "keypoints"
    people: str | None = None
    body: str = "pose_landmarks"
    left_hand: str = "left_hand_landmarks"
    right_hand: str = "right_hand_landmarks"
    face: str = "face_landmarks"
    joints: str | None = None
    confidence: Annotated[int, Field(ge=2)] | str | None = None


class CorpusConfig(Section):
    kind: str = "synthetic"
    root: str | None = None
    labels: str | None = None
    person: PersonChoice = "only"
    hold_out: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    language: Literal["en", "zh", "de"] = "en"
    max_frames: Count = 256
    stored_frames: Count | None = None
    max_bad_share: Share = 0.05
    clip_seconds: Positive = 300.0
    shard_rows: Count = 256
    limit: Count | None = None
    landmarks: LandmarksConfig = LandmarksConfig()
    synthetic: SyntheticConfig = SyntheticConfig()

    @model_validator(mode="after")
    def _root_is_given_where_it_is_read(self) -> CorpusConfig:
        if self.kind != "synthetic" and self.root is None:
            raise ValueError(f"corpus.root is missing: kind={self.kind} reads a folder, --set corpus.root=/data/mine")
        for key in ("root", "labels"):
            if self.kind == "synthetic" and (given := getattr(self, key)) is not None:
                raise ValueError(
                    f"corpus.{key}={given} is given, but corpus.kind is synthetic, the default, which reads no files: "
                    "say what lies there, --set corpus.kind=uni_sign (or csl_news, pose, openpose, npz, json)"
                )
        if self.stored_frames is not None and self.stored_frames < self.max_frames:
            raise ValueError(f"stored_frames={self.stored_frames} is less than max_frames={self.max_frames}")
        return self
