"""Every setting of every stage: one frozen dataclass per stage, one TOML table each.

A length "at 256 x 256" is in pixels of TAP-Vid's raster, 256 x 256 pixels over the whole frame, so that one value suits
every frame size. In a frame of W x H pixels, it is sqrt(W H) / 256 times as many pixels; `omnitrack.units` converts it.
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
    levels: str = setting("auto", "stored values LOW,HIGH that become black and white; auto: the range in use")
    cuts: str = setting(
        "auto",
        "where new shots begin: auto (detected hard cuts), none, or frames of the project such as 120,340",
    )


@dataclass(frozen=True)
class DisSettings:
    """OpenCV's dense inverse search."""

    side: int = setting(480, "enlarge small frames to this shorter side in pixels, at most twice their size", low=0)
    finest_scale: int = setting(0, "finest pyramid level: 0 is full resolution", low=0)
    patch_size: int = setting(8, "side of a patch in pixels", low=4)
    patch_stride: int = setting(3, "distance between patches in pixels", low=1)
    gradient_descent_iterations: int = setting(25, "inverse-search steps per patch", low=1)
    variational_iterations: int = setting(5, "variational refinement steps per level", low=0)
    two_starts: bool = setting(
        True, "search roughly from a nearer flow and from no motion, and start from the better at each pixel"
    )


@dataclass(frozen=True)
class RaftSettings:
    """The RAFT network. The number of pairs per batch changes results only by rounding."""

    weights: str = setting("small", "small or large (downloaded once), or a file in either published layout")
    iterations: int = setting(12, "refinement iterations per pair", low=1)
    side: int = setting(480, "shorter side, in pixels, that smaller frames are enlarged to", low=128)
    half_precision: bool = setting(True, "iterate in half precision on a GPU, and on a CPU with bfloat16 arithmetic")
    batch_pairs: int = setting(0, "pairs at once; 0 takes 16 on a GPU, 1 on a CPU", low=0)


AUTO_DESCRIPTORS, NO_DESCRIPTORS, PATCHES, FEATURES, ALIKE = "auto", "none", "patches", "features", "alike"


@dataclass(frozen=True)
class DescriptorSettings:
    """Flow corrected by descriptors of single pixels."""

    network: str = setting(
        AUTO_DESCRIPTORS,
        "what corrects the flow: colour patches, patches with the features of features.extractor and then alone, or"
        " ALIKE; auto: for dis, features if they are dinov2's, else patches",
        choices=(AUTO_DESCRIPTORS, NO_DESCRIPTORS, PATCHES, FEATURES, ALIKE),
    )
    weights: str = setting(
        "alike-n", "ALIKE's weights: alike-n (downloaded once), or a file of its authors (t, s or n)"
    )
    side: int = setting(
        480, "approximate shorter side, in pixels, at which frames are described; at most twice their own", low=32
    )
    reach_px: float = setting(8.0, "initial search radius around the flow, at 256 x 256", low=1)
    margin: float = setting(0.2, "gain in cosine similarity that a correction needs; half of it with features", low=0)
    least_gap: int = setting(1, "smallest gap, in frames, whose flow is corrected", low=1)
    grid_points: int = setting(131072, "largest number of pixels per frame that are matched", low=64)


LOOKS = "looks"
TRACK_LAYOUTS = ("auto", "cotracker", "tapir", "tapnext", "trackon", "omnitrack")


@dataclass(frozen=True)
class TracksSettings:
    """Flow from other trackers' tracks, or our own."""

    path: str = setting("", "file of tracks (npz, pt, h5, json, csv), or a folder or glob of several")
    layout: str = setting("auto", "the tracker whose layout the file has", choices=TRACK_LAYOUTS)
    width: int = setting(0, "width of the tracked frames, if the file does not say; 0: the video's", low=0)
    height: int = setting(0, "their height", low=0)
    reach_px: float = setting(12.0, "distance from the nearest track, at 256 x 256, of half confidence", low=0.1)
    neighbours: int = setting(8, "nearest tracks that each pixel is interpolated from", low=1)


