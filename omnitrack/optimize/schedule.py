"""What changes with the step: the learning rate and the window of frames."""

from __future__ import annotations

DECAY_FACTOR = 0.33  # CaDeX++: the rate falls by this ...
DECAYS_PER_RUN = 22_000 / 5_000  # ... this many times in a run
FRAMES_PER_GROWTH = 20  # CaDeX++: the window of source frames starts with this many and grows by as many ...
GROWTHS_PER_RUN = 22_000 / 100  # ... every so many steps


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the first learning rate that step `step` of `steps` uses: the published decay, without its stairs."""
    return float(DECAY_FACTOR ** (DECAYS_PER_RUN * step / steps))


def active_frames(step: int, steps: int, num_frames: int) -> tuple[int, int]:
    """Source frames [first, last) in use at a step: a window around the middle frame that grows to the whole clip."""
    length = FRAMES_PER_GROWTH * (1 + int(step * GROWTHS_PER_RUN / steps))
    first = max(0, num_frames // 2 - length // 2)
    return first, min(num_frames, first + length) if first else num_frames
