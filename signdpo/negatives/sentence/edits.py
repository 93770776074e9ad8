"""A small model of how a policy edits sentences: left to right, each unit is kept, omitted, substituted or preceded.

A monotonic transducer (Graves 2012; with hard alignments as in Aharoni and Goldberg 2017): copying is one of its
actions, so it needs no training, and a few hundred failures suffice where a text-to-text model from scratch would still
be learning to copy. It writes units of its training text and of the reference, so it never misspells a word.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from signdpo.negatives.sentence.sampling import SeededSampling
from signdpo.seeding import derive_seed
from signdpo.text.units import Edit, Operation, align, folded, join_units, split_units
from signdpo.totals import Total

IGNORED = -100
UNKNOWN, END = 0, 1  # unit ids; the end stands behind every source, and keeping it ends the sentence
UNITS_FILE = "units.json"
EXTRA_UNITS = 8  # a wrong sentence may be so much longer than twice its reference


class EditModelConfig(PretrainedConfig):
    model_type = "signdpo_edits"

    def __init__(self, vocab_size: int = 2, d_model: int = 128, dropout: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.d_model = d_model
        self.dropout = dropout


class Scripts(NamedTuple):
    """Padded edit scripts.

    Args:
        sources: `(batch, source)` unit ids, each row ending in `END`, padded with it.
        positions: `(batch, steps)` the source unit each step looks at.
        operations: `(batch, steps)` of `Operation`, `IGNORED` where padded.
        written: `(batch, steps)` the unit written, `IGNORED` where none is or where nothing could write it.
        copies: `(batch, steps, source)` bool, which units of the source read like the one written.
        emitted: `(batch, steps)` the last unit of the sentence before each step, `END` where there is none.
    """

    sources: Tensor
    positions: Tensor
    operations: Tensor
    written: Tensor
    copies: Tensor
    emitted: Tensor


class EditModel(PreTrainedModel):
    """Scores the next action given the source, the position in it and all actions so far."""

    config_class = EditModelConfig

    def __init__(self, config: EditModelConfig) -> None:
        super().__init__(config)
        width = config.d_model
        self.units = nn.Embedding(config.vocab_size, width)
        self.actions = nn.Embedding(len(Operation) + 1, width)  # the last stands for the beginning
        self.encoder = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(3 * width, width, batch_first=True)
        self.operation = nn.Linear(2 * width, len(Operation))
        self.word = nn.Linear(2 * width, width)
        self.pointer = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.d_model**-0.5)

    def encode(self, sources: Tensor) -> Tensor:
        """`(batch, source)` unit ids -> `(batch, source, width)`; padding behind a row's end changes nothing in it."""
        lengths = (sources != END).sum(1) + 1
        embedded = self.dropout(self.units(sources))
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(
            self.encoder(packed)[0], batch_first=True, total_length=sources.shape[1]
        )
        return self.dropout(hidden)

    def step(
        self, looked_at: Tensor, emitted: Tensor, actions: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Advance by the steps given.

        Args:
            looked_at: `(batch, steps, width)` encodings of the units at the positions.
            emitted: `(batch, steps)` the last unit written before each step.
            actions: `(batch, steps)` the action before each step.
            state: of the decoder, None at the beginning.

        Returns:
            Logits of the operations `(batch, steps, 4)`, then `(batch, steps, 2 * width)`, which the unit to write is
            read from, and the state.
        """
        inputs = torch.cat([looked_at, self.dropout(self.units(emitted)), self.actions(actions)], dim=-1)
        hidden, state = self.decoder(inputs, state)
        seen = torch.cat([self.dropout(hidden), looked_at], dim=-1)
        return self.operation(seen), seen, state

    def write(self, seen: Tensor, encoded: Tensor, sources: Tensor) -> Tensor:
        """Logits of what to write: `(rows, vocabulary + source)`, any known unit or one that stands in the source.

        Real failures move words about, and their wrong words are often taken from elsewhere in the sentence.

        Args:
            seen: `(rows, 2 * width)` of the rows' steps.
            encoded: `(rows, source, width)`.
            sources: `(rows, source)` unit ids.
        """
        words = self.word(seen) @ self.units.weight.T
        words[:, : END + 1] = float("-inf")
        pointers = torch.einsum("rw,rsw->rs", self.pointer(seen), encoded) * self.config.d_model**-0.5
        return torch.cat([words, pointers.masked_fill(sources == END, float("-inf"))], dim=-1)

    def forward(self, scripts: Scripts) -> ModelOutput:
        """Mean negative log-probability a step, as `loss`."""
        encoded = self.encode(scripts.sources)
        looked_at = encoded.gather(1, scripts.positions.unsqueeze(-1).expand(-1, -1, encoded.shape[-1]))
        begun = torch.full_like(scripts.operations[:, :1], len(Operation))
        before = torch.cat([begun, scripts.operations[:, :-1].clamp_min(0)], dim=1)
        operations, seen, _ = self.step(looked_at, scripts.emitted, before, None)
        chosen = F.cross_entropy(operations.flatten(0, 1), scripts.operations.flatten(), reduction="sum")
        rows, steps = torch.nonzero(scripts.written != IGNORED, as_tuple=True)
        logits = self.write(seen[rows, steps], encoded[rows], scripts.sources[rows])  # (written, vocabulary + source)
        known = F.one_hot(scripts.written[rows, steps], self.config.vocab_size).bool()
        known[:, : END + 1] = False  # a unit without an id can only be a copy
        right = torch.cat([known, scripts.copies[rows, steps]], dim=-1)
        spelled = logits.logsumexp(-1) - logits.masked_fill(~right, float("-inf")).logsumexp(-1)
        return ModelOutput(loss=(chosen + spelled.sum()) / (scripts.operations != IGNORED).sum())


@dataclass(frozen=True)
class EditPerturber:
    """An edit model and the units it can write, in the order of their ids."""

    model: EditModel
    units: list[str]

    @classmethod
    def fresh(cls, texts: Sequence[str], *, d_model: int, seed: int) -> EditPerturber:
        """Random weights; the units are those of these sentences, each spelled as it mostly is inside a sentence."""
        spellings: dict[str, Counter[str]] = {}
        for text in texts:
            for place, unit in enumerate(split_units(text)):
                spellings.setdefault(key_of(unit), Counter())[unit] += 1 if place == 0 else 1000
        units = ["", "", *(found.most_common(1)[0][0] for _, found in sorted(spellings.items()))]
        torch.manual_seed(seed)
        return cls(EditModel(EditModelConfig(vocab_size=len(units), d_model=d_model)), units)

    @classmethod
    def load(cls, folder: str | Path) -> EditPerturber:
        units = json.loads(Path(folder, UNITS_FILE).read_text(encoding="utf-8"))
        return cls(EditModel.from_pretrained(folder).eval(), units)

    def save(self, folder: str | Path) -> None:
        self.model.save_pretrained(folder)
        Path(folder, UNITS_FILE).write_text(json.dumps(self.units, ensure_ascii=False), encoding="utf-8")

    @cached_property
    def ids(self) -> dict[str, int]:
        """What a unit reads like -> its id."""
        return {key_of(unit): index for index, unit in enumerate(self.units) if index > END}

    def loss(self, sources: Sequence[str], targets: Sequence[str]) -> Total:
        """Negative log-probability of the edits of the scripts from each source to its target."""
        scripts = self._scripts(sources, targets)
        count = int((scripts.operations != IGNORED).sum())
        return Total(count * self.model(scripts).loss, count)

    def _scripts(self, sources: Sequence[str], targets: Sequence[str]) -> Scripts:
        scripts = [self._script(source, target) for source, target in zip(sources, targets, strict=True)]
        steps, width = max(len(s.positions) for s in scripts), max(len(s.sources) for s in scripts)
        copies = torch.zeros(len(scripts), steps, width, dtype=torch.bool)
        for row, script in enumerate(scripts):
            copies[row, : script.copies.shape[0], : script.copies.shape[1]] = script.copies

        def padded(columns: list[Tensor], value: int) -> Tensor:
            return nn.utils.rnn.pad_sequence(columns, batch_first=True, padding_value=value).to(self.model.device)

        return Scripts(
            sources=padded([script.sources for script in scripts], END),
            positions=padded([script.positions for script in scripts], 0),
            operations=padded([script.operations for script in scripts], IGNORED),
            written=padded([script.written for script in scripts], IGNORED),
            copies=copies.to(self.model.device),
            emitted=padded([script.emitted for script in scripts], END),
        )

    def _script(self, source: str, target: str) -> Scripts:
        """The fewest edits from one sentence to the other, without the batch dimension."""
        units = split_units(source)
        keys = [key_of(unit) for unit in units]
        known = [*(self.ids.get(key, UNKNOWN) for key in keys), END]
        edits = [*align(units, split_units(target)), Edit(Operation.KEEP, len(units), None)]
        written, emitted = [], [END]
        copies = torch.zeros(len(edits), len(known), dtype=torch.bool)
        for step, (operation, position, unit) in enumerate(edits):
            if unit is None:
                written.append(IGNORED)
                emitted.append(known[position] if operation == Operation.KEEP else emitted[-1])
                continue
            new = self.ids.get(key_of(unit), UNKNOWN)
            copies[step, : len(keys)] = torch.tensor([key == key_of(unit) for key in keys], dtype=torch.bool)
            written.append(new if new != UNKNOWN or bool(copies[step].any()) else IGNORED)
            emitted.append(new)
        return Scripts(
            sources=torch.tensor(known),
            positions=torch.tensor([edit.position for edit in edits]),
            operations=torch.tensor([int(edit.operation) for edit in edits]),
            written=torch.tensor(written),
            copies=copies,
            emitted=torch.tensor(emitted[:-1]),
        )

    @torch.no_grad()
    def propose(self, references: Sequence[str], seeds: Sequence[int], *, candidates: int) -> list[list[str]]:
        """Sample candidate sentences for each reference; row `i` depends on `references[i]` and `seeds[i]` alone."""
        ids, device, vocabulary = self.ids, self.model.device, len(self.units)
        sources = [split_units(text) for text in references for _ in range(candidates)]
        known = [torch.tensor([*(ids.get(key_of(unit), UNKNOWN) for unit in units), END]) for units in sources]
        padded = nn.utils.rnn.pad_sequence(known, batch_first=True, padding_value=END).to(device)
        encoded = self.model.encode(padded)
        streams = [derive_seed(seed, candidate) for seed in seeds for candidate in range(candidates)]
        # Two draws a step, each row's from its own streams: one of the operation, one of the unit.
        operate = SeededSampling([derive_seed(seed, "operation") for seed in streams])
        write = SeededSampling([derive_seed(seed, "unit") for seed in streams])
        rows = torch.arange(len(sources), device=device)
        lengths = torch.tensor([len(units) for units in sources], device=device)
        position = torch.zeros_like(rows)
        emitted, action = torch.full_like(rows, END), torch.full_like(rows, len(Operation))
        state: Tensor | None = None
        sentences: list[list[str]] = [[] for _ in sources]
        done = torch.zeros_like(rows, dtype=torch.bool)
        for _ in range(2 * int(lengths.max()) + EXTRA_UNITS):
            operations, seen, state = self.model.step(
                encoded[rows, position].unsqueeze(1), emitted.unsqueeze(1), action.unsqueeze(1), state
            )
            operations, words = operations[:, 0], self.model.write(seen[:, 0], encoded, padded)
            at_end = position == lengths
            operations[at_end, Operation.OMIT] = operations[at_end, Operation.SUBSTITUTE] = float("-inf")
            too_long = torch.tensor([len(s) >= 2 * n + EXTRA_UNITS for s, n in zip(sentences, lengths, strict=True)])
            operations[too_long.to(device), Operation.INSERT] = float("-inf")
            here = padded[rows, position]
            words[rows, here] = words[rows, vocabulary + position] = float("-inf")  # that would be keeping it
            action, new = operate(padded, operations).argmax(-1), write(padded, words).argmax(-1)
            copied = (new - vocabulary).clamp_min(0)
            done |= at_end & (action == Operation.KEEP)
            if bool(done.all()):
                break
            keeps = action == Operation.KEEP
            writes = (action == Operation.SUBSTITUTE) | (action == Operation.INSERT)
            for row in torch.nonzero((keeps | writes) & ~done).flatten().tolist():
                taken = int(position[row]) if keeps[row] else int(copied[row])
                from_source = bool(keeps[row]) or int(new[row]) >= vocabulary
                sentences[row].append(
                    self._kept(sources[row], taken, ids) if from_source else self.units[int(new[row])]
                )
            unit = torch.where(new >= vocabulary, padded[rows, copied], new)
            emitted = torch.where(writes, unit, torch.where(keeps, here, emitted))
            position = (position + (action != Operation.INSERT)).minimum(lengths)
        texts = [_as_begun(join_units(s), references[row // candidates]) for row, s in enumerate(sentences)]
        return [texts[row : row + candidates] for row in range(0, len(texts), candidates)]

    def _kept(self, source: list[str], position: int, ids: dict[str, int]) -> str:
        """A kept unit, spelled as inside a sentence: what stood first may not stand first any more."""
        unit = source[position]
        index = ids.get(key_of(unit)) if position == 0 else None
        return unit if index is None else self.units[index]


def key_of(unit: str) -> str:
    """What units that read alike share."""
    return folded(unit) or unit.strip()


def _as_begun(sentence: str, reference: str) -> str:
    return sentence[:1].upper() + sentence[1:] if reference[:1].isupper() else sentence