@dataclass(frozen=True)
class FlowSettings:
    """Pairwise optical flow: the settings that an estimator is built with.

    Example:
        >>> FlowSettings(estimator="raft").dis.finest_scale
        0
    """

    estimator: str = setting("dis", "flow estimator: dis, raft, tracks, or the name of an installed plug-in")
    far_estimator: str = setting("", "estimator for distant frames; empty: the same one")
    far_gap: int = setting(8, "smallest gap, in frames, that counts as distant", low=2)
    far_choice: str = setting(
        LOOKS,
        "for distant frames: per pixel the estimator of lower photometric error (looks), or far_estimator (far)",
        choices=(LOOKS, "far"),
    )
    pairs: str = setting(
        "auto", "pairs to match: log, exhaustive, window:N or keyframe; auto: log, keyframe in shots of over 200 frames"
    )
    warm_start: bool = setting(True, "start each pair from the flow of the same frame over a shorter gap")
    surroundings: bool = setting(True, "textureless places follow the motion around them")
    workers: int = setting(0, "parallel workers; 0 uses every core", low=0)
    dis: DisSettings = table(DisSettings, "OpenCV's dense inverse search")
    raft: RaftSettings = table(RaftSettings, "the RAFT network")
    tracks: TracksSettings = table(TracksSettings, "flow from other trackers' tracks, or our own")
    descriptors: DescriptorSettings = table(DescriptorSettings, "flow corrected by descriptors")


@dataclass(frozen=True)
class OnnxFeatureSettings:
    """Input of a dense-feature network in ONNX format, and which of its outputs are features."""

    output: str = setting("", "name of the output that holds the features; empty: the first that fits")
    multiple: int = setting(14, "sides of the input are multiples of this many pixels", low=1)
    white: float = setting(1.0, "value of white in the input, before mean and std: 1 or 255", low=0)
    mean: tuple[float, ...] = setting((0.485, 0.456, 0.406), "subtracted from red, green and blue")
    std: tuple[float, ...] = setting((0.229, 0.224, 0.225), "red, green and blue are then divided by this")


@dataclass(frozen=True)
class FeatureSettings:
    """Learned features of the frames, for the appearance check and for long-range matches."""

    extractor: str = setting("none", "none, xfeat, dinov2, dino, onnx, or the name of an installed plug-in")
    weights: str = setting("", "file of its weights; empty: the published ones, where there are any")
    block: int = setting(
        -1, "dinov2, dino: transformer block whose tokens are used, 0 to 11; -1: 5 for dinov2, 11 for dino", low=-1
    )
    side: int = setting(480, "approximate shorter side, in pixels, of the frames that the network sees", low=1)
    onnx: OnnxFeatureSettings = table(OnnxFeatureSettings, "extractor onnx: any dense-feature network")


@dataclass(frozen=True)
class FilterSettings:
    """Which flow is reliable, and how it is chained over any number of frames."""

    cycle_threshold_px: float = setting(2.0, "largest forward-backward error of a trusted hop, at 256 x 256", low=0.1)
    gaps: tuple[int, ...] = setting((1, 2, 4, 8, 16), "lengths of the hops that chains are composed of, in frames")
    window: int = setting(0, "farthest target of a chain, in frames; 0 sets no limit below 100 frames, 50 above", low=0)
    grid_points: int = setting(12288, "largest number of grid points per source frame", low=64)
    found_again: bool = setting(True, "also trust points that their surroundings find again after an occlusion")
    appearance_threshold: float = setting(
        0.25, "smallest patch similarity, -1 to 1, of a trusted chain without features; -1: no check"
    )
    feature_threshold: float = setting(
        0.0, "smallest cosine similarity of a trusted chain's features; 0: the extractor's own threshold"
    )


@dataclass(frozen=True)
class MatchSettings:
    """Long-range matches by features. A cosine limit of 0 selects the extractor's own value."""

    enabled: bool = setting(False, "find long-range matches by features, and fit to them")
    least_gap: int = setting(10, "smallest gap, in frames", low=1)
    pairs_per_frame: int = setting(
        24, "largest number of later frames to match a frame with, sparser with distance", low=1
    )
    matches_per_pair: int = setting(256, "largest number of matches per pair, spread evenly over the frame", low=4)
    similarity: float = setting(0.0, "smallest cosine similarity of a match", low=0)
    self_similarity: float = setting(
        0.0, "cosine similarity to another cell of its frame that makes a match ambiguous", low=0
    )
    local_least: float = setting(0.0, "smallest mean cosine similarity to neighbouring cells; -1: no limit", low=-1)
    local_most: float = setting(0.0, "largest mean cosine similarity to neighbouring cells; 2: no limit", low=0)
    cycle_cells: float = setting(0.3, "largest forward-backward error of the refined match, in cells", low=0)
    patch_steps: int = setting(2, "largest shift of either end by patch matching, in px at 256 x 256; 0: none", low=0)
    isolation_px: tuple[float, ...] = setting(
        (22.5, 22.5, 12.8), "a match needs two others within this distance, at 256 x 256; one pass per value"
    )


