"""A rough estimate of the time to a fitted field, before the work begins."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from omnitrack.correspondence.pairs import has_keyframes, select_pairs
from omnitrack.device import usable_cores
from omnitrack.progress import Progress
from omnitrack.stages.bring_up import missing_for
from omnitrack.stages.filter import target_distances
from omnitrack.stages.flow_pairs import pairs_rule
from omnitrack.stages.graph import Work

# Core seconds without a GPU: of AMD EPYCs, between the faster ones with the extra `fast` and the slower ones without.
DIS_SECONDS = 2.0e-6  # of dense inverse search and its correction, per pair and searched pixel
FILTER_SECONDS = 0.06  # of chaining, per source and target frame
STEP_SECONDS = {"cadex": 0.045, "omnimotion": 0.16, "plain_2d": 0.03}  # per step of 1,024 anchors; one core
START_SECONDS = 5.0  # of a fit before its first step
LONG_SECONDS = 600.0  # above this, a faster command is suggested
SHORTER = ("--end", "48", "--max-size", "480", "--preset", "fast")


@dataclass(frozen=True)
class Estimate:
    """The work to be done.

    Attributes:
        frames: Number of frames of the clip.
        pairs: Number of frame pairs to be matched; 0 if the flow is complete.
        seconds: Rough time; None if the estimator or the method is not one that we have timed.
    """

    frames: int
    pairs: int
    seconds: float | None


def estimate(work: Work) -> Estimate | None:
    """Estimate the time for what is missing of a fitted field; None if nothing is missing.

    Raises:
        OmnitrackError: As for `omnitrack.stages.bring_up.missing_for`.
    """
    missing, frames, cores = missing_for("fit", work), work.project.num_frames, usable_cores()
    if not missing:
        return None
    pairs, parts = 0, []
    if "flow" in missing:
        flow, rule = work.settings.flow, pairs_rule(work.project, work.settings.flow.pairs)
        for shot in map(len, work.project.shots):
            most = shot * math.log2(shot)  # which frames are keyframes depends on their content
            pairs += round(most) if has_keyframes(rule, shot) else len(select_pairs(rule, shot))
        known = flow.estimator == "dis" and not flow.far_estimator
        parts.append(pairs * DIS_SECONDS * _searched_pixels(work) / cores if known else None)
    if "filter" in missing:
        parts.append(FILTER_SECONDS * _frames_led_to(work) / cores)
    if "fit" in missing:
        fit = work.settings.fit
        step = STEP_SECONDS.get(fit.method)
        parts.append(None if step is None else START_SECONDS + fit.steps * step * max(1.0, fit.anchors / 1024))
    known_parts = [part for part in parts if part is not None]
    return Estimate(frames, pairs, sum(known_parts) if len(known_parts) == len(parts) else None)


def announce(work: Work, progress: Progress) -> None:
    """Report how long the missing work will take and, if that is long, a faster command."""
    found = estimate(work)
    if found is None:
        return
    what = f"{found.frames} frames, {found.pairs} pairs of them" if found.pairs else f"{found.frames} frames"
    if found.seconds is None:
        progress.note(f"{what}; the progress bars will show how long it takes")
        return
    cores = usable_cores()
    progress.note(f"{what}: roughly {_minutes(found.seconds)} on {cores} CPU core{'s' * (cores > 1)}")
    if found.seconds > LONG_SECONDS:
        source = work.project.meta.source
        shorter = shlex.join(["omnitrack", "run", source, "NEW_PROJECT", *SHORTER])
        progress.note(f"that is long; it continues, but this would be faster: {shorter}")


def _searched_pixels(work: Work) -> float:
    """Return the number of pixels of a frame, enlarged as dense inverse search enlarges small frames."""
    width, height = work.project.size
    factor = min(2.0, max(1.0, work.settings.flow.dis.side / min(width, height)))
    return width * height * factor**2


def _frames_led_to(work: Work) -> int:
    """Count the targets of all chains: all frames of a short shot, the frames within the window of a long one."""
    shots = [len(shot) for shot in work.project.shots]
    window = max(target_distances(max(shots), work.settings.filter.window))
    return sum(shot * min(shot, 2 * window) for shot in shots)


def _minutes(seconds: float) -> str:
    if seconds < 45:
        return "half a minute"
    minutes = max(1, round(seconds / 60))
    if minutes < 100:
        return f"{minutes} minute{'s' * (minutes > 1)}"
    return f"{round(minutes / 60)} hours"
