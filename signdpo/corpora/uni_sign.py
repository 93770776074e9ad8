"""Corpora in the on-disk layout of the public Uni-Sign release (Li et al., ICLR 2025): CSL-Daily, How2Sign, OpenASL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from signdpo.config import CorpusConfig
from signdpo.corpora.pose_pickle import read_pose
from signdpo.corpora.source import Entry, text_of, with_files, with_other_files, without_video_ending
from signdpo.corpora.splits import HELD_OUT, hold_out
from signdpo.foreign.restricted_pickle import MEBIBYTE, load_pickle
from signdpo.skeleton.clip import BadClipError, Clip
from signdpo.storage.files import absolute, exists

MAX_LABELS_BYTES: Final = 1024 * MEBIBYTE
LABELS: Final = {"train": ("labels.train",), "dev": ("labels.dev", "labels.val"), "test": ("labels.test",)}
POSES: Final = "pose_format"
PACKED: Final = (".gz", ".zip")  # of a pickle within an archive, behind its own ending

_CSL_DAILY_SIGNER: Final = re.compile(r"S\d{6}_(P\d{4})_T\d{2}")


class UniSignSource:
    """A folder with `labels.train`, `labels.dev` (or `labels.val`), `labels.test` and `pose_format/`.

    The labels are pickles, gzip or plain, of `id -> {name, gloss, text, video_path}`. The clip of `<name>.mp4` (or of a
    video of another ending, or none) is
    `pose_format/<name>.pkl` (see `pose_pickle`), or `pose_format/<split>/<name>.pkl`; where a disk refuses colons, the
    file's name may have `_` or `-` instead of them, and it may be packed, as `<name>.pkl.gz` or `.zip`.

    Args:
        corpus: `root` (the folder, local or any fsspec URI), `labels` (the folder of the labels files, if they do not
            lie beside the poses), `person`, `hold_out` (the share of the training recordings that each missing split is
            made of) and `language` count.
    """

    kind: ClassVar[str] = "uni_sign/2"
    location_key: ClassVar[str] = "video_path"  # what names the clip's file in a label

    def __init__(self, corpus: CorpusConfig) -> None:
        self.root = absolute(str(corpus.root))
        self.labels = absolute(corpus.labels) if corpus.labels is not None else self.root
        self.person = corpus.person
        self.hold_out = corpus.hold_out
        self.language = corpus.language
        self.reading = f"{self.kind} {self.root} person={self.person}"

    def entries(self, split: str) -> list[Entry]:
        """List a split in the order of its labels.

        A label that lacks a field is listed with an empty one, so that reading its clip names what is wrong.

        Raises:
            FileNotFoundError: if there is no labels file and nothing to hold out instead.
            BadClipError: if the labels file cannot be read, or is no mapping of ids to labels.
            ConfigError: if `hold_out` is too small for the corpus.
        """
        missing = tuple(name for name in HELD_OUT if self._labels_path(name) is None) if self.hold_out else ()
        if split == "train" or split in missing:
            entries = hold_out(self._listed("train"), split, self.hold_out, missing)
        else:
            entries = self._listed(split)
        poses = f"{self.root}/{POSES}"
        return with_other_files(with_files(entries, poses, _pose_name), poses, _pose_name, _other_places)

    def read(self, entry: Entry) -> Clip:
        """Read one clip: keypoints `(frames, 69, 3)` float32, in whatever unit the corpus has (mostly shares of the
        picture's width and height).

        Raises:
            BadClipError: naming the file and what is wrong with it.
        """
        if not entry.location:
            raise BadClipError(f"the label has no {self.location_key}")
        people = read_pose(f"{self.root}/{POSES}", _pose_name(entry.location))
        keypoints, notes = people.signer(self.person)
        return Clip(entry.id, entry.text, keypoints, gloss=entry.gloss, signer=entry.signer, notes=notes)

    def _labels_path(self, split: str) -> str | None:
        paths = (f"{self.labels}/{name}" for name in LABELS[split])
        return next((path for path in paths if exists(path)), None)

    def _listed(self, split: str) -> list[Entry]:
        path = self._labels_path(split)
        if path is None:
            remedy = "" if split == "train" else ", or set corpus.hold_out=0.02 to hold it out of the training split"
            raise FileNotFoundError(
                f"{self.labels}/{LABELS[split][0]} is missing: a Uni-Sign corpus has labels.{{train,dev,test}} and "
                f"{POSES}/ in its folder; check corpus.root={self.root}{remedy}"
            )
        try:
            labels = load_pickle(path, MAX_LABELS_BYTES)
        except BadClipError as error:
            raise BadClipError(f"{path}: {error}") from error
        if not isinstance(labels, dict) or not all(isinstance(label, dict) for label in labels.values()):
            raise BadClipError(f"{path} is not a mapping of ids to labels (name, gloss, text, video_path)")
        return [_entry(str(id_), split, label) for id_, label in labels.items()]


def _pose_name(location: str) -> str:
    """The file of a clip that a label calls `a.mp4`, `a.MOV`, `a` or `a.pkl`, packed or not."""
    packed = next((ending for ending in PACKED if location.endswith(ending)), "")
    name = without_video_ending(location.removesuffix(packed))
    return f"{name.removesuffix('.pkl')}.pkl{packed}" if name else ""


def _other_places(entry: Entry) -> Iterator[str]:
    for folder in ("", f"{entry.split}/"):
        for name in dict.fromkeys(entry.location.replace(":", sign) for sign in ":_-"):
            yield from (f"{folder}{name}{packed}" for packed in ("", *PACKED))


def _entry(id_: str, split: str, label: dict[Any, Any]) -> Entry:
    gloss = label.get("gloss", ())
    if isinstance(gloss, str):
        gloss = gloss.split()
    elif not isinstance(gloss, (list, tuple)):
        gloss = ()
    signer = _CSL_DAILY_SIGNER.match(id_)
    return Entry(
        id=text_of(id_),
        split=split,
        location=text_of(label.get("video_path")),
        text=text_of(label.get("text")),
        gloss=tuple(text_of(str(word)) for word in gloss if isinstance(word, (str, int))),
        signer=signer[1] if signer else "",
    )
