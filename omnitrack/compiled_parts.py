"""When a compiled implementation may replace its reference."""

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
    """A part with two implementations: a reference, and one compiled by numba (the extra ``fast``).

    Attributes:
        reference: The implementation that runs everywhere.
        module: Module of the compiled implementation; importing it needs numba.
        name: Its name in the module: a function, or a class without arguments.
        agree: Called with the compiled implementation and the reference; returns whether their results on a small input
            are the same. The first call compiles, which takes seconds.
    """

    reference: Part
    module: str
    name: str
    agree: Callable[[Part, Part], bool]

    @property
    def fastest(self) -> Part:
        """The compiled implementation if it is available and agrees; else the slower reference."""
        return self._tried[0]

    @property
    def trouble(self) -> str:
        """Why the compiled implementation is not used although numba is installed; empty otherwise."""
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
