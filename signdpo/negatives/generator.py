"""`NegativeGenerator`: the Ray Data actor that turns clip rows into preference rows.

It holds the frozen reference policy and the language perturber, loaded once an actor for a whole run.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from signdpo.config import Config
from signdpo.data.rows import Columns, clips_of
from signdpo.levels import SKELETON_LEVELS
from signdpo.models.batch import pad_clips, tokenize
from signdpo.models.language_model import IGNORED
from signdpo.models.policy import Policy, hash_weights
from signdpo.models.precision import autocast, set_up_precision
from signdpo.models.translator import Encoded, SignTranslator
from signdpo.negatives.sentence.perturber import load_perturber
from signdpo.negatives.sentence.sampling import SeededSampling
from signdpo.negatives.sentence.selection import TrainingText, choose_rejected
from signdpo.negatives.skeleton.donors import NO_DONORS, DonorPool
from signdpo.negatives.skeleton.hardness import Band, DrawnNegative, draw_within_band
from signdpo.negatives.skeleton.negative import ClipToPerturb, needs_donors
from signdpo.negatives.skeleton.salience import measure_salience
from signdpo.seeding import derive_seed
from signdpo.storage.files import fetch_folder

SCORE_NOISE = 1e-3  # of a float32 log-probability between batches: ten times what invariant 1 allows
SCORE_NOISE_BFLOAT16 = 0.1


class ReferenceMismatchError(RuntimeError):
    """The reference policy is not the one this run was started with."""


class NegativeGenerator:
    """Makes the five negatives of each clip and scores them, and the chosen pair, under the reference.

    Args:
        config: the run's configuration.
        reference: folder of the frozen reference policy.
        reference_hash: what its weights must hash to.
        perturber: folder of the language perturber.
        clips: folder of the ingested clips, where donors come from.

    Raises:
        ReferenceMismatchError: if the folder holds other weights.
    """

    def __init__(self, config: Config, reference: str, reference_hash: str, perturber: str, clips: str) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if config.resources.use_gpu and torch.cuda.is_available() else "cpu")
        set_up_precision(self.device, config.dpo_precision, key="dpo.precision")
        policy = Policy.load(fetch_folder(reference))
        self.reference, self.reference_hash = reference, reference_hash
        self._check_reference(policy.hash())
        self.name = uuid.uuid4().hex[:8]  # rows carry it: it tells how often models were loaded
        self.tokenizer = policy.tokenizer
        self.model = policy.model.to(self.device).requires_grad_(False)
        self.guide, self.policy_version = self.model, 0  # the policy whose attention says where the meaning is
        folder, settings = fetch_folder(perturber), config.negatives.perturber
        limit = config.policy.max_text_tokens
        self.perturber = load_perturber(folder, settings, max_tokens=limit, device=self.device)
        self.text = TrainingText.load(folder, function_share=settings.function_share)
        self.donors = NO_DONORS
        if needs_donors(config.negatives):
            self.donors = DonorPool.load(
                clips, count=config.negatives.donors, seed=config.seed, max_frames=config.corpus.max_frames
            )

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

    def __call__(self, batch: Columns) -> Columns:
        """Columns of clips with their epochs -> the same and the other columns of `PREFERENCE_SCHEMA`."""
        clips = [torch.from_numpy(clip) for clip in clips_of(batch)]
        texts = [str(text) for text in batch["text"]]
        seeds = [(self.config.seed, int(epoch), str(i)) for epoch, i in zip(batch["epoch"], batch["id"], strict=True)]
        labels = tokenize(self.tokenizer, texts, max_tokens=self.config.policy.max_text_tokens).to(self.device)
        frames, parts = self._salience(clips, labels)
        clean = self._encode(self.model, clips)
        guided = clean if self.guide is self.model else self._encode(self.guide, clips)
        rejected = self._rejected_sentences(texts, guided, seeds)
        chosen, language = self._sentence_logps(clean, labels, rejected)
        sources = [
            ClipToPerturb(str(clip), text, keypoints, frame, part, seed, self.donors)
            for clip, text, keypoints, frame, part, seed in zip(
                batch["id"], texts, clips, frames, parts, seeds, strict=True
            )
        ]
        negatives = self._skeleton_negatives(sources, labels, chosen)
        margins = torch.tensor([[row[level].margin for level in SKELETON_LEVELS] for row in negatives])
        margins = torch.cat([margins, (chosen - language)[:, None]], dim=1)  # (batch, 5)
        logps = torch.cat([chosen[:, None], chosen[:, None] - margins], dim=1)  # (batch, 6)
        return {
            **batch,
            **{
                f"keypoints_{level}": [
                    row[level].negative.keypoints.numpy().astype(np.float16).ravel() for row in negatives
                ]
                for level in SKELETON_LEVELS
            },
            "rejected_text": np.array(rejected),
            "reference_logps": list(logps.numpy()),
            "reference_margins": list(margins.numpy()),
            "valid": [
                np.array([*(row[level].accepted for level in SKELETON_LEVELS), bool(sentence)])
                for row, sentence in zip(negatives, rejected, strict=True)
            ],
            "operations": [[row[level].negative.operation for level in SKELETON_LEVELS] for row in negatives],
            "strengths": [
                np.array([row[level].negative.strength for level in SKELETON_LEVELS], dtype=np.float32)
                for row in negatives
            ],
            "redraws": [
                np.array([row[level].redraws for level in SKELETON_LEVELS], dtype=np.int32) for row in negatives
            ],
            "salience_frames": [frame.numpy().astype(np.float16) for frame in frames],
            "salience_parts": [part.numpy().astype(np.float32) for part in parts],
            "reference_hash": np.array([self.reference_hash] * len(texts)),
            "policy_version": np.full(len(texts), self.policy_version, dtype=np.int32),
            "generator": np.array([self.name] * len(texts)),
        }

    def _salience(self, clips: list[Tensor], labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        keypoints, mask = pad_clips(clips, self.device)
        salience = measure_salience(
            self.guide, keypoints, mask, labels, self.config.negatives.salience, self.tokenizer.eos_token_id
        )
        frames = [row[: len(clip)].cpu() for row, clip in zip(salience.frames, clips, strict=True)]
        return frames, list(salience.parts.cpu())

    @torch.no_grad()
    def _encode(self, model: SignTranslator, clips: list[Tensor]) -> Encoded:
        keypoints, mask = pad_clips(clips, self.device)
        with autocast(self.device, self.config.dpo_precision):
            return model.encode(keypoints, mask)

    def _rejected_sentences(self, texts: list[str], encoded: Encoded, seeds: list[tuple[int, int, str]]) -> list[str]:
        settings = self.config.negatives.perturber
        streams = [derive_seed(*seed, "language") for seed in seeds]
        rows = torch.arange(len(texts), device=self.device).repeat_interleave(settings.candidates)
        if self.perturber is not None:
            proposed = self.perturber.propose(texts, streams, candidates=settings.candidates)
            sentences = [sentence for options in proposed for sentence in options]
        else:
            sentences = self._own_hypotheses(encoded.select(rows), streams)
        fluencies = self._fluencies(encoded.select(rows), sentences)
        return [
            choose_rejected(text, sentences[begin:end], fluencies[begin:end], self.text, settings)
            for text, begin in zip(texts, range(0, len(sentences), settings.candidates), strict=True)
            for end in [begin + settings.candidates]
        ]

    def _own_hypotheses(self, encoded: Encoded, streams: list[int]) -> list[str]:
        """A sentence sampled from the guiding policy for each encoded row, several a stream."""
        settings = self.config.negatives.perturber
        seeds = [derive_seed(stream, candidate) for stream in streams for candidate in range(settings.candidates)]
        ids = self.guide.generate(
            encoded,
            num_beams=1,
            do_sample=False,
            max_new_tokens=self.config.evaluation.max_new_tokens,
            logits_processor=[SeededSampling(seeds, temperature=settings.temperature)],
        )
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    @torch.no_grad()
    def _fluencies(self, encoded: Encoded, sentences: list[str]) -> list[float]:
        """Mean log-probability a token of each sentence under the guiding policy, given its row's clip."""
        labels = tokenize(self.tokenizer, sentences, max_tokens=self.config.policy.max_text_tokens).to(self.device)
        with autocast(self.device, self.config.dpo_precision):
            logps = self.guide.logps(encoded, labels)
        return (logps / (labels != IGNORED).sum(-1)).tolist()

    def _skeleton_negatives(
        self, sources: list[ClipToPerturb], labels: Tensor, chosen: Tensor
    ) -> list[dict[str, DrawnNegative]]:
        epochs, settings = self.config.dpo.epochs, self.config.negatives
        bands = [Band.at(int(source.seed[1]), epochs, settings.hardness) for source in sources]
        lengths = (labels != IGNORED).sum(1)

        def score(rows: Sequence[int], clips: Sequence[Tensor]) -> Tensor:
            wanted = labels[torch.tensor(rows, device=labels.device)]
            return self._logps(clips, wanted[:, : int(lengths[rows].max())])

        noise = SCORE_NOISE_BFLOAT16 if self.config.dpo_precision == "bfloat16" else SCORE_NOISE
        return draw_within_band(sources, chosen, bands, score, settings, noise=noise)

    @torch.no_grad()
    def _sentence_logps(self, encoded: Encoded, labels: Tensor, rejected: list[str]) -> tuple[Tensor, Tensor]:
        """Reference log-probabilities of the chosen and the rejected sentences, `(batch,)` float32 each.

        A wrong sentence is wrong whatever it costs: where the reference prefers it, all the more to learn.
        """
        wrong = tokenize(self.tokenizer, rejected, max_tokens=self.config.policy.max_text_tokens).to(self.device)
        with autocast(self.device, self.config.dpo_precision):
            scores = [self.model.logps(encoded, sentences).float().cpu() for sentences in (labels, wrong)]
        return scores[0], scores[1]

    @torch.no_grad()
    def _logps(self, clips: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Reference log-probability of a sentence under each clip, `(n,)` float32."""
        keypoints, mask = pad_clips(clips, self.device)
        with autocast(self.device, self.config.dpo_precision):
            return self.model.logps(self.model.encode(keypoints, mask), labels).float().cpu()
