"""Stamps: what a product was made from, as recorded in every product; they decide whether it is stale."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

from omnitrack.config import as_dict

FORMAT = 1


def is_stamp(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value from a file has the form of a stamp."""
    return isinstance(value, dict) and all(isinstance(value.get(key), dict) for key in ("inputs", "settings"))


def make_stamp(inputs: Mapping[str, object], settings: Any) -> dict[str, Any]:
    """Describe what a product is made from; two stamps are equal if the product would be the same.

    Args:
        inputs: Name of each input and its fingerprint (`FramesMeta.fingerprint`, or `config.fingerprint` of its stamp).
        settings: The dataclass of its settings, or a plain dict of the settings that change the result.

    Returns:
        Plain JSON values ``{"format", "inputs", "settings"}``.
    """
    plain = as_dict(settings) if dataclasses.is_dataclass(settings) else dict(settings)
    return {"format": FORMAT, "inputs": dict(inputs), "settings": plain}
