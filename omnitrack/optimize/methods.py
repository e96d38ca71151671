"""The methods that can be fitted, by name."""

from __future__ import annotations

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.optimize.cadex import CADEX
from omnitrack.optimize.method import Method
from omnitrack.optimize.omnimotion import OMNIMOTION

METHODS: dict[str, Method] = {"cadex": CADEX, "omnimotion": OMNIMOTION}


def get_method(name: str) -> Method:
    """The method of that name; an unknown one is an `OmnitrackError` with a suggestion."""
    if name not in METHODS:
        raise OmnitrackError(f"there is no method called {name!r}", closest_hint(name, METHODS, "there is"))
    return METHODS[name]
