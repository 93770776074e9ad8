"""`NegativeGenerator`: the Ray Data actor that turns clip rows into preference rows.

It holds the frozen reference policy and the language perturber, loaded once an actor for a whole run.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from signdpo.config import BandConfig, Config
from signdpo.counterfactuals.maker import Counterfactual, CounterfactualMaker
from signdpo.counterfactuals.scoring import counterfactual_columns, draw_likely
from signdpo.data.rows import Columns, clips_of
from signdpo.levels import BY_NAME, COUNTERFACTUAL, LANGUAGE, SKELETON_LEVELS
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy, hash_weights
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import Encoded, SignTranslator
from signdpo.negatives.sentence.perturber import load_perturber
from signdpo.negatives.sentence.sampling import sampled
from signdpo.negatives.sentence.selection import TrainingText, choose_rejected
from signdpo.negatives.skeleton.donors import NO_DONORS, DonorPool
from signdpo.negatives.skeleton.hardness import NOT_MADE, Band, DrawnNegative, draw_within_band
from signdpo.negatives.skeleton.negative import ClipToPerturb, needs_donors
from signdpo.negatives.skeleton.salience import measure_salience
from signdpo.seeding import derive_seed
from signdpo.storage.files import fetch_folder

SCORE_NOISE = 1e-3  # of a float32 log-probability between batches: ten times what invariant 1 allows
SCORE_NOISE_BFLOAT16 = 0.1


class ReferenceMismatchError(RuntimeError):
    """The reference policy is not the one this run was started with."""


class NegativeGenerator:
    """Makes the negatives of each clip, of the levels that are wanted, and scores them under the reference.

    Args:
        config: the run's configuration.
        reference: folder of the frozen reference policy.
        reference_hash: what its weights must hash to.
        perturber: folder of the language perturber, which is not looked at without the language level.
        clips: folder of the ingested clips, where donors come from.
        segments: folder of their segments, which is not looked at without the counterfactual level.

    Raises:
        ReferenceMismatchError: if the folder holds other weights.
    """

    def __init__(
        self, config: Config, reference: str, reference_hash: str, perturber: str, clips: str, segments: str
    ) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if config.resources.use_gpu and torch.cuda.is_available() else "cpu")
        set_up_precision(self.device, config.dpo_precision, key="dpo.precision")
        policy = Policy.load(fetch_folder(reference))
        self.reference, self.reference_hash = reference, reference_hash
        self._check_reference(policy.hash())
        self.name = uuid.uuid4().hex[:8]  # rows carry it: it tells how often models were loaded
        self.noise = SCORE_NOISE_BFLOAT16 if config.dpo_precision == "bfloat16" else SCORE_NOISE
        self.tokenizer = policy.tokenizer
        self.model = policy.model.to(self.device).requires_grad_(False)
        self.guide, self.policy_version = self.model, 0  # the policy whose attention says where the meaning is
        self.levels = config.made_levels
        self.skeletons = [level for level in self.levels if level in SKELETON_LEVELS]
        if COUNTERFACTUAL in self.levels:
            self.counterfactuals = CounterfactualMaker.load(config, clips, segments)
        if LANGUAGE in self.levels:
            folder, settings = fetch_folder(perturber), config.negatives.perturber
            limit = config.policy.max_text_tokens
            self.perturber = load_perturber(folder, settings, max_tokens=limit, device=self.device)
            self.text = TrainingText.load(folder, function_share=settings.function_share)
        self.clips, self.seed, self.donors = clips, config.alignment_seed, lru_cache(maxsize=2)(self._draw_donors)

    def follow(self, version: int, weights: dict[str, Tensor] | None) -> None:
        """Let another version of the policy guide the negatives; the reference goes on scoring them.

        Args:
            version: the updates it has had, written into every row.
            weights: its state dict; None for the reference itself, version 0.

        Raises:
            ReferenceMismatchError: if the reference's weights are no longer what they were.
        """
        if weights is None:
            self.guide = self.model
        else:
            if self.guide is self.model:
                self.guide = copy.deepcopy(self.model)
            self.guide.load_state_dict(weights)
        self.policy_version = version
        self._check_reference(hash_weights(self.model))

    def _check_reference(self, found: str) -> None:
        if found != self.reference_hash:
            raise ReferenceMismatchError(
                f"the reference policy in {self.reference} has hash {found}, this run was started with "
                f"{self.reference_hash}: restore the folder, or start a new run directory"
            )

    def _draw_donors(self, epoch: int) -> DonorPool:
        """Others in each epoch."""
        config = self.config
        if not needs_donors(config.negatives, self.skeletons):
            return NO_DONORS
        seed, count = derive_seed(self.seed, epoch), config.negatives.donors
        return DonorPool.load(self.clips, count=count, seed=seed, max_frames=config.corpus.max_frames)

    def __call__(self, batch: Columns) -> Columns:
        """Columns of clips with their epochs -> the same and the other columns of `PREFERENCE_SCHEMA`."""
        clips = [torch.from_numpy(clip) for clip in clips_of(batch)]
        texts = [str(text) for text in batch["text"]]
        seeds = [(self.seed, int(epoch), str(i)) for epoch, i in zip(batch["epoch"], batch["id"], strict=True)]
        labels = self._labels(texts)
        clean = self._encode(self.model, clips)
        chosen = self._logps(self.model, clean, labels)
        frames, parts = self._salience(clips, labels)
        sources = [
            ClipToPerturb(seed[2], text, keypoints, frame, part, seed, self.donors(seed[1]))
            for text, keypoints, frame, part, seed in zip(texts, clips, frames, parts, seeds, strict=True)
        ]
        drawn = self._skeleton_negatives(sources, labels, chosen)
        rejected, sentence_margins = self._rejected_sentences(sources, clean, chosen, labels)
        others, preferred, replaced = self._counterfactuals(sources, labels)
        margins = torch.tensor([[each.margin for each in row] for row in drawn])
        margins = torch.cat([margins, sentence_margins[:, None]], dim=1)  # (batch, 5)
        logps = torch.cat([chosen[:, None], chosen[:, None] - margins, replaced[:, None]], dim=1)  # (batch, 7)
        margins = torch.cat([margins, (preferred - replaced)[:, None]], dim=1)  # (batch, 6)
        perturbed = [[each.negative.keypoints.numpy().astype(np.float16).ravel() for each in row] for row in drawn]
        valid = [
            [*(each.accepted for each in row), bool(wrong), other is not None]
            for row, wrong, other in zip(drawn, rejected, others, strict=True)
        ]
        return {
            **batch,
            **{f"keypoints_{level}": [row[place] for row in perturbed] for place, level in enumerate(SKELETON_LEVELS)},
            "rejected_text": np.array(rejected),
            **counterfactual_columns(others, preferred),
            "reference_logps": list(logps.numpy()),
            "reference_margins": list(margins.numpy()),
            "valid": [np.array(row) for row in valid],
            "operations": [[each.negative.operation for each in row] for row in drawn],
            "strengths": [np.array([each.negative.strength for each in row], dtype=np.float32) for row in drawn],
            "redraws": [np.array([each.redraws for each in row], dtype=np.int32) for row in drawn],
            "salience_frames": [frame.numpy().astype(np.float16) for frame in frames],
            "salience_parts": [part.numpy().astype(np.float32) for part in parts],
            "reference_hash": np.array([self.reference_hash] * len(texts)),
            "policy_version": np.full(len(texts), self.policy_version, dtype=np.int32),
            "generator": np.array([self.name] * len(texts)),
        }

    def _salience(self, clips: list[Tensor], labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """`(frames_i,)` and `(4,)` of each clip; all alike where no level asks where the meaning is."""
        if not any(BY_NAME[level].scope == "local" for level in self.skeletons):
            return [torch.full((len(clip),), 1 / len(clip)) for clip in clips], [torch.full((4,), 0.25)] * len(clips)
        keypoints, mask = pad_clips(clips, self.device)
        salience = measure_salience(
            self.guide, keypoints, mask, labels, self.config.negatives.salience, self.tokenizer.eos_token_id
        )
        frames = [row[: len(clip)].cpu() for row, clip in zip(salience.frames, clips, strict=True)]
        return frames, list(salience.parts.cpu())

    def _labels(self, texts: Sequence[str]) -> Tensor:
        return tokenize(self.tokenizer, texts, max_tokens=self.config.policy.max_text_tokens).to(self.device)

    @torch.no_grad()
    def _encode(self, model: SignTranslator, clips: Sequence[Tensor]) -> Encoded:
        keypoints, mask = pad_clips(clips, self.device)
        with autocast(self.device, self.config.dpo_precision):
            return model.encode(keypoints, mask)

    @torch.no_grad()
    def _logps(self, model: SignTranslator, encoded: Encoded, labels: Tensor) -> Tensor:
        """Log-probability of each sentence, `(n,)` float32 on the CPU."""
        with autocast(self.device, self.config.dpo_precision):
            return model.logps(encoded, labels).float().cpu()

    def _score(self, clips: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Reference log-probability of a sentence under each clip, `(n,)`; of the labels no column is padding alone."""
        longest = int((labels != IGNORED).sum(1).max())
        return self._logps(self.model, self._encode(self.model, clips), labels[:, :longest])

    def _skeleton_negatives(
        self, sources: list[ClipToPerturb], labels: Tensor, chosen: Tensor
    ) -> list[list[DrawnNegative]]:
        """The negatives of each clip at `SKELETON_LEVELS`; `NOT_MADE` where a level is not wanted."""

        def score(rows: Sequence[int], clips: Sequence[Tensor]) -> Tensor:
            return self._score(clips, labels[torch.tensor(rows, device=labels.device)])

        settings = self.config.negatives
        bands = self._bands(sources, labels, settings.hardness.skeleton)
        drawn = draw_within_band(sources, chosen, bands, score, settings, self.skeletons, noise=self.noise)
        return [[row.get(level, NOT_MADE) for level in SKELETON_LEVELS] for row in drawn]

    def _bands(self, sources: list[ClipToPerturb], labels: Tensor, ends: BandConfig) -> list[Band]:
        epochs, hardness = self.config.dpo.epochs, self.config.negatives.hardness
        lengths = (labels != IGNORED).sum(1).tolist()
        rows = zip(sources, lengths, strict=True)
        return [Band.at(int(row.seed[1]), epochs, ends, hardness, tokens=tokens) for row, tokens in rows]

    def _rejected_sentences(
        self, sources: list[ClipToPerturb], clean: Encoded, chosen: Tensor, labels: Tensor
    ) -> tuple[list[str], Tensor]:
        """The rejected sentences, empty where none was found, and their reference margins `(batch,)`.

        A sentence with the token ids of the right one is the right one. Without a band (`hardness.language`) a wrong
        sentence is wrong whatever it costs: where the reference prefers it, all the more to learn.
        """
        if LANGUAGE not in self.levels:
            return [""] * len(sources), torch.full((len(sources),), torch.nan)
        settings, clips = self.config.negatives.perturber, [source.keypoints for source in sources]
        streams = [derive_seed(*source.seed, "language") for source in sources]
        guided = clean if self.guide is self.model else self._encode(self.guide, clips)
        options = self._proposals(sources, guided, streams)
        sentences = [sentence for row in options for sentence in row]
        rows = torch.arange(len(sources)).repeat_interleave(settings.candidates + 1)
        wrong = self._labels(sentences)
        fluencies = scores = self._logps(self.guide, guided.select(rows.to(self.device)), wrong)
        if self.guide is not self.model:
            scores = self._logps(self.model, clean.select(rows.to(self.device)), wrong)
        margins = chosen[rows] - scores
        fluencies = fluencies / (wrong != IGNORED).sum(1).cpu()
        bands = self._bands(sources, labels, self.config.negatives.hardness.language)
        right, ids = ([row[row != IGNORED].tolist() for row in each.cpu()] for each in (labels, wrong))
        for place, row in enumerate(rows.tolist()):
            if bands[row].is_near(float(margins[place]), self.noise):  # measured again alone, as those of skeletons
                pair = [self._score([clips[row]], each) for each in (labels[[row]], wrong[[place]])]
                margins[place] = pair[0] - pair[1]
            if ids[place] == right[row] or float(margins[place]) not in bands[row]:
                fluencies[place] = -torch.inf
        chosen_places, found = [], []
        for row, (source, row_options) in enumerate(zip(sources, options, strict=True)):
            begin = row * len(row_options)
            likely = fluencies[begin : begin + len(row_options)].tolist()
            found.append(choose_rejected(source.text, row_options, likely, self.text, settings))
            chosen_places.append(begin + row_options.index(found[-1]))
        return found, margins[chosen_places]

    def _counterfactuals(
        self, sources: list[ClipToPerturb], labels: Tensor
    ) -> tuple[list[Counterfactual | None], Tensor, Tensor]:
        """Of each clip one or none, and under it `(batch,)` log r of its sentence and of the clip's; NaN for none."""
        if COUNTERFACTUAL not in self.levels:
            nothing = torch.full((len(sources),), torch.nan)
            return [None] * len(sources), nothing, nothing
        settings = self.config.negatives.counterfactual

        def draw(rows: list[int], attempt: int) -> list[Counterfactual | None]:
            clips = (sources[row] for row in rows)
            return [
                self.counterfactuals.make(each.clip, each.text, each.keypoints.numpy(), (*each.seed, attempt))
                for each in clips
            ]

        def score(rows: list[int], made: list[Counterfactual]) -> tuple[Tensor, Tensor, Tensor]:
            encoded = self._encode(self.model, [torch.from_numpy(each.keypoints) for each in made])
            wanted = self._labels([each.text for each in made])
            preferred, replaced = (self._logps(self.model, encoded, each) for each in (wanted, labels[rows]))
            return preferred, replaced, (wanted != IGNORED).sum(1).cpu()

        return draw_likely(
            len(sources), draw, score, min_logp=settings.min_logp, redraws=settings.redraws, noise=self.noise
        )

    def _proposals(self, sources: list[ClipToPerturb], guided: Encoded, streams: list[int]) -> list[list[str]]:
        """Candidates for each clip, and the empty sentence, which stands for none."""
        settings = self.config.negatives.perturber
        if self.perturber is not None:
            proposed = self.perturber.propose([s.text for s in sources], streams, candidates=settings.candidates)
            return [[*row, ""] for row in proposed]
        rows = torch.arange(len(sources), device=self.device).repeat_interleave(settings.candidates)
        seeds = [derive_seed(stream, candidate) for stream in streams for candidate in range(settings.candidates)]
        ids = self.guide.generate(guided.select(rows), **sampled(seeds, self.config))
        texts = [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return [[*texts[at : at + settings.candidates], ""] for at in range(0, len(texts), settings.candidates)]
