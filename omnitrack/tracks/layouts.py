"""The meaning of the arrays in a tracker's file; `omnitrack.tracks.foreign` describes each layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.settings import TRACK_LAYOUTS
from omnitrack.tracks.array_files import Mismatch

POSITIONS = ("pred_tracks", "pred_trajectory", "tracks", "points")
LOGITS = ("occlusion", "visible_logits")  # the output of a model, at the model's resolution
SEEN = ("visible", "visibility", "occluded", "visibles", "pred_visibility", *LOGITS)
KEYS = (
    *POSITIONS,
    *SEEN,
    *("confidence", "pred_confidence", "expected_dist"),
    *("size", "raster", "frames", "depth", "queries", "query_points"),
)
LARGEST_SIDE = 1 << 20  # of a frame, in pixels
LAYOUT_HINT = f"say whose it is: --set flow.tracks.layout={'|'.join(TRACK_LAYOUTS[1:])}"
_SHAPE_HINT = (
    "the tracker must see the frames of the project, each once; if it is another tracker's: flow.tracks.layout"
)


@dataclass(frozen=True)
class Reading:
    """The tracks in a file, in pixels of the frame that the file refers to.

    Attributes:
        positions: (N, T, 2) (x, y), centres at integers; may be NaN where not visible.
        visible: (N, T) bool.
        confidence: (N, T), as in `ForeignTracks`.
        corner: Offset subtracted from the file's coordinates: 0.5 for raster pixels, else 0.
    """

    positions: NDArray[np.floating]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.floating]
    corner: float


@dataclass(frozen=True)
class _Layout:
    frames_first: bool
    corner: float
    flipped: bool = False  # coordinates are (y, x)
    threshold: float = 0.5  # of the probability of being visible


_BY_NAME = {
    "cotracker": _Layout(frames_first=True, corner=0.0, threshold=0.6),
    "tapir": _Layout(frames_first=False, corner=0.5),
    "tapnext": _Layout(frames_first=True, corner=0.5, flipped=True),
    "trackon": _Layout(frames_first=True, corner=0.5, threshold=0.8),
    "omnitrack": _Layout(frames_first=False, corner=0.0),
}


def interpret(arrays: Mapping[str, NDArray[Any]], layout: str, num_frames: int, count: int | None = None) -> Reading:
    """Interpret a file's arrays as tracks.

    Args:
        arrays: The arrays by name.
        layout: One of `omnitrack.settings.TRACK_LAYOUTS`, except ``auto``.
        num_frames: Required T.
        count: Required N; None for any.

    Raises:
        Mismatch: Arrays are missing, have other shapes, or are not numeric.
    """
    rule = _BY_NAME[layout]
    key = position_key(arrays)
    positions = numbers(arrays, key, finite=False)
    share, threshold = _visible_share(arrays, rule)
    if share.shape == (*positions.shape[:-1], 1):
        share = share[..., 0]
    positions, share = one(positions, 3), one(share, 2)
    turned = rule.frames_first
    if layout == "omnitrack" and not _fits(positions, num_frames, count, turned):
        turned = True
    if not _fits(positions, num_frames, count, turned) or share.shape != positions.shape[:2]:
        raise _other_shape(key, positions, share, layout, num_frames, count)
    if turned:
        positions, share = positions.transpose(1, 0, 2), share.T
    confidence = _given_confidence(arrays, positions, turned) if layout == "omnitrack" else None
    visible = share > threshold
    lost = visible & ~np.isfinite(positions).all(-1)
    if lost.any():
        raise Mismatch(f"has {key} that are not finite (NaN) where they are visible, {int(lost.sum())} times")
    sure = (share - threshold) / (1 - threshold) if confidence is None else confidence
    corner = 0.5 if layout == "omnitrack" and np.any(arrays.get("raster", False)) else rule.corner
    positions = (positions[..., ::-1] if rule.flipped else positions) - corner
    return Reading(positions, visible, np.where(visible, 0.5 + 0.5 * sure, 0.0), corner)


def recognised(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the layout that the names of a file's arrays imply.

    Raises:
        Mismatch: The names are ambiguous.
    """
    if "pred_trajectory" in arrays or {"points", "visibility"} <= set(arrays):
        return "trackon"
    if "visible_logits" in arrays:
        return "tapnext"
    if "occlusion" in arrays or "visibles" in arrays:
        return "tapir"
    if "pred_tracks" in arrays:
        return "cotracker"
    if "tracks" in arrays and "size" in arrays:
        return "omnitrack"
    raise Mismatch(f"may be of several trackers by its names: {', '.join(arrays) or 'none is known'}", LAYOUT_HINT)


