"""Every setting of every stage: one frozen dataclass per stage, one TOML table each.

Thresholds in pixels are pixels of a 256 x 256 raster laid over the frame (TAP-Vid's unit), so that one value serves
every video size; `omnitrack.correspondence.flows.raster_scale` converts.
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
    fps: float = setting(0.0, "frames per second; 0 keeps the video's (24 for images), divided by the stride", low=0)


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
    warm_start: bool = setting(True, "start each pair from the flow of the same frame over a shorter gap")
    workers: int = setting(0, "parallel workers; 0 uses every core", low=0)
    dis: DisSettings = table(DisSettings, "OpenCV's dense inverse search")


@dataclass(frozen=True)
class FilterSettings:
    """Which flow to believe, and chaining it over any distance."""

    cycle_threshold_px: float = setting(
        2.0, "largest forward-backward error of a believed hop, at 256 x 256; less where the flow is good", low=0.1
    )
    gaps: tuple[int, ...] = setting((1, 2, 4, 8, 16), "lengths of the hops that chains are composed of, in frames")
    window: int = setting(0, "farthest target of a chain, in frames; 0 sets no limit below 100 frames, 50 above", low=0)
    grid_points: int = setting(16384, "grid points per source frame, at most", low=64)
    appearance_threshold: float = setting(0.3, "least patch similarity, -1 to 1, of a believed chain; -1 switches off")


@dataclass(frozen=True)
class CadexSettings:
    """The CaDeX++ field and its losses."""

    projection: str = setting("orthographic", "camera model", choices=("orthographic", "perspective"))
    plane_resolutions: tuple[int, ...] = setting((12, 48), "sides of each coupling layer's feature planes")
    plane_channels: int = setting(16, "features per plane, a multiple of 4", low=4)
    time_channels: int = setting(16, "features per time grid", low=1)
    hidden: tuple[int, ...] = setting((32, 16), "widths of each coupling layer's network")
    depth_weight: float = setting(0.2, "agreement of a point's depth with the surface it lands on", low=0)
    depth_prior_weight: float = setting(0.01, "agreement of that depth with the initial depth", low=0)
    depth_gradient_weight: float = setting(0.01, "agreement of depth steps with those of the initial depth", low=0)
    occlusion_weight: float = setting(1.0, "a hidden point must be behind the surface that hides it", low=0)
    occlusion_margin: float = setting(0.05, "... by at least this depth", low=0)
    occlusion_tolerance: float = setting(0.1, "depth behind the surface that still counts as on it", low=0)


@dataclass(frozen=True)
class FitSettings:
    """The optimisation."""

    method: str = setting("cadex", "motion field to fit")
    steps: int = setting(1600, "optimisation steps", low=1)
    anchors: int = setting(1024, "source points per step", low=1)
    targets: int = setting(4, "target frames per source point", low=1)
    learning_rate: float = setting(2e-2, "of the deformation, at the start", low=0)
    depth_learning_rate: float = setting(5e-3, "of the depth maps, at the start", low=0)
    depth_clip: float = setting(10.0, "largest norm of the depth maps' gradient", low=0)
    flow_gradient_weight: float = setting(0.0, "agreement of neighbours' motions; above 0 doubles the work", low=0)
    hard_share: float = setting(0.8, "share of the samples drawn where the fit is poor, the rest evenly", low=0)
    regions: int = setting(16, "regions per side of a frame whose error is followed", low=1)
    threads: int = setting(1, "CPU threads; small steps wait for each other on more. 0 leaves it to torch", low=0)
    checkpoint_seconds: float = setting(30.0, "time between checkpoints", low=0)
    cadex: CadexSettings = table(CadexSettings, "the CaDeX++ field and its losses")


@dataclass(frozen=True)
class QuerySettings:
    """Tracks from a fitted field."""

    fuse: bool = setting(True, "fuse the field with the measured flow around the track (false: the field alone)")
    alike_threshold: float = setting(0.5, "least patch similarity, -1 to 1, at which a point looks like its query")


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
    frame: int = setting(0, "frame on which that grid is laid", low=0)
    fps: float = setting(0.0, "frames per second; 0 keeps the project's", low=0)


@dataclass(frozen=True)
class Settings:
    """All settings of a project, as `omnitrack.toml` holds them."""

    init: InitSettings = table(InitSettings, "which frames of the video become the project")
    flow: FlowSettings = table(FlowSettings, "pairwise optical flow")
    filter: FilterSettings = table(FilterSettings, "which flow to believe, and chaining it over any distance")
    fit: FitSettings = table(FitSettings, "the optimisation")
    query: QuerySettings = table(QuerySettings, "tracks from a fitted field")
    render: RenderSettings = table(RenderSettings, "pictures of tracks, flow and depth")
