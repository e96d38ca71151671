"""Where a compiled part may take the place of its reference."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TypeVar, cast

Part = TypeVar("Part")


def compiled_or(reference: Part, module: str, name: str, agree: Callable[[Part, Part], bool]) -> Part:
    """The part called `name` of a module that needs numba, where it can be had; else the reference, as slow as it is.

    Args:
        reference: Does the same work.
        module: Importing it compiles.
        name: Of the part in it, a function or a class without arguments.
        agree: Whether the part, then the reference, give the same on a small input. The first call compiles: seconds.
    """
    if importlib.util.find_spec("numba") is None:
        return reference
    try:
        found = getattr(importlib.import_module(module), name)
        part = cast(Part, found() if isinstance(found, type) else found)
        return part if agree(part, reference) else reference
    except Exception:  # a compiler may fail in any way
        return reference
