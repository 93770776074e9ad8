"""The structure of the package: rooms that import one way, no circles, no room or file that holds too much."""

from __future__ import annotations

import ast
import inspect
from graphlib import TopologicalSorter
from pathlib import Path

from signdpo.training.fit import fit

PACKAGE = Path(__file__).parents[1] / "signdpo"
# From the ground up: a room imports itself and rooms on lower floors.
FLOORS = (
    {"text"},
    {"levels", "seeding", "skeleton", "storage", "totals"},
    {"config", "foreign"},
    {"cluster", "dpo", "models", "report", "run_context"},
    {"monitoring"},
    {"data"},
    {"counterfactuals"},
    {"corpora", "negatives"},
    {"evaluation"},
    {"training"},
    {"pipeline"},
    {"inference", "replicas"},
    {"tuning"},
    {"ablations", "benchmarks"},
)
MOST_LINES_OF_A_ROOM = 2500
MOST_LINES_OF_A_FILE = 350


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in PACKAGE.rglob("*.py")}


def imported_by(file: Path) -> set[str]:
    """Modules of the package that a file imports, at its top or where work is done, those for types alone included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("signdpo"):
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= inside or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("signdpo")}
    return found & FILES.keys()


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_rooms_import_from_lower_floors_only() -> None:
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    rooms = {room_of(module) for module in FILES} - {""}
    assert rooms == set(floor_of)
    upwards = [
        f"{module} imports {other}"
        for module, file in FILES.items()
        for other in imported_by(file)
        if room_of(other) != room_of(module) and floor_of[room_of(other)] >= floor_of[room_of(module)]
    ]
    assert upwards == []


def test_no_files_import_each_other_in_a_circle() -> None:
    TopologicalSorter({module: imported_by(file) - {module} for module, file in FILES.items()}).prepare()


def test_no_room_and_no_file_holds_too_much() -> None:
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES.values()}
    assert [file.name for file, count in lines.items() if count > MOST_LINES_OF_A_FILE] == []
    rooms: dict[str, int] = {}
    for file, count in lines.items():
        inside = file.relative_to(PACKAGE).parts
        # The embedded language is a room in a room, and so are the stages and the wing of wrong sentences.
        own = inside[:2] in (("corpora", "synthetic"), ("pipeline", "stages"), ("negatives", "sentence"))
        room = "/".join(inside[:2]) if own else inside[0]
        rooms[room] = rooms.get(room, 0) + count
    assert {room: count for room, count in rooms.items() if count > MOST_LINES_OF_A_ROOM} == {}


def test_a_training_is_handed_over_as_a_plan() -> None:
    assert len(inspect.signature(fit).parameters) < 6
