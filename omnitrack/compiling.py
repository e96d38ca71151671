"""How functions over arrays are compiled, where numba is installed: the extra ``fast``.

No rule may be bent that says what becomes of numbers which are not finite: a fit looks for them to go back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
COMMON: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
CONTRACT = {"contract", "arcp"}  # a x + b in one instruction, and a / b as a (1 / b)


def exact(function: Function) -> Function:
    """Compile a function at its first call, and keep it on the disk: each operation is rounded as numpy rounds it."""
    return _kept(function)


def compiled(function: Function) -> Function:
    """As `exact`, but that neighbouring operations may be rounded together."""
    return _kept(function, fastmath=CONTRACT)


def summing(function: Function) -> Function:
    """As `compiled`, for long sums: their order is the compiler's, so that several run at the same time."""
    return _kept(function, fastmath={*CONTRACT, "reassoc"})


def inlined(function: Function) -> Function:
    """As `compiled`, as a part of whatever calls it."""
    return _kept(function, fastmath={"contract"}, inline="always")


def _kept(function: Function, **options: Any) -> Function:
    njit: Callable[..., Callable[[Function], Function]] = numba.njit
    options |= COMMON
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no place where it could be kept: neither beside the source nor in the user's cache
        return njit(**options)(function)
