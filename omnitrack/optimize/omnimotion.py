"""Fitting of an OmniMotion field.

Scheduled weights follow the published schedules as a share of the run, whatever its length. Terms are in pixels of the
256 x 256 raster or in units of depth, as published.

Where the published code differs from the paper, the paper is the default: gradients are differences between neighbours
in the frame, not between random points, and weighted means are divided by the sum of their weights.

Source:
    OmniMotion (ICCV 2023), section 4.3 and supplement; the depth prior is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError
from omnitrack.motion.ablation_models import TwoNetworkWarp
from omnitrack.motion.canonical import CanonicalVolume
from omnitrack.motion.conditioner import Conditioner, NetworkConditioner, PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.encoding import TimeCodes, TimeFeatures
from omnitrack.motion.frame_map import FrameAffine, FrameMap, FrameNetwork
from omnitrack.motion.geometry import Camera
from omnitrack.motion.omnimotion import OmniMotionField, Rays, RayShape
from omnitrack.motion.rendering import accumulate, distortion
from omnitrack.motion.warp import CanonicalWarp, TimeColumns, Warp
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.cadex import COUPLING_ORDER
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_prior import Belief
from omnitrack.optimize.losses import flow_terms
from omnitrack.optimize.matches import inliers
from omnitrack.optimize.method import Method, StepContext, first_depth
from omnitrack.optimize.moment import Plan
from omnitrack.optimize.ray_batches import carry, cast_batch
from omnitrack.optimize.schedule import ramp
from omnitrack.settings import FitSettings, OmniMotionSettings
from omnitrack.units import raster_scale

LAST_RATE = 0.5**5  # share of the learning rate left after 100,000 steps, if it is halved every 20,000
CODE_HIDDEN = 256  # width of the network of latent codes, as published
PUBLISHED_FRAME_LAYERS, INTENDED_FRAME_LAYERS = 8, 2
SMOOTHNESS_SHARE = 4  # one ray in this many has a smoothness term, as published
PHOTOMETRIC_RAMP = (0.0, 0.5)  # share of the run: published as step / 5,000 up to 10
DISTORTION_RAMP = (0.4, 0.6)  # share of the run: published as (step - 40,000) / 2,000 up to 10
LEAST_WEIGHT = 1e-3  # of a ray at its prior depth: keeps the logarithm finite


def build(data: Correspondences, settings: FitSettings, belief: Belief | None = None) -> OmniMotionField:
    """The initial field: the camera's motion, and a depth to guide rays, from motion and from a trusted prior."""
    s = settings.omnimotion
    if s.near >= s.far:
        raise OmnitrackError(
            f"a ray from depth {s.near:g} to {s.far:g} has no length",
            "set fit.omnimotion.near below fit.omnimotion.far",
        )
    camera = Camera(data.size)
    affine, depth = first_depth(data, camera, "motion", belief)
    field = assemble(camera, affine, settings.omnimotion)
    field.first_depth = s.near + (depth + 1) / 2 * (s.far - s.near)  # given on a scale from -1 to 1
    return field.to(data.grid.device)


def restore(
    state: Mapping[str, Tensor], size: tuple[int, int], num_frames: int, settings: FitSettings
) -> OmniMotionField:
    """Restore the field of a saved state."""
    field = assemble(Camera(size), torch.eye(2, 3).repeat(num_frames, 1, 1), settings.omnimotion)
    field.load_state_dict(state)
    return field


def assemble(camera: Camera, affine: Tensor, s: OmniMotionSettings) -> OmniMotionField:
    """Assemble a field by the settings, from the camera's motion (T, 2, 3)."""
    num_frames = len(affine)
    time = _time(num_frames, s)
    frame_map = _frame_map(affine, s)
    warp: Warp
    if s.mapping == "two_networks":
        warp = TwoNetworkWarp(frame_map, time, s.two_networks_hidden)
    else:
        layers = [Coupling(c, _conditioner(time.width, s), SCALAR_MAPS[s.coupling]) for c in COUPLING_ORDER]
        warp = CanonicalWarp(frame_map, time, layers)
    shape = RayShape(s.near, s.far, s.samples, s.strongest_sample, s.occlusion_threshold)
    volume = CanonicalVolume(s.canonical_hidden, s.canonical_layers)
    return OmniMotionField(camera, warp, volume, num_frames, shape)


