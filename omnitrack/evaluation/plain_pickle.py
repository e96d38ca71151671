"""Reading a pickle of arrays without running it: it yields numpy arrays and plain containers, and refuses the rest.

A pickle may name a few globals only, and none of them resolves to numpy's own reconstruction code, which trusts its
input. The stand-ins below collect and check the parts, and arrays are made from them at the end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.bounded_pickle import BoundedUnpickler, StandIn
from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content

_PLAIN_KINDS = "biufSU"  # bool, integers, floats, byte and text strings: nothing that holds Python objects
_CODE = re.compile(r"[|=<>]?[?a-zA-Z]\d{0,6}")  # of a plain type: no fields, no arrays in it, no strings of gigabytes
_DEEPEST = 32  # nesting of containers; TAP-Vid has four levels
_ITEM_BYTES = 64  # memory of an item of a container, beside its content


def load_plain_pickle(path: Path) -> Any:
    """Read a pickle of numpy arrays, numpy scalars and plain containers, written by Python 2 or 3.

    Object arrays become lists. Byte strings of Python 2 are returned as text with one character per byte (latin-1).

    Raises:
        OmnitrackError: A missing, truncated or damaged file, one that names any other global, or one that needs more
            memory than `omnitrack.limits` allows.
    """
    if not path.is_file():
        raise OmnitrackError(f"there is no file {path}", "check the path")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            loaded = _Unpickler(file, str(path), size).load()
        settled, content = _Settling().settle(loaded)
        check_content(str(path), content, size)
        return settled
    except OmnitrackError as error:
        named = error.message if error.message.startswith(str(path)) else f"{path} {error.message}"
        hint = error.hint or "TAP-Vid pickles hold numpy arrays, bytes, lists and dicts only; save it again as these"
        raise OmnitrackError(named, hint) from None
    except MemoryError as error:
        raise OmnitrackError(f"{path} does not fit into memory", "split it into shards") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        reason = str(error) or type(error).__name__
        raise OmnitrackError(f"{path} is damaged or not a pickle: {reason}", "fetch it again") from error


class _Unpickler(BoundedUnpickler):
    """The unpickler with the functions that a pickle may call; each accounts for the memory that it takes."""

    def __init__(self, file: Any, what: str, size: int) -> None:
        known = {
            "numpy.ndarray": None,  # only named, as the type to create
            "numpy.dtype": _Dtype,
            "numpy.core.multiarray._reconstruct": lambda *_: _Array(self),
            "numpy.core.multiarray.scalar": lambda dtype, data: self.from_bytes(data, dtype, (1,))[0],
            "numpy.core.numeric._frombuffer": self.from_bytes,
            "_codecs.encode": self._encode,
            "builtins.bytes": self._bytes,
            "builtins.bytearray": self._bytes,
        }
        super().__init__(file, what, size, known)

    def from_bytes(
        self, data: Any, dtype: _Dtype, shape: Any, order: Any = "C", axis_order: tuple[int, ...] | None = None
    ) -> NDArray[Any]:
        """Return an array over the bytes `data` (latin-1 text in Python 2 pickles), as numpy's ``_frombuffer`` does."""
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError(f"has an array of the shape {shape}")
        if isinstance(data, str):
            data = self._encode(data)
        array = np.frombuffer(data, dtype.resolve())
        if order == "K" and axis_order is not None:
            return array.reshape(shape).transpose(axis_order)
        return array.reshape(shape, order=order)

    def _encode(self, text: str, encoding: str = "latin1") -> bytes:
        """Make bytes from text, as protocols 0 to 2 store them; `_codecs.encode` itself would run any codec."""
        if encoding not in ("latin1", "latin-1"):
            raise OmnitrackError(f"encodes text as {encoding}", "only latin1 is read")
        self.spend(len(text))
        return text.encode("latin1")

    def _bytes(self, data: bytes | str = b"", encoding: str = "latin1") -> bytes:
        """Make bytes from bytes or text of the file; a number would become that many zero bytes."""
        if isinstance(data, str):
            return self._encode(data, encoding)
        if not isinstance(data, bytes):
            raise ValueError(f"makes bytes of a {type(data).__name__}")
        return data


class _Dtype(StandIn):
    """Stand-in for numpy.dtype: a plain type code, then (from its state) the byte order."""

    def __init__(self, code: str, align: object = False, copy: object = True) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError(f"has an array of the type {str(code)[:40]}")
        self.code = code

    def restore(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.code = state[1] + self.code.lstrip("<>=|")

    @property
    def is_object(self) -> bool:
        return self.code.lstrip("|=<>")[:1] == "O"

    def resolve(self) -> np.dtype[Any]:
        kind = np.dtype(self.code)
        if kind.kind not in _PLAIN_KINDS:
            raise OmnitrackError(f"holds an array of type {self.code}", "numbers, bools and strings are read")
        return kind


class _Array(StandIn):
    """Stand-in for an array under construction: `_reconstruct` makes it, its state (data included) follows."""

    def __init__(self, reader: _Unpickler) -> None:
        self._reader = reader
        self.value: NDArray[Any] | list[Any] | None = None

    def restore(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        if dtype.is_object:
            if len(shape) != 1 or not isinstance(data, list):
                raise OmnitrackError("holds an object array of more than one dimension", "lists of arrays are read")
            self.value = data
        else:
            self.value = self._reader.from_bytes(data, dtype, shape, "F" if fortran else "C")


class _Settling:
    """Replaces every stand-in in the loaded containers by its array, and handles each container only once.

    A container that is referenced often stays one object, but a caller meets it every time: its bytes count every time.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def settle(self, value: Any) -> tuple[Any, int]:
        """Return a settled value, and the bytes that it would take if nothing were shared."""
        if not isinstance(value, (_Array, dict, list, tuple)):
            return value, len(value) if isinstance(value, (bytes, str)) else getattr(value, "nbytes", 0)
        if id(value) not in self._known:
            if id(value) in self._open or len(self._open) >= _DEEPEST:
                raise ValueError(f"has containers in containers, deeper than {_DEEPEST}, or in themselves")
            self._open.add(id(value))
            self._known[id(value)] = self._container(value)
            self._open.remove(id(value))
        return self._known[id(value)]

    def _container(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, _Array):
            return self.settle(value.value)
        parts = [self.settle(part) for part in (value.values() if isinstance(value, dict) else value)]
        content = sum(_ITEM_BYTES + taken for _, taken in parts)
        settled = [part for part, _ in parts]
        return (dict(zip(value, settled, strict=True)) if isinstance(value, dict) else settled), content
