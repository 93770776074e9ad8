"""What the machine does for each opcode of a pickle.

Each opcode has a step: a function of the machine, the file's content and the position after the opcode, which gives the
position of the next one. The steps of the opcodes that corpora are made of read their own arguments, which makes the
machine several times as fast as `pickletools.genops`; all others leave that to `pickletools`.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from signdpo.corpora.pickle_arrays import CONSTRUCTORS, GLOBALS, Dtype, Global, set_array_state
from signdpo.corpora.pickle_runs import take_arrays
from signdpo.skeleton.clip import BadClipError

if TYPE_CHECKING:
    from signdpo.corpora.pickle_machine import Machine

BYTES_PER_SET: Final = 256
BYTES_PER_MEMBER: Final = 64
# Longer integers are refused as keys: their hashes can be made to collide.
MAX_KEY: Final = 2**60

Step = Callable[["Machine", bytes, int], int]

OPCODES: Final = {opcode.name: opcode for opcode in pickletools.opcodes}
NAMES: Final = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}


def _taken(content: bytes, begin: int, end: int) -> bytes:
    if end > len(content):
        raise BadClipError("damaged pickle: it ends in the middle of a string")
    return content[begin:end]


# Steps of single opcodes.


def _forbidden(machine: Machine, content: bytes, position: int) -> int:
    opcode = content[position - 1]
    raise BadClipError(f"forbidden pickle opcode {NAMES.get(opcode, opcode)}")


def _mark(machine: Machine, content: bytes, position: int) -> int:
    machine.marked.append(machine.stack)
    machine.stack = []
    return position


def _binget(machine: Machine, content: bytes, position: int) -> int:
    machine.stack.append(machine.memo[content[position]])
    return position + 1


def _binput(machine: Machine, content: bytes, position: int) -> int:
    machine.memo[content[position]] = machine.stack[-1]
    return position + 1


def _memoize(machine: Machine, content: bytes, position: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return position


def _binint1(machine: Machine, content: bytes, position: int) -> int:
    machine.stack.append(content[position])
    return position + 1


def _tuple(machine: Machine, content: bytes, position: int) -> int:
    items = tuple(machine.stack)
    machine.stack = machine.marked.pop()
    machine.stack.append(items)
    return position


def _reduce(machine: Machine, content: bytes, position: int) -> int:
    function, arguments = machine.pop(2)
    if type(function) is not Global or function.name not in CONSTRUCTORS or type(arguments) is not tuple:
        raise BadClipError("damaged pickle: it calls something that is not a constructor")
    machine.stack.append(CONSTRUCTORS[function.name](machine.allocate, *arguments))
    return position


def _build(machine: Machine, content: bytes, position: int) -> int:
    target, state = machine.pop(2)
    if type(target) is np.ndarray:
        set_array_state(target, state, machine.allocate)
    elif type(target) is Dtype:
        target.set_state(state)
    else:
        raise BadClipError(f"damaged pickle: it sets the state of a {type(target).__name__}")
    machine.stack.append(target)
    return take_arrays(machine.stack, machine.memo, machine.allocate, content, position)


# Makers of steps that are alike.


def _constant(item: Any) -> Step:
    def step(machine: Machine, content: bytes, position: int) -> int:
        machine.stack.append(item)
        return position

    return step


def _number(code: str) -> Step:
    """The step of an opcode that is followed by a number of this `struct` code."""
    number = struct.Struct(code)

    def step(machine: Machine, content: bytes, position: int) -> int:
        machine.stack.append(number.unpack_from(content, position)[0])
        return position + number.size

    return step


def _string(code: str, decode: Callable[[bytes], Any]) -> Step:
    """The step of an opcode that is followed by a length of this `struct` code, and so many bytes."""
    length = struct.Struct(code)

    def step(machine: Machine, content: bytes, position: int) -> int:
        begin = position + length.size
        end = begin + length.unpack_from(content, position)[0]
        machine.stack.append(decode(_taken(content, begin, end)))
        return end

    return step


def _small_tuple(size: int) -> Step:
    def step(machine: Machine, content: bytes, position: int) -> int:
        machine.stack.append(tuple(machine.pop(size)))
        return position

    return step


def _rare(name: str, act: Callable[[Machine, Any], None]) -> Step:
    """The step of an opcode whose argument, if any, is left to `pickletools`."""
    argument = OPCODES[name].arg

    def step(machine: Machine, content: bytes, position: int) -> int:
        if argument is None:
            act(machine, None)
            return position
        stream = io.BytesIO(content)  # does not copy
        stream.seek(position)
        act(machine, argument.reader(stream))
        return stream.tell()

    return step


# What the rarer opcodes do.


def _push_global(machine: Machine, name: str) -> None:
    if name not in GLOBALS:
        raise BadClipError(f"the pickle asks for the forbidden global {name:.200}")
    machine.stack.append(GLOBALS[name])


def _plain_key(key: Any) -> Any:
    if type(key) is str:
        return key
    # Hashing a deeply nested tuple overflows the stack of the interpreter, so only scalars are hashed.
    if not isinstance(key, (str, bytes, int, float, type(None))) or (isinstance(key, int) and abs(key) >= MAX_KEY):
        raise BadClipError(f"damaged pickle: a {type(key).__name__} as key of a dict or member of a set")
    return key


def _paired(items: list[Any]) -> dict[Any, Any]:
    return {_plain_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _push_set(machine: Machine, kind: type, items: list[Any]) -> None:
    machine.allocate(BYTES_PER_SET + BYTES_PER_MEMBER * len(items))
    machine.stack.append(kind(map(_plain_key, items)))


def _add_items(machine: Machine, _: None) -> None:
    items = machine.pop_marked()
    machine.top(set).update(map(_plain_key, items))


def _set_items(machine: Machine, items: list[Any]) -> None:
    machine.top(dict).update(_paired(items))


def _append(machine: Machine, items: list[Any]) -> None:
    machine.top(list).extend(items)


def _pop(machine: Machine, _: None) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_marked()


def _push_text(machine: Machine, text: str) -> None:
    machine.stack.append(_decoded(text.encode("utf-8", "surrogatepass")))


def _push(machine: Machine, item: Any) -> None:
    machine.stack.append(item)


def _decoded(text: bytes) -> str:
    # Python writes half a character (a lone surrogate) as bytes that are no UTF-8, and no file we write could hold it.
    return text.decode("utf-8", "replace")


_RARE: Final[dict[str, Callable[[Machine, Any], None]]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(("INT", "LONG", "LONG1", "FLOAT", "BINBYTES8", "BYTEARRAY8"), _push),
    **dict.fromkeys(("UNICODE", "BINUNICODE8"), _push_text),
    **dict.fromkeys(("GET", "LONG_BINGET"), lambda machine, index: machine.stack.append(machine.memo[index])),
    **dict.fromkeys(("PUT", "LONG_BINPUT"), lambda machine, index: machine.memo.update({index: machine.stack[-1]})),
    "GLOBAL": lambda machine, name: _push_global(machine, name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: _push_global(machine, ".".join(map(str, machine.pop(2)))),
    "POP": _pop,
    "POP_MARK": lambda machine, _: machine.pop_marked().clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "LIST": lambda machine, _: _push(machine, machine.pop_marked()),
    "APPEND": lambda machine, _: _append(machine, machine.pop(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_marked()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "DICT": lambda machine, _: _push(machine, _paired(machine.pop_marked())),
    "SETITEM": lambda machine, _: _set_items(machine, machine.pop(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_marked()),
    "EMPTY_SET": lambda machine, _: _push_set(machine, set, []),
    "ADDITEMS": _add_items,
    "FROZENSET": lambda machine, _: _push_set(machine, frozenset, machine.pop_marked()),
}
_FREQUENT: Final[dict[str, Step]] = {
    "MARK": _mark,
    "BINGET": _binget,
    "BINPUT": _binput,
    "MEMOIZE": _memoize,
    "BININT1": _binint1,
    "BININT2": _number("<H"),
    "BININT": _number("<i"),
    "BINFLOAT": _number(">d"),
    "SHORT_BINUNICODE": _string("<B", _decoded),
    "BINUNICODE": _string("<I", _decoded),
    "SHORT_BINBYTES": _string("<B", bytes),
    "BINBYTES": _string("<I", bytes),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "TUPLE": _tuple,
    **{f"TUPLE{size}": _small_tuple(size) for size in (1, 2, 3)},
    "REDUCE": _reduce,
    "BUILD": _build,
}
_ALLOWED: Final = {**{name: _rare(name, act) for name, act in _RARE.items()}, **_FREQUENT}
STEPS: Final[list[Step]] = [_forbidden] * 256
for _name, _step in _ALLOWED.items():
    STEPS[ord(OPCODES[_name].code)] = _step
STOP: Final = ord(OPCODES["STOP"].code)
