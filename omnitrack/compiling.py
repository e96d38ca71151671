"""Compilation of array functions with numba, the extra ``fast``.

No fast-math flag may change the handling of non-finite numbers: a fit detects them in order to roll back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
COMMON: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
CONTRACT = {"contract", "arcp"}  # a x + b in one instruction, and a / b as a (1 / b)


def exact(function: Function) -> Function:
    """Compile a function at its first call and cache it on disk; each operation is rounded as in numpy."""
    return _kept(function)


def compiled(function: Function) -> Function:
    """As `exact`, but neighbouring operations may be rounded together."""
    return _kept(function, fastmath=CONTRACT)


def summing(function: Function) -> Function:
    """As `merged`, for long sums: the compiler may reorder them to compute several additions at a time."""
    return _kept(function, fastmath={*CONTRACT, "reassoc"}, forceinline=True)


def merged(function: Function) -> Function:
    """As `compiled`, but a part of its caller's machine code.

    Otherwise a process that compiles both calls the function as compiled by itself, and one that reads both from disk
    calls the copy in its caller's code, whose sums may have another order. All callers of `summing` need it, except
    those that Python calls.
    """
    return _kept(function, fastmath=CONTRACT, forceinline=True)


def inlined(function: Function) -> Function:
    """As `compiled`, but inlined into the caller, and without reciprocals for divisions."""
    return _kept(function, fastmath={"contract"}, inline="always")


def _kept(function: Function, **options: Any) -> Function:
    njit: Callable[..., Callable[[Function], Function]] = numba.njit
    options |= COMMON
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to cache it: neither beside the source nor in the user's cache directory
        return njit(**options)(function)
