"""The schedules of a run: the learning rate, the window of frames, the length of pairs, the weight of matches."""

from __future__ import annotations

from omnitrack.settings import LINEAR

FRAMES_PER_GROWTH = 20  # CaDeX++: the window of source frames starts with this many and grows by as many each time
GROWTHS_PER_RUN = 22_000 / 100  # CaDeX++: the window grows every hundred steps of 22,000
FIRST_INTERVAL = 20  # OmniMotion: the largest interval of a pair starts with this many frames and grows by one
INTERVAL_GROWTHS_PER_RUN = 100_000 / 2_000  # OmniMotion: the interval grows every 2,000 steps of 100,000

MATCH_STAGES = (1_000 / 22_000, 2_000 / 22_000)  # CaDeX++: matches weigh less from the first on, least from the second


def learning_rate_factor(progress: float, decay: str, last: float) -> float:
    """Share of the initial learning rate that is used at a progress of the run, 0 to 1.

    Args:
        progress: Progress of the run.
        decay: ``linear``, to zero, or ``exponential``, to `last`.
        last: Share left at the end of an exponential decay.
    """
    return 1 - progress if decay == LINEAR else last**progress


def ramp(progress: float, begin: float, end: float) -> float:
    """0 before `begin` of the run, 1 from `end` on, linear in between."""
    return 1.0 if progress >= end else max(0.0, (progress - begin) / (end - begin))


def match_weight(progress: float, weights: tuple[float, ...]) -> float:
    """Weight of long-range matches at a progress of the run, 0 to 1: one of `weights` per stage.

    The last weight applies to all later stages; without weights, it is 0.
    """
    stage = sum(progress >= begin for begin in MATCH_STAGES)
    return weights[min(stage, len(weights) - 1)] if weights else 0.0


def only_inliers(progress: float) -> bool:
    """Whether matches with large errors are left out at a progress of the run, 0 to 1."""
    return progress >= MATCH_STAGES[-1]


def active_frames(progress: float, num_frames: int) -> tuple[int, int]:
    """Source frames [first, last) in use at a progress of the run, 0 to 1: a growing window around the middle frame."""
    length = FRAMES_PER_GROWTH * (1 + _growths(progress * GROWTHS_PER_RUN))
    first = max(0, num_frames // 2 - length // 2)
    return first, min(num_frames, first + length) if first else num_frames


def max_interval(progress: float, num_frames: int) -> int:
    """Largest interval between the frames of a pair at a progress of the run, 0 to 1, in frames."""
    return min(FIRST_INTERVAL + _growths(progress * INTERVAL_GROWTHS_PER_RUN), num_frames - 1)


def _growths(done: float) -> int:
    """Number of completed growths; 100 / 22,000 of a run times 220 is one, however it is rounded."""
    return int(done + 1e-9)
