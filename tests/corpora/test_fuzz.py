"""Damaged files of every format: a refusal with a reason, and never a crash, a hang, a bomb or a program.

`SIGNDPO_FUZZ_EXAMPLES=5000 pytest tests/corpora/test_fuzz.py` looks further, elsewhere each time.
"""

from __future__ import annotations

import os
import struct
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.specimens import SPECIMENS
from support.watching import WATCH, ingested

from signdpo.data.clips import Quarantined

pytest.importorskip("pose_format", reason="the group poses is not installed")
pytestmark = pytest.mark.usefixtures("small_limits")

examples = settings(
    max_examples=int(os.environ.get("SIGNDPO_FUZZ_EXAMPLES", "20")),
    derandomize="SIGNDPO_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # a slow example would be shrunk for minutes
    suppress_health_check=list(HealthCheck),
)
all_specimens = pytest.mark.parametrize("name", SPECIMENS)


NUMBERS = [
    struct.pack(code, number)
    for code in ("<b", "<h", "<i", "<q", ">i")
    for number in (-1, 0, 1, 0x7F, 1 << (8 * struct.calcsize(code) - 2))
]


def damaged(content: bytes, others: list[bytes], seed: int) -> bytes:
    """A file with a few wounds: bits turned, numbers replaced, parts cut, doubled, repeated or taken from elsewhere."""
    random = Random(seed)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(content) + 1)
        if random.random() < 0.5:  # most of a format's structure is at a file's beginning or end
            place = random.choice([place % 200, max(len(content) - place % 100, 0)])
        before, after = content[:place], content[place:]
        length = random.randint(1, 64)
        wound = random.choice(["bit", "number", "cut", "out", "double", "repeat", "splice"])
        if wound == "bit":
            after = bytes(byte ^ 1 << random.randrange(8) for byte in after[:1]) + after[1:]
        elif wound == "number":
            number = random.choice(NUMBERS)
            after = number + after[len(number) :]
        elif wound == "cut":
            after = b""
        elif wound == "out":
            after = after[length:]
        elif wound == "double":
            after = after[:length] + after
        elif wound == "repeat":
            after = after[: length // 4 + 1] * random.choice([10, 1000, 20_000]) + after
        else:
            other = random.choice(others)
            start = random.randrange(len(other))
            after = other[start : start + 4 * length] + after
        content = before + after
    return content


@all_specimens
@given(seed=st.integers(0, 2**64))
@examples
def test_a_damaged_clip_is_read_or_refused_with_a_reason(corpus_of: Any, name: str, seed: int) -> None:
    root, specimen = corpus_of(name), SPECIMENS[name]
    content = damaged(specimen.clip[1], [other.clip[1] for other in SPECIMENS.values()], seed)
    source = specimen.write(root, clip=content)
    with WATCH():
        ingested(source, root)


@all_specimens
@given(seed=st.integers(0, 2**64))
@examples
def test_damaged_labels_are_read_or_refused_with_a_reason(corpus_of: Any, name: str, seed: int) -> None:
    root, specimen = corpus_of(name), SPECIMENS[name]
    content = damaged(specimen.labels[1], [other.labels[1] for other in SPECIMENS.values()], seed)
    source = specimen.write(root, labels=content)
    with WATCH():
        ingested(source, root)


@all_specimens
@given(content=st.binary(max_size=200))
@examples
def test_any_bytes_are_refused_with_a_reason(corpus_of: Any, name: str, content: bytes) -> None:
    root, specimen = corpus_of(name), SPECIMENS[name]
    source = specimen.write(root, clip=content)
    with WATCH():
        assert all(isinstance(record, Quarantined) for record in ingested(source, root).quarantined)
