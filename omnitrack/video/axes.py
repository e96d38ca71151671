"""The planes that become the frames of a video, for stacks with more axes than time."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

PICTURE_AXES = "YXS"  # rows, columns and samples of a pixel
_TIME, _DEPTH, _COLOUR = "T", "Z", "C"
_NAMES = {_TIME: "time points", _DEPTH: "planes", _COLOUR: "channels"}


@dataclass(frozen=True)
class FramePlan:
    """How to extract a frame from a stack.

    Attributes:
        frames: Number of frames.
        time: Index of the axis along which frames lie; None for a single image.
        colours: Index of the axis whose two or three entries become red, green and blue; None if there is none.
        picks: The entry that is taken from every other axis, by the axis's index.
        notes: The decisions, one line each.
    """

    frames: int
    time: int | None
    colours: int | None
    picks: dict[int, int]
    notes: tuple[str, ...]


def plan_frames(axes: str, shape: tuple[int, ...]) -> FramePlan:
    """Choose the frames by the names of a stack's axes.

    Frames lie along T, else along an axis other than Z and C, else along Z, else along more than three channels. Two or
    three channels become red, green and blue; of more channels, the first is taken. If frames do not lie along Z, its
    middle plane is taken.

    Args:
        axes: One letter per axis, as OME and tifffile name them: ``TZCYX``.
        shape: Lengths of the axes.

    Example:
        >>> plan_frames("TZCYX", (9, 5, 2, 64, 96)).picks
        {1: 2}
    """
    length = dict(enumerate(shape))
    others = [place for place, axis in enumerate(axes) if axis not in PICTURE_AXES and length[place] > 1]
    known = {axes[place]: place for place in others}
    unnamed = [place for place in others if axes[place] not in _NAMES]
    order = [known.get(_TIME), *unnamed, known.get(_DEPTH), known.get(_COLOUR)]
    time = next((place for place in order if place is not None), None)
    colours = known.get(_COLOUR)
    has_samples = "S" in axes and length[axes.index("S")] > 1
    if time is not None and time == colours and length[time] <= 3:
        time = None  # a single colour image
    if colours is not None and (colours == time or length[colours] > 3 or has_samples):
        colours = None
    notes = []
    if time is not None and axes[time] in (_DEPTH, _COLOUR):
        notes.append(f"it names no time axis: its {length[time]} {_NAMES[axes[time]]} are the frames")
    if colours is not None:
        shown = "red and green" if length[colours] == 2 else "red, green and blue"
        notes.append(f"its {length[colours]} channels are shown as {shown}")
    picks = {}
    for place in others:
        if place in (time, colours):
            continue
        picks[place] = length[place] // 2 if axes[place] == _DEPTH else 0
        what = _NAMES.get(axes[place], f"entries of axis {axes[place]}")
        notes.append(f"of its {length[place]} {what} number {picks[place] + 1} is taken")
    return FramePlan(length[time] if time is not None else 1, time, colours, picks, tuple(notes))


def plane_index(plan: FramePlan, axes: str, frame: int, channel: int = 0) -> tuple[int | slice, ...]:
    """Return the index in the stack of a frame's plane, for one channel of `plan.colours`: one entry per axis."""
    chosen: dict[int, int] = {place: 0 for place, axis in enumerate(axes) if axis not in PICTURE_AXES} | plan.picks
    if plan.time is not None:
        chosen[plan.time] = frame
    if plan.colours is not None:
        chosen[plan.colours] = channel
    return tuple(chosen.get(place, slice(None)) for place in range(len(axes)))


def count_planes(lengths: dict[str, int]) -> int:
    """Return the number of planes of axes with these lengths."""
    return prod(lengths.values())