DEPTH_SOURCES = ("none", "folder", "onnx", "transformers")
DEPTH_KINDS = ("auto", "depth", "inverse")


@dataclass(frozen=True)
class OnnxDepthSettings:
    """Input of a depth network in ONNX format, for whatever the file leaves unspecified."""

    multiple: int = setting(14, "sides of the input are multiples of this many pixels", low=1)
    mean: tuple[float, ...] = setting((0.485, 0.456, 0.406), "subtracted from red, green and blue, 0 to 1")
    std: tuple[float, ...] = setting((0.229, 0.224, 0.225), "red, green and blue are then divided by this")


@dataclass(frozen=True)
class DepthSettings:
    """A depth prior: depth of every frame from another source, trusted as far as the clip supports it."""

    source: str = setting("none", "where depth maps come from; none: depth from motion alone", choices=DEPTH_SOURCES)
    path: str = setting("", "the folder of maps, the ONNX file, or the name or folder of a transformers model")
    channel: str = setting("", "channel of EXR maps; empty: Z, else depth, V, Y or R in any layer, else the only one")
    kind: str = setting(
        "auto",
        "larger values are farther (depth) or nearer (inverse); auto: as known for the model",
        choices=DEPTH_KINDS,
    )
    side: int = setting(
        0, "shorter side, in pixels, of the frames that a model sees; 0: the model's own, else 518", low=0
    )
    onnx: OnnxDepthSettings = table(OnnxDepthSettings, "source onnx: any depth network")


DEPTH_STARTS = ("motion", "flat")
SAMPLERS = ("regions", "pairs")
OUTLIER_PX = 8.0


@dataclass(frozen=True)
class CadexSettings:
    """The CaDeX++ field and its losses."""

    projection: str = setting("orthographic", "camera model", choices=("orthographic", "perspective"))
    coupling: str = setting("spline", "monotone map in the coupling layers", choices=("spline", "affine"))
    depth_start: str = setting(
        "motion", "depth at the start: from motion, occlusion and the prior; or flat", choices=DEPTH_STARTS
    )
    plane_resolutions: tuple[int, ...] = setting((12, 48), "sides of each coupling layer's feature planes")
    plane_channels: int = setting(16, "features per plane, a multiple of 4", low=4)
    time_channels: int = setting(16, "features per time grid", low=1)
    hidden: tuple[int, ...] = setting((32, 16), "widths of each coupling layer's network")
    depth_weight: float = setting(0.2, "weight: a point's depth equals that of the surface it lands on", low=0)
    depth_prior_weight: float = setting(0.01, "weight: a point's depth equals that surface's initial depth", low=0)
    depth_gradient_weight: float = setting(0.01, "weight: depth gradients stay those of the initial depth", low=0)
    occlusion_weight: float = setting(1.0, "weight: a hidden point is behind the surface that hides it", low=0)
    occlusion_margin: float = setting(0.1, "depth by which a hidden point must be behind", low=0)
    smoothness_weight: float = setting(0.1, "weight: constant velocity where there are no correspondences", low=0)
    occlusion_tolerance: float = setting(0.1, "depth behind a surface at which a point still counts as visible", low=0)
    learning_rate: float = setting(2e-2, "initial learning rate of the deformation", low=0)
    depth_learning_rate: float = setting(5e-3, "initial learning rate of the depth maps", low=0)
    depth_clip: float = setting(10.0, "gradient norm at which the depth maps' gradient is clipped; 0: never", low=0)


