"""What a product was made from, in the form that every product records and staleness is decided on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

from omnitrack.config import as_dict

FORMAT = 1


def is_stamp(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether something that was read is of the form of a stamp."""
    return isinstance(value, dict) and all(isinstance(value.get(key), dict) for key in ("inputs", "settings"))


def make_stamp(inputs: Mapping[str, object], settings: Any) -> dict[str, Any]:
    """Describe the making of a product; two stamps are equal where the product would come out the same.

    Args:
        inputs: Name of each input and its fingerprint (`FramesMeta.fingerprint`, or `config.fingerprint` of its stamp).
        settings: The dataclass of settings it was made with, or a plain dict of those that change the result.

    Returns:
        Plain JSON values ``{"format", "inputs", "settings"}``.
    """
    plain = as_dict(settings) if dataclasses.is_dataclass(settings) else dict(settings)
    return {"format": FORMAT, "inputs": dict(inputs), "settings": plain}
