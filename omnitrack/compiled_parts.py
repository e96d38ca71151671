"""Where a compiled part may take the place of its reference."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar, cast

Part = TypeVar("Part")


@dataclass(frozen=True)
class CompiledPart(Generic[Part]):
    """A part of the work that exists twice: as a reference, and compiled by numba, the extra ``fast``.

    Attributes:
        reference: Does the work anywhere.
        module: Has the compiled one; importing it needs numba.
        name: Of that one in the module, a function or a class without arguments.
        agree: Whether the compiled one, then the reference, give the same on a small input. The first call compiles:
            seconds.
    """

    reference: Part
    module: str
    name: str
    agree: Callable[[Part, Part], bool]

    @property
    def fastest(self) -> Part:
        """The compiled one where it can be had and agrees; else the reference, as slow as it is."""
        return self._tried[0]

    @property
    def trouble(self) -> str:
        """Why the compiled one is not used though numba is installed; empty where it is, or where numba is not."""
        return self._tried[1]

    @cached_property
    def _tried(self) -> tuple[Part, str]:
        if importlib.util.find_spec("numba") is None:
            return self.reference, ""
        named = f"{self.module}.{self.name}"
        try:
            found = getattr(importlib.import_module(self.module), self.name)
            part = cast(Part, found() if isinstance(found, type) else found)
            if self.agree(part, self.reference):
                return part, ""
        except Exception as error:  # a compiler may fail in any way
            return self.reference, f"{named} failed: {error or type(error).__name__}".partition("\n")[0]
        return self.reference, f"{named} differs from its reference"
