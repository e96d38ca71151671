"""Reading a pickle as data: it calls only functions that its reader offers, within a limit of memory.

A pickle is a program, and a few bytes of it can request any amount of memory or time. This reader accepts only the
opcodes of plain data, checks every announced length against the rest of the file, and charges every opcode to one
budget. Python's C unpickler has no hooks for these checks.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content, content_limit

OPCODE_BYTES = 128  # one container, and its entries in a list and in the memo
LARGEST_KEY = 2**31  # larger integers can be chosen to share one hash
_OPCODES = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "MEMOIZE", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "PUT", "BINPUT", "LONG_BINPUT"),
    *("GET", "BINGET", "LONG_BINGET", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "DICT", "EMPTY_DICT"),
    *("SETITEM", "SETITEMS", "TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "GLOBAL", "STACK_GLOBAL"),
    *("REDUCE", "BUILD", "BINPERSID"),
)


class StandIn:
    """Stand-in that a pickle may build for an object: it receives the object's state, checks it and keeps it."""

    def restore(self, state: Any) -> None:
        """Receive the state of the object."""
        raise ValueError(f"{type(self).__name__} has no state")


class BoundedUnpickler(pickle._Unpickler):  # type: ignore[misc, name-defined, unused-ignore]
    """Reads one pickle.

    Args:
        file: Open where the pickle begins.
        what: The file's name, for messages.
        size: Size of the whole file in bytes.
        known: The globals that the pickle may use, by ``module.name`` as in Python 3 and numpy 1. Functions are called
            with the pickle's arguments, and check them. A missing name is an error only if the pickle uses it.

    Raises:
        OmnitrackError: From `load`: the pickle uses another global, or takes too much memory.
        Exception: From `load`: any other exception, for a damaged file.
    """

    dispatch: ClassVar[dict[int, Any]] = {}  # filled below
    stack: list[Any]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BinaryIO, what: str, size: int, known: Mapping[str, Any]) -> None:
        super().__init__(_Announced(file, size), encoding="latin1")
        self._what, self._size, self._known = what, size, known
        self._spent, self._limit = 0, content_limit(size)

    def spend(self, count: int) -> None:
        """Charge bytes that are about to be allocated; raise an error if they exceed the budget."""
        self._spent += count
        if self._spent > self._limit:
            check_content(self._what, self._spent, self._size)

    def find_class(self, module: str, name: str) -> Any:
        """Return the object or function that stands for a global."""
        wanted = f"{module}.{name}".replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        if wanted == "collections.OrderedDict":
            return self._ordered
        if wanted not in self._known:
            raise OmnitrackError(f"{self._what} names {module}.{name}, which is refused: a pickle can run any program")
        return self._known[wanted]

    def _ordered(self, items: Any = ()) -> collections.OrderedDict[Any, Any]:
        made: collections.OrderedDict[Any, Any] = collections.OrderedDict()
        self.spend(OPCODE_BYTES * len(items))
        for key, value in items:
            made[_key(key)] = value
        return made

    # --- opcodes that Python's unpickler does not check ---------------------------------------------------------
    def _load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(arguments, tuple) or not callable(function):
            raise ValueError("calls what is no function")
        self.stack[-1] = function(*arguments)

    def _load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, StandIn):
            made.restore(state)
        elif not isinstance(made, collections.OrderedDict):  # torch attaches `_metadata` to one; it is not needed
            raise ValueError(f"sets the state of a {type(made).__name__}")

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def _load_setitems(self) -> None:
        self._put(self.pop_mark())

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._put(items)

    def _put(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError(f"puts items into a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def _load_append(self) -> None:
        value = self.stack.pop()
        self._extend([value])

    def _load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError(f"appends to a {type(target).__name__}")
        target.extend(items)

    def _load_bytearray8(self) -> None:
        self.stack.append(self.read(int.from_bytes(self.read(8), "little")))


class _Announced:
    """A file that refuses reads beyond its end; the unpickler itself trusts the lengths in a pickle."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int) -> bytes:
        if count > 1 and count > self._size - self._file.tell():
            raise ValueError(f"announces {count} bytes, which it has not")
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise ValueError("ends within a line")
        return line


def _key(key: Any) -> Any:
    """Return a dictionary key of a type that hashes fast and that a file cannot choose to collide."""
    if isinstance(key, (str, bytes)) or (isinstance(key, int) and abs(key) < LARGEST_KEY):
        return key
    raise ValueError(f"has a {type(key).__name__} for the key of a dictionary")


def _paid(load: Callable[[Any], None]) -> Callable[[BoundedUnpickler], None]:
    def step(reader: BoundedUnpickler) -> None:
        reader.spend(OPCODE_BYTES)
        load(reader)

    return step


def _opcodes() -> dict[int, Callable[[BoundedUnpickler], None]]:
    theirs = pickle._Unpickler.dispatch  # type: ignore[attr-defined, unused-ignore]
    codes = {getattr(pickle, name)[0]: name for name in _OPCODES}
    own = {code: getattr(BoundedUnpickler, f"_load_{name.lower()}", theirs[code]) for code, name in codes.items()}
    return _Opcodes({code: _paid(load) for code, load in own.items()})


class _Opcodes(dict[int, Callable[[BoundedUnpickler], None]]):
    def __missing__(self, code: int) -> None:
        raise ValueError(f"byte {code:#x} begins no plain data")


BoundedUnpickler.dispatch = _opcodes()
