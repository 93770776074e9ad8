"""From files to sentences: what is found is read, translated and written; what makes no sense is told of and left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from signdpo.config import Config, ConfigError
from signdpo.inference.clip_files import NAMES_SHOWN, ClipFile, find_clips, with_ids
from signdpo.inference.output import QUARANTINE, Output, Scored, Text, writer_of
from signdpo.storage.files import fetch_folder, hash_folder
from signdpo.text.printable import printable

if TYPE_CHECKING:  # brings torch
    from signdpo.inference.decoding import Decoding
    from signdpo.inference.translator import TranslatorArguments

MOST_IN_PROCESS: Final = 64  # clips; so few are done before Ray has started


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for.

    Args:
        policy: folder or URI of the policy.
        inputs: files and folders.
        config: what clips are read and decoded with, and what actors take.
        decoding: how clips are decoded.
        kind: of the clips; None: as their files tell.
        out: file for the translations; None: stdout.
        attention: folder for a picture of each clip; None: none are drawn.
    """

    policy: str
    inputs: Sequence[str]
    config: Config
    decoding: Decoding
    kind: str | None = None
    out: str | None = None
    attention: str | None = None


def translate_files(request: Request, console: Console) -> None:
    """Translate the clips of some files and folders, but for those that the output has already.

    Args:
        request: what is asked for.
        console: where a person reads; sentences go to stdout or to a file.

    Raises:
        ConfigError: if there is no policy or no clip, if the output is another's, or if every clip was refused.
    """
    from signdpo.models.policy import check_folder  # brings torch

    check_folder(fetch_folder(request.policy))
    places, others = find_clips(request.inputs, request.kind)
    _tell_others(others, console)
    output: Output = Text(console, with_ids=len(places) > 1, with_logps=request.decoding.n_best > 1)
    if request.out is not None:
        output = writer_of(request.out)(request.out, _settings(request), request.decoding.n_best)
    clips, done = with_ids(places, output.known), set(output.known.values())
    waiting = [clip for clip in clips if clip.place not in done]
    refused: list[str] = []
    for clip, translations, reason in _translated(waiting, request, console):
        if not reason:
            output.add(clip, translations)
            continue
        refused.append(f"{clip.place}: {reason}")
        if len(clips) > 1 or request.out is not None:  # else the error below says it all
            output.refuse(clip, reason)
    if refused and len(refused) == len(clips):
        raise ConfigError(refused[0] if len(clips) == 1 else f"none of {len(refused)} clips is sound; {refused[0]}")
    if request.out is not None:
        _tell_counts(request.out, len(clips), len(waiting), len(refused), console)


def _translated(
    files: list[ClipFile], request: Request, console: Console
) -> Iterator[tuple[ClipFile, list[Scored], str]]:
    """Each clip in its turn: its translations, the best first, or why it was refused."""
    from signdpo.inference.translator import TranslatorArguments  # brings torch

    config = request.config
    arguments = TranslatorArguments.of(config, request.policy, request.decoding, request.attention)
    if not files:
        return
    if len(files) <= MOST_IN_PROCESS:
        yield from _in_process(files, config, arguments)
        return
    from signdpo.inference.actors import translate_on_actors  # brings Ray

    by_id = {file.id: file for file in files}
    for rows in translate_on_actors(files, config, arguments, console):
        for row in rows:
            scored = [
                (_one_line(sentence), logp) for sentence, logp in zip(row["sentences"], row["logps"], strict=True)
            ]
            yield by_id[row["id"]], scored, row["reason"]


def _in_process(
    files: list[ClipFile], config: Config, arguments: TranslatorArguments
) -> Iterator[tuple[ClipFile, list[Scored], str]]:
    from signdpo.inference.reading import read_rows
    from signdpo.inference.translator import ClipTranslator

    rows = read_rows(files, config.corpus)
    translated = ClipTranslator(arguments)(rows) if any(not row["reason"] for row in rows) else [[]] * len(rows)
    for file, row, hypotheses in zip(files, rows, translated, strict=True):
        yield file, [(_one_line(each.sentence), each.logp_per_token) for each in hypotheses], row["reason"]


def _one_line(sentence: str) -> str:
    return " ".join(sentence.split())


def _settings(request: Request) -> dict[str, Any]:
    """What decides a sentence beside the clip's file: lines that were made with others do not go into one output."""
    frames = request.config.corpus.max_frames
    return {"policy": hash_folder(request.policy), "max_frames": frames, **request.decoding.description()}


def _tell_others(others: list[str], console: Console) -> None:
    if others:
        shown = ", ".join(others[:NAMES_SHOWN]) + (", ..." if len(others) > NAMES_SHOWN else "")
        say = f"left alone, no clips: {shown} ({len(others)} in all)"
        console.print(say, markup=False, highlight=False, soft_wrap=True)


def _tell_counts(out: str, found: int, waiting: int, refused: int, console: Console) -> None:
    counts = [f"{waiting - refused} translated"]
    if waiting < found:
        counts.append(f"{found - waiting} there already")
    if refused:
        counts.append(f"{refused} quarantined: {printable(out)}{QUARANTINE}")
    console.print(f"{printable(out)}: {', '.join(counts)}", markup=False, highlight=False, soft_wrap=True)