@dataclass(frozen=True)
class OmniMotionSettings:
    """The OmniMotion field and its losses. A weight with a schedule is its largest value."""

    mapping: str = setting(
        "invertible",
        "frame to canonical and back: one invertible network, or two unconstrained ones",
        choices=("invertible", "two_networks"),
    )
    frame_map: str = setting(
        "camera",
        "map before the couplings: the camera's motion, none, or a network of time and depth (published: 8 deep)",
        choices=("camera", "none", "network", "published_network"),
    )
    coupling: str = setting("affine", "monotone map in the coupling layers", choices=("affine", "spline"))
    conditioner: str = setting(
        "planes", "what the couplings read: planes of features, or the published network", choices=("planes", "network")
    )
    plane_resolutions: tuple[int, ...] = setting((12, 48), "planes: sides of each coupling layer's feature planes")
    plane_channels: int = setting(16, "planes: features per plane, a multiple of 4", low=4)
    time_channels: int = setting(16, "planes: features per time grid", low=1)
    code_width: int = setting(128, "network: width of a frame's latent code", low=1)
    hidden: tuple[int, ...] = setting((32, 16), "widths of each coupling layer's network")
    two_networks_hidden: tuple[int, ...] = setting((64, 64, 64, 64), "mapping two_networks: widths of each network")
    canonical_hidden: int = setting(64, "width of the canonical network", low=1)
    canonical_layers: int = setting(3, "layers of the canonical network", low=1)
    samples: int = setting(16, "samples of a ray", low=2)
    tracked_samples: int = setting(0, "heaviest samples of a ray that a step carries to other frames; 0: all", low=0)
    near: float = setting(-1.0, "depth of a ray's first sample")
    far: float = setting(1.0, "depth of its last sample")
    strongest_sample: bool = setting(True, "a tracked point is its ray's heaviest sample, not the weighted mean")
    occlusion_threshold: float = setting(0.99, "accumulated weight in front of a point, 0 to 1, that hides it", low=0)
    flow_weight: float = setting(1.0, "weight: predictions agree with the correspondences", low=0)
    photometric_weight: float = setting(10.0, "weight: colours agree with the frame; rises over half of the run", low=0)
    photometric_gradient_weight: float = setting(
        0.0, "weight: colour gradients agree with the frame; rises likewise", low=0
    )
    depth_range_weight: float = setting(10.0, "weight: points stay between near and far", low=0)
    smoothness_weight: float = setting(20.0, "weight: constant velocity from frame to frame", low=0)
    cycle_weight: float = setting(1.0, "weight, two_networks: mapping there and back is the identity", low=0)
    distortion_weight: float = setting(1.0, "weight: rays end at one depth; rises from 40 % to 60 % of the run", low=0)
    depth_prior_weight: float = setting(1.0, "weight: rays end at the depth from motion; falls to 0", low=0)
    guided_share: float = setting(
        0.8, "share of the run over which the depth from motion hands over to the volume; 0: none", low=0
    )
    random_neighbours: bool = setting(
        False, "gradients between random points, not neighbours, as the published code does"
    )
    normalise_weights: bool = setting(True, "normalise weighted sums by their weights; the published code does not")
    learning_rate: float = setting(1e-2, "initial learning rate of the couplings", low=0)
    canonical_learning_rate: float = setting(3e-3, "initial learning rate of the canonical network", low=0)
    time_learning_rate: float = setting(1e-2, "initial learning rate of the time features", low=0)


@dataclass(frozen=True)
class Plain2dSettings:
    """The ablation without a canonical volume: flow between any two frames as one network."""

    hidden: tuple[int, ...] = setting((64, 64, 64, 64), "widths of the network")
    time_channels: int = setting(16, "features per time grid; 0 takes codes from a network, as published", low=0)
    code_width: int = setting(128, "time_channels 0: width of a frame's latent code", low=1)
    learning_rate: float = setting(1e-2, "initial learning rate of the network", low=0)
    time_learning_rate: float = setting(1e-2, "initial learning rate of the time features", low=0)


LINEAR, EXPONENTIAL = DECAYS = ("linear", "exponential")


@dataclass(frozen=True)
class FitSettings:
    """The optimisation. Each method has its own table, named after the method."""

    method: str = setting("cadex", "motion field to fit: cadex, omnimotion, or the ablation plain_2d")
    steps: int = setting(1200, "optimisation steps", low=1)
    anchors: int = setting(1024, "source points per step", low=1)
    targets: int = setting(4, "target frames per source point", low=1)
    outlier_px: float = setting(
        OUTLIER_PX, "error, at 256 x 256, beyond which the loss grows logarithmically; 0: linear, as published", low=0
    )
    learning_rate_decay: str = setting(
        LINEAR, "how learning rates fall: linear, to zero; or exponential, as published", choices=DECAYS
    )
    second_moment_steps: int = setting(20, "steps over which Adam averages squared gradients; published: 1000", low=1)
    flow_gradient_weight: float = setting(0.0, "weight: neighbours move alike; above 0 doubles the work", low=0)
    return_px: float = setting(
        2.0, "cycle error, at 256 x 256, at which a correspondence has half its weight; 0: all weigh the same", low=0
    )
    longest_gap: int = setting(0, "largest gap, in frames, of a correspondence; 0: no limit", low=0)
    matches: int = setting(256, "long-range matches per step, where there are any; 0: none", low=0)
    match_weights: tuple[float, ...] = setting(
        (1.0, 0.1, 0.01),
        "weights of the matches: at the start, from 1/22 of the run, and from 2/22, when outliers are left out",
    )
    pin_weight: float = setting(1.0, "weight of the pins of --pins", low=0)
    pin_share: float = setting(0.25, "share of the run that --resume repeats for new pins, 0 to 1", low=0)
    correspondences: int = setting(60_000_000, "largest number of correspondences; more are thinned out", low=1)
    sampler: str = setting("regions", "draw points by region and its error, or by pair as published", choices=SAMPLERS)
    hard_share: float = setting(0.8, "share of the samples drawn by error, the rest evenly", low=0)
    regions: int = setting(16, "regions per side of a frame, whose errors are tracked", low=1)
    pairs: int = setting(8, "sampler pairs: frame pairs per step, which share the anchors", low=1)
    threads: int = setting(0, "CPU threads; 0: all cores for the compiled core, one for torch", low=0)
    checkpoint_seconds: float = setting(30.0, "time between checkpoints", low=0)
    cadex: CadexSettings = table(CadexSettings, "the CaDeX++ field and its losses")
    omnimotion: OmniMotionSettings = table(OmniMotionSettings, "the OmniMotion field and its losses")
    plain_2d: Plain2dSettings = table(Plain2dSettings, "the ablation without a canonical volume")


