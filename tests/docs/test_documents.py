"""README and docs/ say what is there: links, files, commands, keys, tests, and the order of rooms."""

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_house import FLOORS

from signdpo.config import Config, flat, load_config
from signdpo.tuning.settings import load_search

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands of extending.md name modules of that page; `test_extending.py` runs them.
COMMANDED = [page for page in PAGES if page.name != "extending.md"]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a page's blocks of shell, split as a shell does."""
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                yield words[: words.index("&&")]
                words = words[words.index("&&") + 1 :]
            if words:
                yield words


def python_commands(text: str) -> Iterator[list[str]]:
    """What follows `python`, also within `ray job submit ... -- python`."""
    for words in commands(text):
        places = [place for place, word in enumerate(words) if re.fullmatch(r"(\S*/)?python3?", word)]
        if places:
            yield words[places[0] + 1 :]


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(TEXTS[ROOT / "README.md"].splitlines()) <= 130


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), target


@by_page
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:signdpo|jobs|tests|docs|\.ci)/[\w./]*)`", TEXTS[page]):
        assert (ROOT / name).exists(), name


@by_page
def test_no_command_needs_what_a_stranger_does_not_have(page: Path) -> None:
    assert "../shared" not in TEXTS[page]


@by_page
def test_commands_name_files_and_options_that_exist(page: Path) -> None:
    for words in python_commands(TEXTS[page]):
        if words[0] == "-m":
            assert words[1] == "venv" or importlib.util.find_spec(words[1]), words
            continue
        code = (ROOT / words[0]).read_text(encoding="utf-8")
        code += (ROOT / "signdpo/pipeline/commands.py").read_text(encoding="utf-8")
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert f'"{option}"' in code, words


@pytest.mark.parametrize("page", COMMANDED, ids=lambda page: page.name)
def test_settings_of_commands_are_valid(page: Path) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--config")
    for words in python_commands(TEXTS[page]):
        options, _ = parser.parse_known_args(words)
        config = options.config if options.config and options.config.startswith("jobs/") else None
        given = ["corpus.root=."] if config and words[0] == "jobs/benchmark.py" else []  # as the job: no clip is read
        load_config(None if config is None else ROOT / config, [*given, *options.set])


@pytest.mark.parametrize("page", COMMANDED, ids=lambda page: page.name)
def test_keys_of_the_text_exist(page: Path) -> None:
    keys = {*flat(Config().model_dump(mode="json"))}
    for _ in range(3):
        keys |= {key.rpartition(".")[0] for key in keys}  # sections and mappings
    for quoted in re.findall(r"`--set ([^`]+)`", TEXTS[page]):
        for override in shlex.split(quoted.replace("--set ", "")):
            key = override.partition("=")[0]
            if key.startswith("search."):
                load_search(str(ROOT / "jobs/configs/tune.yaml"), [override.removeprefix("search.")])
            else:
                assert key in keys, override
    for key in re.findall(
        r"`((?:corpus|policy|pretrain|negatives|dpo|evaluation|resources|tracking)\.[\w.]+)", TEXTS[page]
    ):
        assert key in keys, key


@by_page
def test_tests_that_are_named_exist(page: Path) -> None:
    there = {
        name for file in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert set(re.findall(r"`(test_\w+)`", TEXTS[page])) <= there


def test_the_order_of_rooms_is_the_one_that_imports_are_held_to() -> None:
    found = re.search(r"```rooms\n(.*?)```", TEXTS[ROOT / "docs" / "architecture.md"], re.DOTALL)
    assert found is not None
    assert tuple(set(line.split()) for line in found[1].splitlines()) == FLOORS
