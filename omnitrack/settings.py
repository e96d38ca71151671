"""Every setting of every stage: one frozen dataclass per stage, one TOML table each.

Thresholds in pixels are pixels of a 256 x 256 raster laid over the frame (TAP-Vid's unit), so that one value serves
every video size; `omnitrack.motion.geometry.raster_scale` converts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def setting(default: Any, text: str, *, choices: tuple[str, ...] = (), low: float | None = None) -> Any:
    """Declare a setting with its default, its one-line explanation, its choices and its lowest value."""
    return field(default=default, metadata={"text": text, "choices": choices, "low": low})


def table(kind: type, text: str) -> Any:
    """Declare a nested table of settings."""
    return field(default_factory=kind, metadata={"text": text})


@dataclass(frozen=True)
class InitSettings:
    """Which frames of the video become the project."""

    start: int = setting(0, "first frame of the video to take", low=0)
    end: int = setting(0, "frame to stop before; 0 takes all to the end", low=0)
    stride: int = setting(1, "take every n-th frame", low=1)
    max_size: int = setting(854, "longest side of the working frames in pixels; 0 keeps the video's size", low=0)
    fps: float = setting(0.0, "frames per second of the project; 0 keeps the video's (divided by the stride)", low=0)


@dataclass(frozen=True)
class DisSettings:
    """OpenCV's dense inverse search."""

    finest_scale: int = setting(0, "finest pyramid level: 0 is full resolution", low=0)
    patch_size: int = setting(8, "side of a patch in pixels", low=4)
    patch_stride: int = setting(3, "distance between patches in pixels", low=1)
    gradient_descent_iterations: int = setting(25, "inverse-search steps per patch", low=1)
    variational_iterations: int = setting(5, "variational refinement steps per level", low=0)


@dataclass(frozen=True)
class FlowSettings:
    """Pairwise optical flow."""

    estimator: str = setting("dis", "flow estimator: dis, or the name of an installed plug-in")
    pairs: str = setting("auto", "frame pairs to match: auto (= log), log, exhaustive, window:N or keyframe")
    warm_start: bool = setting(True, "start each pair from the flow of the nearer pair of the same source frame")
    workers: int = setting(0, "parallel workers; 0 uses every core", low=0)
    dis: DisSettings = table(DisSettings, "OpenCV's dense inverse search")


@dataclass(frozen=True)
class QuerySettings:
    """Tracks from a fitted field."""

    fuse: bool = setting(True, "fuse the field with the measured flow around the track (false: the field alone)")


@dataclass(frozen=True)
class RenderSettings:
    """Pictures of tracks, flow and depth."""

    min_side: int = setting(480, "enlarge small frames until their shorter side has this many pixels", low=0)
    brightness: float = setting(0.8, "of the frame under points, trails and grids, 0 to 1", low=0)
    radius_px: float = setting(0.0, "radius of a point in pixels of the output; 0 chooses by its size", low=0)
    hidden: bool = setting(True, "draw occluded points, as rings")
    trail: int = setting(12, "frames that a trail reaches back", low=1)
    remove_camera: bool = setting(False, "take the camera's motion out of the trails")
    grid: int = setting(32, "columns of the grid that is drawn when no tracks are given", low=2)


@dataclass(frozen=True)
class Settings:
    """All settings of a project, as `omnitrack.toml` holds them."""

    init: InitSettings = table(InitSettings, "which frames of the video become the project")
    flow: FlowSettings = table(FlowSettings, "pairwise optical flow")
    query: QuerySettings = table(QuerySettings, "tracks from a fitted field")
    render: RenderSettings = table(RenderSettings, "pictures of tracks, flow and depth")