@dataclass(frozen=True)
class QuerySettings:
    """Tracks from a fitted field."""

    fuse: bool = setting(True, "fuse the field with the measured flow; false: the field alone")
    alike_threshold: float = setting(0.25, "smallest patch similarity, -1 to 1, at which a point looks like its query")


@dataclass(frozen=True)
class RenderSettings:
    """Renders of tracks, of the fitted field and of drawings that move with it."""

    min_side: int = setting(
        0, "enlarge small frames until the shorter side has this many pixels (or the longer 1920); 0: never", low=0
    )
    legend: bool = setting(True, "explain colours and marks in a corner")
    brightness: float = setting(1.0, "brightness of the frame under points, trails and grids, 0 to 1", low=0)
    radius_px: float = setting(0.0, "radius of a point in pixels of the output; 0: chosen by its size", low=0)
    hidden: bool = setting(True, "draw occluded points, as rings")
    trail: int = setting(12, "frames that a trail reaches back", low=1)
    remove_camera: bool = setting(False, "subtract the camera's motion from the trails")
    grid: int = setting(32, "columns of the grid that is drawn when no tracks are given", low=2)
    frame: int = setting(
        0, "frame of that grid, of the drawing of --style edit, or that --style stabilise leaves unchanged", low=0
    )
    side_by_side: bool = setting(False, "show the original frame to the left of the drawing")
    fps: float = setting(0.0, "frames per second; 0 keeps the project's", low=0)


@dataclass(frozen=True)
class MemorySettings:
    """Memory of a clip in progress, divided among the stages. It affects no result but the size of large frames."""

    max_gb: float = setting(4.0, "memory of a clip in progress, in GB, on the machine and on a GPU each", low=1)


@dataclass(frozen=True)
class Settings:
    """All settings of a project, as `omnitrack.toml` contains them."""

    init: InitSettings = table(InitSettings, "which frames of the video become the project")
    flow: FlowSettings = table(FlowSettings, "pairwise optical flow")
    features: FeatureSettings = table(FeatureSettings, "learned features of the frames")
    filter: FilterSettings = table(FilterSettings, "which flow is reliable, and chaining it over any distance")
    matching: MatchSettings = table(MatchSettings, "long-range matches by features")
    depth: DepthSettings = table(DepthSettings, "a depth prior from another source")
    fit: FitSettings = table(FitSettings, "the optimisation")
    query: QuerySettings = table(QuerySettings, "tracks from a fitted field")
    render: RenderSettings = table(RenderSettings, "renders of tracks and of the field")
    memory: MemorySettings = table(MemorySettings, "memory of a clip in progress")


MOVED = {  # names of settings in earlier versions, and their present names
    "fit.learning_rate": "fit.cadex.learning_rate",
    "fit.depth_learning_rate": "fit.cadex.depth_learning_rate",
    "fit.depth_clip": "fit.cadex.depth_clip",
    "fit.omnimotion.plain_hidden": "fit.omnimotion.two_networks_hidden",
    "fit.data_mb": "fit.correspondences",
    "flow.raft.correlation_mb": "memory.max_gb",
    "flow.raft.cache_mb": "memory.max_gb",
    "flow.descriptors.cache_mb": "memory.max_gb",
    "filter.cache_mb": "memory.max_gb",
}
