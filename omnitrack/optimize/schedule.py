"""What changes in a run: the learning rate, the window of frames, the length of pairs."""

from __future__ import annotations

FRAMES_PER_GROWTH = 20  # CaDeX++: the window of source frames starts with this many and grows by as many ...
GROWTHS_PER_RUN = 22_000 / 100  # ... every hundred steps of its 22,000
FIRST_INTERVAL = 20  # OmniMotion: the largest interval of a pair starts with this many frames and grows by one ...
INTERVAL_GROWTHS_PER_RUN = 100_000 / 2_000  # ... every 2,000 steps of its 100,000

MATCH_STAGES = (1_000 / 22_000, 2_000 / 22_000)  # CaDeX++: matches weigh less from here, and least from there on


def learning_rate_factor(share: float, last: float) -> float:
    """Share of the first learning rate that is used when `share` of the run is done: an even fall to `last`."""
    return last**share


def ramp(share: float, begin: float, end: float) -> float:
    """0 before `begin` of the run, 1 from `end` on, evenly between."""
    return 1.0 if share >= end else max(0.0, (share - begin) / (end - begin))


def match_weight(share: float, weights: tuple[float, ...]) -> float:
    """Weight of long-range matches when `share` of the run is done: of `weights` the next one at each stage.

    The last one stays; where there is none it is 0.
    """
    stage = sum(share >= begin for begin in MATCH_STAGES)
    return weights[min(stage, len(weights) - 1)] if weights else 0.0


def only_inliers(share: float) -> bool:
    """Whether matches that the field is far from are left out when `share` of the run is done."""
    return share >= MATCH_STAGES[-1]


def active_frames(share: float, num_frames: int) -> tuple[int, int]:
    """Source frames [first, last) in use when `share` of the run is done: a growing window around the middle frame."""
    length = FRAMES_PER_GROWTH * (1 + _growths(share * GROWTHS_PER_RUN))
    first = max(0, num_frames // 2 - length // 2)
    return first, min(num_frames, first + length) if first else num_frames


def max_interval(share: float, num_frames: int) -> int:
    """Farthest frame that a source is paired with when `share` of the run is done, in frames."""
    return min(FIRST_INTERVAL + _growths(share * INTERVAL_GROWTHS_PER_RUN), num_frames - 1)


def _growths(done: float) -> int:
    """Whole growths done; 100 / 22,000 of a run times 220 is one of them, however it is rounded."""
    return int(done + 1e-9)
