"""Reading a pickle without running it: numpy arrays and plain containers come out, anything else is refused.

A pickle is a program. This one may name a short list of globals only, and none of them resolves to numpy's own
reconstruction code, which trusts what it is given; stand-ins below collect the parts, checked, and arrays are made
from them at the end.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError

_PLAIN_KINDS = "biufSU"  # bool, integers, floats, byte and text strings: nothing that holds Python objects


def load_plain_pickle(path: Path) -> Any:
    """Read a pickle of numpy arrays, numpy scalars and plain containers, as Python 2 or 3 wrote it.

    Object arrays become lists. Byte strings of Python 2 come as text in which every character is one byte (latin-1).

    Raises:
        OmnitrackError: A missing, truncated or damaged file, or one that names any other global.
    """
    if not path.is_file():
        raise OmnitrackError(f"there is no file {path}", "check the path")
    try:
        with path.open("rb") as file:
            return _settle(_PlainUnpickler(file, encoding="latin1").load())
    except OmnitrackError as error:
        raise OmnitrackError(f"{path} {error.message}", error.hint) from None
    except MemoryError as error:
        raise OmnitrackError(f"{path} does not fit into memory", "split it into shards") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        reason = str(error) or type(error).__name__
        raise OmnitrackError(f"{path} is damaged or not a pickle: {reason}", "fetch it again") from error


class _Dtype:
    """Stand-in for numpy.dtype: a plain type code, then (from its state) the byte order."""

    def __init__(self, code: str, align: object = False, copy: object = True) -> None:
        self.code = str(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
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


class _Array:
    """Stand-in for an array under construction: `_reconstruct` makes it, its state (data included) follows."""

    def __init__(self, *_: object) -> None:
        self.value: NDArray[Any] | list[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        if dtype.is_object:
            if len(shape) != 1 or not isinstance(data, list):
                raise OmnitrackError("holds an object array of more than one dimension", "lists of arrays are read")
            self.value = data
        else:
            self.value = _from_bytes(data, dtype, shape, "F" if fortran else "C")


def _from_bytes(
    data: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any = "C", axis_order: tuple[int, ...] | None = None
) -> NDArray[Any]:
    """An array over the bytes `data` (text of latin-1 characters in Python 2 pickles); numpy's ``_frombuffer``."""
    if isinstance(data, str):
        data = data.encode("latin1")
    array = np.frombuffer(data, dtype.resolve())
    if order == "K" and axis_order is not None:
        return array.reshape(shape).transpose(axis_order)
    return array.reshape(shape, order=order)


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    return _from_bytes(data, dtype, (1,))[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How protocols 0 to 2 spell bytes; `_codecs.encode` itself would run any codec."""
    if encoding not in ("latin1", "latin-1"):
        raise OmnitrackError(f"encodes text as {encoding}", "only latin1 is read")
    return text.encode("latin1")


class _NdarrayName:
    """Stand-in for numpy.ndarray where it is only named as the type to make."""


_NUMPY: dict[str, Any] = {
    "numpy.ndarray": _NdarrayName,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_bytes,
}
_PLAIN: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encode,
    "collections.OrderedDict": collections.OrderedDict,
    **{f"builtins.{kind.__name__}": kind for kind in (bytes, bytearray, list, dict, tuple, set, frozenset)},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}".replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
        known = _NUMPY | _PLAIN
        if wanted not in known:
            raise OmnitrackError(
                f"names {module}.{name}, which is refused: a pickle can run any program",
                "TAP-Vid pickles hold numpy arrays, bytes, lists and dicts only; save it again as these",
            )
        return known[wanted]


def _settle(value: Any) -> Any:
    """The loaded containers with every stand-in replaced by its array."""
    if isinstance(value, _Array):
        return _settle(value.value)
    if isinstance(value, dict):
        return {key: _settle(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_settle(item) for item in value]
    return value
