"""Which frames to match with which."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError

KEYFRAME_MOTION_PX = 16.0  # accumulated motion (at 256 x 256) after which a new keyframe begins
KEYFRAME_GAPS = (3, 8)  # fewest and most frames from a keyframe to the next: keeps the pairs about T log T

Pair = tuple[int, int]


def select_pairs(spec: str, num_frames: int, motion: Callable[[], NDArray[np.floating]] | None = None) -> list[Pair]:
    """The ordered pairs (source, target) that a specification stands for; with a pair always comes its reverse.

    Args:
        spec: ``auto`` (= ``log``), ``log`` (gaps 1, 2, 4, 8, ...), ``exhaustive``, ``window:N`` (gaps up to N) or
            ``keyframe`` (adjacent frames; each frame with the keyframe before and after it; keyframes with each other
            at gaps of 1, 2, 4, ... keyframes).
        num_frames: Number of frames T.
        motion: For ``keyframe``: gives (T - 1,) the typical displacement from each frame to the next, in pixels at
            256 x 256. Without it keyframes are evenly spaced.

    Returns:
        Distinct pairs, by source and then by target.

    Raises:
        OmnitrackError: Not a specification.
    """
    pairs: set[Pair]
    if spec in ("auto", "log"):
        pairs = _log_pairs(range(num_frames))
    elif spec == "exhaustive":
        pairs = _window_pairs(num_frames, num_frames)
    elif spec == "keyframe":
        pairs = _keyframe_pairs(_keyframes(num_frames, motion() if motion else np.zeros(max(num_frames - 1, 0))))
    else:
        pairs = _window_pairs(num_frames, _window(spec))
    return sorted(pairs)


def _window(spec: str) -> int:
    name, _, size = spec.partition(":")
    if name != "window" or not size.isdecimal() or int(size) < 1:
        raise OmnitrackError(
            f"{spec!r} is not a choice of frame pairs",
            "choose auto, log, exhaustive, keyframe or window:N with N of at least 1, such as window:4",
        )
    return int(size)


def _both_ways(pairs: set[Pair]) -> set[Pair]:
    return pairs | {(target, source) for source, target in pairs}


def _window_pairs(num_frames: int, window: int) -> set[Pair]:
    return _both_ways(
        {(i, j) for i in range(num_frames) for j in range(i + 1, min(num_frames, i + window + 1))},
    )


def _log_pairs(frames: range | list[int]) -> set[Pair]:
    """Pairs of the listed frames that are 1, 2, 4, ... places apart in the list."""
    pairs = set()
    places = 1
    while places < len(frames):
        pairs |= set(zip(frames[:-places], frames[places:], strict=True))
        places *= 2
    return _both_ways(pairs)


def _keyframes(num_frames: int, motion: NDArray[np.floating]) -> list[int]:
    """Frame 0, the last frame, and between them a frame whenever enough has moved."""
    fewest, most = KEYFRAME_GAPS
    keyframes = [0] if num_frames else []
    moved = 0.0
    for frame in range(1, num_frames):
        moved += float(motion[frame - 1])
        gap = frame - keyframes[-1]
        if frame == num_frames - 1 or gap >= most or (gap >= fewest and moved >= KEYFRAME_MOTION_PX):
            keyframes.append(frame)
            moved = 0.0
    return keyframes


def _keyframe_pairs(keyframes: list[int]) -> set[Pair]:
    pairs = _log_pairs(keyframes)
    for before, after in pairwise(keyframes):
        pairs |= _both_ways({(frame, frame + 1) for frame in range(before, after)})
        pairs |= _both_ways({(before, frame) for frame in range(before + 1, after)})
        pairs |= _both_ways({(frame, after) for frame in range(before + 1, after)})
    return pairs
