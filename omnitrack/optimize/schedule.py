"""What changes with the step: the learning rate and the window of frames."""

from __future__ import annotations

FRAMES_PER_GROWTH = 20  # CaDeX++: the window of source frames starts with this many and grows by as many ...
GROWTHS_PER_RUN = 22_000 / 100  # ... every so many steps


def learning_rate_factor(share: float, last: float) -> float:
    """Share of the first learning rate that is used when `share` of the run is done: an even fall to `last`."""
    return last**share


def ramp(share: float, begin: float, end: float) -> float:
    """0 before `begin` of the run, 1 after `end`, evenly between."""
    return min(1.0, max(0.0, (share - begin) / (end - begin)))


def active_frames(step: int, steps: int, num_frames: int) -> tuple[int, int]:
    """Source frames [first, last) in use at a step: a window around the middle frame that grows to the whole clip."""
    length = FRAMES_PER_GROWTH * (1 + int(step * GROWTHS_PER_RUN / steps))
    first = max(0, num_frames // 2 - length // 2)
    return first, min(num_frames, first + length) if first else num_frames
