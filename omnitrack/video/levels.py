"""Stored values to 8 bits: which values become black and white, the same for all frames of a clip."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError

AUTO_LEVELS = "auto"
SAMPLED_FRAMES = 16  # of a clip, evenly spread, whose values are examined
_DEPTHS = (8, 10, 12, 14, 16)  # bit depths of cameras; all above 8 are stored in 16 bits


@dataclass(frozen=True)
class Levels:
    """A linear scale.

    Attributes:
        low: The stored value that becomes 0.
        high: The stored value that becomes 255.
        is_light: Whether values are linear light, which the sRGB curve converts for display.
        is_chosen: Whether the user chose them: they then apply to every bit depth, else not to 8 bits.
    """

    low: float
    high: float
    is_light: bool = False
    is_chosen: bool = False


def notes_on(levels: Levels | None, dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Return one line on the conversion of stored values; nothing for the full range of an unsigned type."""
    if levels is None or (dtype.kind == "u" and levels == Levels(0, np.iinfo(dtype).max)):
        return ()
    curve = ", as linear light with the sRGB curve" if levels.is_light else ""
    span = f"{levels.low:.6g} to {levels.high:.6g}"
    return (f"{dtype.name} values {span} become 0 to 255{curve}; --levels LOW,HIGH chooses others",)


def parse_levels(text: str) -> tuple[float, float] | None:
    """Parse ``LOW,HIGH`` as two numbers; None for ``auto``.

    Raises:
        OmnitrackError: The text is neither.
    """
    if text == AUTO_LEVELS:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise OmnitrackError(f"levels {text!r} are neither auto nor LOW,HIGH", "for 12 bits: --levels 0,4095")
    return low, high


def find_levels(asked: str, pictures: Iterable[NDArray[Any]], is_light: bool = False) -> Levels | None:
    """Return the levels of a clip: those asked for, or else levels measured on some of its images.

    Unsigned values: from 0 to the maximum of the fewest bits (8, 10, 12, 14, 16, or any number above) that hold the
    highest value. Signed and floating-point values: 0 to 1 if all are in this range, else from the lowest to the
    highest.

    Args:
        asked: ``auto`` or ``LOW,HIGH``.
        pictures: (H, W, C) images that represent the clip; read only if the levels depend on them.
        is_light: Whether they are linear light, which is displayed up to 1.

    Returns:
        None if all images have 8 bits, which stay unchanged.
    """
    chosen = parse_levels(asked)
    if chosen:
        return Levels(*chosen, is_light=is_light, is_chosen=True)
    if is_light:
        return Levels(0, 1, is_light=True)
    deep = [_extent(picture) for picture in pictures if picture.dtype != np.uint8]
    if not deep:
        return None
    low, high = min(low for low, _, _ in deep), max(high for _, high, _ in deep)
    if all(is_count for _, _, is_count in deep):
        bits = int(high).bit_length()
        return Levels(0, 2 ** next((depth for depth in _DEPTHS if depth >= bits), bits) - 1)
    return Levels(0, 1) if low >= 0 and high <= 1 else Levels(low, max(high, math.nextafter(low, math.inf)))


def _extent(picture: NDArray[Any]) -> tuple[float, float, bool]:
    """Return the lowest and highest finite colour of an image, and whether its type is unsigned."""
    colour = picture[..., :3] if picture.shape[2] == 4 else picture
    is_count = colour.dtype.kind == "u"
    finite = colour if colour.dtype.kind != "f" else colour[np.isfinite(colour)]
    return (float(finite.min()), float(finite.max()), is_count) if finite.size else (0.0, 1.0, is_count)


def to_rgb8(pixels: NDArray[Any], levels: Levels | None = None) -> NDArray[np.uint8]:
    """Convert grey (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4) of any depth to RGB (H, W, 3) uint8, alpha over black.

    Args:
        pixels: Stored values; alpha is opaque at the maximum of its type, or at 1 for floats.
        levels: The values that become black and white; None for 0 to the maximum of the type, or to 1 for floats.
    """
    is_deep = pixels.dtype != np.uint8
    top = 1.0 if pixels.dtype.kind in "fb" else float(np.iinfo(pixels.dtype).max)
    if levels is None or not (is_deep or levels.is_chosen):
        levels = Levels(0, top)
    colour, has_alpha = pixels[..., :3], pixels.shape[2] == 4
    if is_deep or has_alpha or levels != Levels(0, top):
        exact = np.float64 if pixels.dtype.itemsize > 2 else np.float32
        with np.errstate(over="ignore", invalid="ignore"):  # NaN becomes black
            display = (colour.astype(exact) - exact(levels.low)) / exact(levels.high - levels.low)
        display = np.clip(np.nan_to_num(display), 0, 1)
        if levels.is_light:
            display = _srgb(display)
        share = np.clip(pixels[..., 3:] / np.float32(top), 0, 1) if has_alpha else exact(1)
        colour = np.rint(display * share * exact(255)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def _srgb(light: NDArray[Any]) -> NDArray[Any]:
    """Convert linear light from 0 to 1 for display.

    Source:
        IEC 61966-2-1.
    """
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def sample_indices(count: int) -> list[int]:
    """Return the frames of a clip whose values are examined, including the first and the last."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, SAMPLED_FRAMES))})
