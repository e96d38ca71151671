"""Which planes of a stack are the frames of a video, where it has more axes than time."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

PICTURE_AXES = "YXS"  # rows, columns and samples of a pixel
_TIME, _DEPTH, _COLOUR = "T", "Z", "C"
_NAMES = {_TIME: "time points", _DEPTH: "planes", _COLOUR: "channels"}


@dataclass(frozen=True)
class FramePlan:
    """How to take a frame out of a stack.

    Attributes:
        frames: Number of frames.
        time: Place of the axis that frames lie along, None for a single picture.
        colours: Place of the axis whose two or three entries become red, green and blue, None where there is none.
        picks: The entry that is taken of every other axis, by its place.
        notes: What was decided, one line each.
    """

    frames: int
    time: int | None
    colours: int | None
    picks: dict[int, int]
    notes: tuple[str, ...]


def plan_frames(axes: str, shape: tuple[int, ...]) -> FramePlan:
    """Decide by the names of a stack's axes.

    Frames lie along T; without one along an axis of no name, then along Z, then along more than three channels. Two or
    three channels become red, green and blue; of more the first is taken. Of Z beside time the middle plane is taken.

    Args:
        axes: One letter an axis, as OME and tifffile name them: ``TZCYX``.
        shape: Their lengths.

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
        time = None  # one picture in colour
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
    """Where the plane of a frame and of a channel of `plan.colours` lies in the stack, one entry an axis."""
    chosen: dict[int, int] = {place: 0 for place, axis in enumerate(axes) if axis not in PICTURE_AXES} | plan.picks
    if plan.time is not None:
        chosen[plan.time] = frame
    if plan.colours is not None:
        chosen[plan.colours] = channel
    return tuple(chosen.get(place, slice(None)) for place in range(len(axes)))


def count_planes(lengths: dict[str, int]) -> int:
    """How many planes axes of these lengths have."""
    return prod(lengths.values())
