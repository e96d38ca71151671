"""The methods that can be fitted, by name."""

from __future__ import annotations

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.optimize.cadex import CADEX
from omnitrack.optimize.method import Method
from omnitrack.optimize.omnimotion import OMNIMOTION
from omnitrack.optimize.plain_2d import PLAIN_2D

METHODS: dict[str, Method] = {method.name: method for method in (CADEX, OMNIMOTION, PLAIN_2D)}


def get_method(name: str) -> Method:
    """The method with a name; an unknown name raises an `OmnitrackError` with a suggestion."""
    if name not in METHODS:
        raise OmnitrackError(f"there is no method called {name!r}", closest_hint(name, METHODS, "there is"))
    return METHODS[name]


def colored_method() -> str:
    """The name of a method whose fields contain colours."""
    return next(name for name, method in METHODS.items() if method.has_colors)
