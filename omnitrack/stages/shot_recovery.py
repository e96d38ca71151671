"""What finds points again within a shot, for the correspondences of the filter and for queries."""

from __future__ import annotations

from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.recovery import REACH_FRAMES, Recovery
from omnitrack.project.project import Project
from omnitrack.settings import FilterSettings


def recovery_within(
    project: Project,
    frames: range,
    flows: FlowSource,
    settings: FilterSettings,
    cache_bytes: int,
    reach_frames: int = REACH_FRAMES,
) -> Recovery:
    """Make what finds points again in some consecutive frames, which it numbers from the first of them.

    Args:
        project: Provides the frames.
        frames: The frames, for example those of a shot.
        flows: Flow of these frames, numbered in the same way.
        settings: The lengths of the hops, and the largest cycle error.
        cache_bytes: See `Recovery`.
        reach_frames: See `Recovery`.
    """
    return Recovery(
        flows,
        lambda t: project.frame(frames.start + t),
        len(frames),
        settings.gaps,
        settings.cycle_threshold_px,
        cache_bytes=cache_bytes,
        reach_frames=reach_frames,
    )