def position_key(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the name of the array of positions."""
    for name in POSITIONS:
        if name in arrays:
            return name
    raise Mismatch(f"has no tracks; it holds {', '.join(arrays) or 'nothing known'}")


def seen_key(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the name of the array of visibilities."""
    for name in SEEN:
        if name in arrays:
            return name
    raise Mismatch("has neither visible, visibility nor occluded")


def has_logits(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the visibilities are raw logits of a model, before any threshold."""
    key = seen_key(arrays)
    return key in LOGITS and arrays[key].dtype.kind == "f"


def size_of(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Return (width, height) of the frame that a file's positions refer to."""
    size = arrays["size"]
    whole = size.shape == (2,) and bool(((size >= 1) & (size <= LARGEST_SIDE) & (size == np.floor(size))).all())
    if not whole:
        raise Mismatch(f"has a size that is not (width, height) in whole pixels: {size.ravel()[:4].tolist()}")
    return int(size[0]), int(size[1])


def one(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Return the array without a leading batch axis of length one."""
    return array[0] if array.ndim == dimensions + 1 and len(array) == 1 else array


def numbers(arrays: Mapping[str, NDArray[Any]], key: str, finite: bool = True) -> NDArray[np.floating]:
    """Return an array as floats; with `finite`, refuse NaN and infinity."""
    array = arrays[key]
    if array.dtype.kind not in "biuf":
        raise Mismatch(f"has {key} of type {array.dtype}")
    if finite and not np.isfinite(array).all():
        raise Mismatch(f"has {key} that are not finite (NaN)")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)  # dense tracks are large


# --- visibility -------------------------------------------------------------------------------------------------
def _visible_share(arrays: Mapping[str, NDArray[Any]], rule: _Layout) -> tuple[NDArray[np.floating], float]:
    """Return the tracker's probability of being visible, and the threshold above which a point is visible."""
    key = seen_key(arrays)
    share = numbers(arrays, key)
    if has_logits(arrays):
        share = _sigmoid(-share if key == "occlusion" else share)
        if key == "occlusion" and "expected_dist" in arrays:
            far = numbers(arrays, "expected_dist")
            if far.shape != share.shape:
                raise Mismatch(f"has expected_dist of shape {far.shape} and occlusion of shape {share.shape}")
            share = share * _sigmoid(-far)
        return share, 0.5
    if share.size and (share.min() < 0 or share.max() > 1):
        raise Mismatch(f"has {key} outside [0, 1]")
    if key in ("occluded", "occlusion"):
        share = 1 - share
    if "pred_confidence" in arrays:
        sure = numbers(arrays, "pred_confidence")
        if sure.shape != share.shape:
            raise Mismatch(f"has pred_confidence of shape {sure.shape} and {key} of shape {share.shape}")
        share = share * sure.clip(0, 1)
    return share, rule.threshold


def _given_confidence(
    arrays: Mapping[str, NDArray[Any]], positions: NDArray[np.floating], turned: bool
) -> NDArray[np.floating] | None:
    if "confidence" not in arrays:
        return None
    confidence = one(numbers(arrays, "confidence"), 2)
    confidence = confidence.T if turned else confidence
    if confidence.shape != positions.shape[:2]:
        raise Mismatch(f"has confidence of shape {confidence.shape} for tracks of shape {positions.shape}")
    return confidence.clip(0, 1)


def _sigmoid(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def _fits(positions: NDArray[Any], num_frames: int, count: int | None, frames_first: bool) -> bool:
    if positions.ndim != 3 or positions.shape[2] != 2:
        return False
    found = positions.shape[:2] if frames_first else positions.shape[1::-1]
    return found[0] == num_frames and count in (None, found[1])


def _other_shape(
    key: str,
    positions: NDArray[Any],
    share: NDArray[Any],
    layout: str,
    num_frames: int,
    count: int | None,
) -> Mismatch:
    found = f"has {key} of shape {positions.shape} and visibility of shape {share.shape}; "
    if count is not None:
        return Mismatch(
            f"{found}{count} queries over {num_frames} frames need {(count, num_frames, 2)} and {(count, num_frames)}"
        )
    axes = f"({num_frames}, N, 2)" if _BY_NAME[layout].frames_first else f"(N, {num_frames}, 2)"
    return Mismatch(f"{found}{layout} tracks over the {num_frames} frames of this video need {axes}", _SHAPE_HINT)
