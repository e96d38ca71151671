"""Selection of the pairs of frames to match.

Frames 1, 2, 4, 8, ... apart are 2 T log2 T pairs, of which chains rarely use those that are far apart. In a long shot,
keyframes give fewer pairs, including pairs that lead back to a place that was visible before.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from omnitrack.correspondence.keyframes import GAPS, NEAR_PLACES, Keyframes
from omnitrack.errors import OmnitrackError

Pair = tuple[int, int]
AUTO, LOG, EXHAUSTIVE, KEYFRAME = "auto", "log", "exhaustive", "keyframe"
LONG_SHOT = 200  # frames: above, keyframes give less than half as many pairs, and chains over them drift less
AUTO_BY_LENGTH = f"auto, keyframe above {LONG_SHOT} frames"


def select_pairs(spec: str, num_frames: int, keyframes: Callable[[], Keyframes] | None = None) -> list[Pair]:
    """The ordered pairs (source, target) of a specification; each pair comes with its reverse.

    Args:
        spec: ``auto`` (= ``log``), ``log`` (gaps 1, 2, 4, 8, ...), ``exhaustive``, ``window:N`` (gaps up to N),
            ``keyframe`` (adjacent frames; each frame with the keyframe before and after it; each keyframe with the
            next two; farther keyframes that show the same place), or `AUTO_BY_LENGTH` (``keyframe`` or ``auto``).
        num_frames: Number of frames T.
        keyframes: Returns the keyframes; called only if they are needed. Without it, they are evenly spaced, and
            linked at 4, 8, 16, ... keyframes.

    Returns:
        Distinct pairs, ordered by source and then by target. For ``keyframe``, at most T log2 T from 54 frames on, and
        5.75 T for fewer.

    Raises:
        OmnitrackError: The specification is invalid.
    """
    pairs: set[Pair]
    if has_keyframes(spec, num_frames):
        pairs = _keyframe_pairs(num_frames, keyframes() if keyframes else _even_keyframes(num_frames))
    elif spec in (AUTO, AUTO_BY_LENGTH, LOG):
        pairs = _log_pairs(num_frames)
    elif spec == EXHAUSTIVE:
        pairs = _window_pairs(num_frames, num_frames)
    else:
        pairs = _window_pairs(num_frames, _window(spec))
    return sorted(pairs)


def has_keyframes(spec: str, num_frames: int) -> bool:
    """Whether a shot of `num_frames` frames is matched by keyframes."""
    return spec == KEYFRAME or (spec == AUTO_BY_LENGTH and num_frames > LONG_SHOT)


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


def _log_pairs(num_frames: int) -> set[Pair]:
    """Pairs of frames that are 1, 2, 4, ... apart."""
    gaps = [2**i for i in range(num_frames.bit_length()) if 2**i < num_frames]
    return _both_ways({(t, t + gap) for gap in gaps for t in range(num_frames - gap)})


def _even_keyframes(num_frames: int) -> Keyframes:
    frames = sorted({*range(0, num_frames, GAPS[1]), num_frames - 1}) if num_frames else []
    places = [2**i for i in range(len(frames).bit_length()) if NEAR_PLACES < 2**i < len(frames)]
    return Keyframes(frames, [(a, b) for p in places for a, b in zip(frames[:-p], frames[p:], strict=True)])


def _keyframe_pairs(num_frames: int, keyframes: Keyframes) -> set[Pair]:
    """The pairs that are always included, and as many links as fit below T log2 T, but at least one per keyframe."""
    frames = keyframes.frames
    pairs = {(t, t + 1) for t in range(num_frames - 1)}
    for before, after in pairwise(frames):
        pairs |= {(before, t) for t in range(before + 1, after + 1)}
        pairs |= {(t, after) for t in range(before, after)}
    for places in range(2, NEAR_PLACES + 1):
        pairs |= set(zip(frames[:-places], frames[places:], strict=True))
    room = int(num_frames * np.log2(max(num_frames, 1)) / 2) - len(pairs)
    return _both_ways(pairs | set(keyframes.links[: max(room, len(frames))]))