def _time(num_frames: int, s: OmniMotionSettings) -> TimeFeatures | TimeCodes:
    if s.conditioner == "planes":
        return TimeFeatures(num_frames, s.time_channels)
    return TimeCodes(num_frames, CODE_HIDDEN, s.code_width)


def _conditioner(time_width: int, s: OmniMotionSettings) -> Conditioner:
    if s.conditioner == "planes":
        return PlaneConditioner(s.plane_resolutions, s.plane_channels, time_width, s.hidden)
    return NetworkConditioner(time_width, s.hidden)


def _frame_map(affine: Tensor, s: OmniMotionSettings) -> FrameMap:
    if s.frame_map == "camera":
        return FrameAffine(affine)
    if s.frame_map == "none":
        return FrameAffine(torch.eye(2, 3).repeat(len(affine), 1, 1))
    layers = INTENDED_FRAME_LAYERS if s.frame_map == "network" else PUBLISHED_FRAME_LAYERS
    return FrameNetwork(len(affine), layers)


def groups(field: OmniMotionField, settings: FitSettings) -> list[tuple[list[Tensor], float, float]]:
    """See `omnitrack.optimize.method.Method.groups`: couplings, times, canonical volume."""
    s = settings.omnimotion
    time: list[Tensor] = [*field.warp.time.parameters()]
    volume: list[Tensor] = [*field.volume.parameters()]
    others = {id(p) for p in [*time, *volume]}
    rest: list[Tensor] = [p for p in field.parameters() if id(p) not in others]
    return [
        (rest, s.learning_rate, 0.0),
        (time, s.time_learning_rate, 0.0),
        (volume, s.canonical_learning_rate, 0.0),
    ]


def plan(settings: FitSettings, progress: float) -> Plan:
    """See `omnitrack.optimize.method.Method.plan`: weights of the terms, and of the prior that guides the rays."""
    s = settings.omnimotion
    photometric, guided = ramp(progress, *PHOTOMETRIC_RAMP), 1 - ramp(progress, 0, s.guided_share)
    values = {
        "photometric": photometric * s.photometric_weight,
        "photometric_gradient": photometric * s.photometric_gradient_weight,
        "distortion": ramp(progress, *DISTORTION_RAMP) * s.distortion_weight,
        "depth_prior": guided * s.depth_prior_weight,
        "guided": guided,
        "unguided": 1 - guided,
    }
    return Plan({"is_guided": guided > 0}, values)


def match_loss(field: OmniMotionField, batch: Batch, settings: FitSettings, context: StepContext) -> Tensor:
    """See `omnitrack.optimize.method.Method.match_loss`: the flow term alone."""
    landed = cast_batch(field, batch, settings.omnimotion, context).landed
    if context.moment.stage["only_inliers"] and not context.certain:
        batch = replace(batch, confidence=batch.confidence * inliers(landed - batch.target_pixels))
    terms, _ = _flow_terms(field, landed, batch, replace(settings, flow_gradient_weight=0.0))
    return terms["flow"]


def omnimotion_losses(
    field: OmniMotionField, batch: Batch, settings: FitSettings, context: StepContext
) -> tuple[dict[str, Tensor], Tensor]:
    """The weighted terms of one step, and each anchor's error.

    All targets of an anchor and the smoothness of its motion share one canonical pass.

    Args:
        field: The field to evaluate.
        batch: Drawn with neighbours if a gradient term needs them.
        settings: Weights of the terms.
        context: The moment of the run, for the schedules, and the generator of the random samples.

    Returns:
        Terms by name, scalars whose sum is the loss; and (B,) mean distance of the anchors' predictions from their
        correspondences, in pixels at 256 x 256, for hard mining.
    """
    s, shape = settings.omnimotion, field.shape
    followed = cast_batch(field, batch, s, context)
    rays, tracked, prior, columns = followed.rays, followed.tracked, followed.prior, followed.columns
    weights = context.moment.values
    terms, errors = _flow_terms(field, followed.landed, batch, settings)
    z = followed.points[..., 2]
    violation = torch.relu(z - shape.far) + torch.relu(shape.near - z)
    terms["depth_range"] = s.depth_range_weight * (violation**2).mean()
    if s.photometric_weight > 0:
        seen = accumulate(rays.weights, rays.colors) - batch.colors
        terms["photometric"] = weights["photometric"] * (seen**2).mean()
    if s.photometric_gradient_weight > 0:
        seen = accumulate(rays.weights, rays.colors) - batch.colors
        gradient = _differences(seen, s.random_neighbours).abs().mean()
        terms["photometric_gradient"] = weights["photometric_gradient"] * gradient
    if s.mapping == "two_networks":
        terms["cycle"] = s.cycle_weight * _cycle(field, rays, batch, columns)
    if s.smoothness_weight > 0:
        terms["smoothness"] = s.smoothness_weight * _smoothness(field, tracked, batch, columns)
    if s.distortion_weight > 0:
        terms["distortion"] = weights["distortion"] * distortion(rays.weights, rays.depths).mean()
    if s.depth_prior_weight > 0:
        misses = -torch.log((rays.weights * prior).sum(-1) + LEAST_WEIGHT).mean()
        terms["depth_prior"] = weights["depth_prior"] * misses
    return terms, errors


def _flow_terms(
    field: OmniMotionField, landed: Tensor, batch: Batch, settings: FitSettings
) -> tuple[dict[str, Tensor], Tensor]:
    """Agreement of predictions (B, M, 2) with the correspondences, and each anchor's error."""
    s = settings.omnimotion
    terms, errors = flow_terms(landed, batch, field.camera, settings, s.normalise_weights, s.random_neighbours)
    return {name: s.flow_weight * term for name, term in terms.items()}, errors


def _smoothness(field: OmniMotionField, rays: Rays, batch: Batch, columns: TimeColumns) -> Tensor:
    """Mean acceleration of some rays' samples over three frames, in units of depth."""
    some = slice(None, None, SMOOTHNESS_SHARE)
    frames, depths = batch.source_frames[some], rays.depths[some]
    whole = (frames > 0) & (frames < field.num_frames - 1)  # frames at the ends of a shot lack a neighbour
    if batch.beside_cut is not None:
        whole &= ~batch.beside_cut[some]
    around = torch.stack([frames - 1, frames + 1], 1).clamp(0, field.num_frames - 1)
    before, after = carry(field, rays.canonical[some], around, columns).unbind(1)
    here = field.camera.lift(batch.source_pixels[some, None].expand(-1, depths.shape[1], -1), depths)
    bend = (2 * here - before - after).abs().mean((-2, -1))
    return (bend * whole).sum() / whole.sum().clamp_min(1)


def _cycle(field: OmniMotionField, rays: Rays, batch: Batch, columns: TimeColumns) -> Tensor:
    """Mean distance between samples and their positions after going to the canonical volume and back, in raster px."""
    back = carry(field, rays.canonical, batch.source_frames[:, None], columns)[:, 0]
    pixels = batch.source_pixels[:, None].expand(-1, rays.depths.shape[1], -1)
    apart = (back - field.camera.lift(pixels, rays.depths)).abs().mean()
    return apart / raster_scale(field.camera.size) * field.camera.half_extent_px


def _differences(values: Tensor, random: bool) -> Tensor:
    """Differences of values (B, n) between anchors and their neighbours, or between consecutive random anchors."""
    half = len(values) // 2
    return values[1:] - values[:-1] if random else values[:half] - values[half:]


def extras(settings: FitSettings) -> Extras:
    """See `omnitrack.optimize.method.Method.extras`."""
    s = settings.omnimotion
    gradients = settings.flow_gradient_weight > 0 or s.photometric_gradient_weight > 0
    return Extras(neighbours=gradients and not s.random_neighbours)


OMNIMOTION = Method(
    name="omnimotion",
    has_colors=True,
    uses_depth=lambda settings: settings.omnimotion.depth_prior_weight > 0 or settings.omnimotion.guided_share > 0,
    build=build,
    camera=lambda size, settings: Camera(size),
    losses=omnimotion_losses,
    match_loss=match_loss,
    groups=groups,
    restore=restore,
    extras=extras,
    last_rate=LAST_RATE,
    plan=plan,
)
