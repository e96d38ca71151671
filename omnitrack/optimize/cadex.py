"""Fitting of a CaDeX++ field.

Occluded correspondences only order the surfaces in depth, because flow into occlusion is too inaccurate to be followed
(of the occluded ends of chains in the development clips, fewer than one in ten was within 4 px). In frames in which a
point was not found, a smoothness term carries it through.

All terms are in px at 256 x 256 (depths times the pixels in one local unit), so that the published weights keep their
meaning at every frame size.

Source:
    CaDeX++ (ECCV 2024), section 3.4; the occlusion order and the smoothness where no point was found are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from omnitrack.motion.cadex import CadexField
from omnitrack.motion.conditioner import PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.depth import DepthMaps
from omnitrack.motion.encoding import TimeFeatures
from omnitrack.motion.frame_map import FrameAffine
from omnitrack.motion.geometry import Camera
from omnitrack.motion.warp import CanonicalWarp
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.cadex_batches import Carried, carry_batches
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_prior import Belief
from omnitrack.optimize.losses import flow_gradient, robust_distance
from omnitrack.optimize.matches import inliers
from omnitrack.optimize.method import Method, StepContext, first_depth
from omnitrack.settings import OUTLIER_PX, CadexSettings, FitSettings
from omnitrack.units import raster_scale

COUPLING_ORDER = (0, 1, 2, 0, 1, 2)  # the coordinate that each layer changes: each one twice
LAST_RATE = 0.33 ** (22_000 / 5_000)  # share of the learning rate left after 22,000 steps, with 0.33 every 5,000


def build(data: Correspondences, settings: FitSettings, belief: Belief | None = None) -> CadexField:
    """The initial field: the camera's motion, and depth from motion and, as far as it is trusted, from a prior."""
    camera = _camera(data.size, settings.cadex)
    affine, depth = first_depth(data, camera, settings.cadex.depth_start, belief)
    return assemble(camera, affine, depth, settings.cadex).to(data.grid.device)


def restore(state: Mapping[str, Tensor], size: tuple[int, int], num_frames: int, settings: FitSettings) -> CadexField:
    """Restore the field of a saved state."""
    camera, affine, depth = _camera(size, settings.cadex), state["warp.frame_map.affine"], state["depth.initial"]
    if not len(affine) == len(depth) == num_frames:
        raise ValueError(f"it is of {len(affine)} frames, not {num_frames}")
    field = assemble(camera, affine, depth, settings.cadex)
    field.load_state_dict(state)
    return field


def assemble(camera: Camera, affine: Tensor, depth: Tensor, settings: CadexSettings) -> CadexField:
    """Assemble a field by the settings, from the camera's motion (T, 2, 3) and depth maps (T, h, w)."""
    time = TimeFeatures(len(affine), settings.time_channels)
    planes = settings.plane_resolutions, settings.plane_channels
    layers = [
        Coupling(changed, PlaneConditioner(*planes, time.width, settings.hidden), SCALAR_MAPS[settings.coupling])
        for changed in COUPLING_ORDER
    ]
    warp = CanonicalWarp(FrameAffine(affine), time, layers)
    return CadexField(camera, warp, DepthMaps(depth, camera.size), settings.occlusion_tolerance)


def _camera(size: tuple[int, int], settings: CadexSettings) -> Camera:
    return Camera(size, perspective=settings.projection == "perspective")


def groups(field: CadexField, settings: FitSettings) -> list[tuple[list[Tensor], float, float]]:
    """See `omnitrack.optimize.method.Method.groups`."""
    return [
        (list(field.warp.parameters()), settings.cadex.learning_rate, 0.0),
        (list(field.depth.parameters()), settings.cadex.depth_learning_rate, settings.cadex.depth_clip),
    ]


def cadex_losses(
    field: CadexField,
    batch: Batch,
    settings: CadexSettings,
    flow_gradient_weight: float = 0.0,
    outlier_px: float = OUTLIER_PX,
    believe_all: bool = True,
    carried: Carried | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The weighted terms of one step, and each anchor's error.

    Args:
        field: The field to evaluate.
        batch: Drawn with neighbours if `flow_gradient_weight` is above zero, with blank frames for smoothness.
        settings: Weights of the terms.
        flow_gradient_weight: Weight of `flow_gradient`; 0 leaves it out.
        outlier_px: The argument of `robust_distance`.
        believe_all: Use all correspondences; otherwise only `omnitrack.optimize.matches.inliers`.
        carried: The batch in its target frames, if it has been carried to them already.

    Returns:
        Terms by name, scalars whose sum is the loss; and (B,) mean distance of the anchors' predictions from their
        correspondences, in px at 256 x 256, for hard mining.
    """
    carried = carried or carry_batches(field, [batch])[0]
    confidence = batch.confidence if believe_all else batch.confidence * inliers(carried.difference)
    total = confidence.sum().clamp_min(1e-6)
    hidden = (confidence * batch.occluded).flatten()
    seen = confidence.flatten() - hidden
    px = field.camera.half_extent_px * (1 / raster_scale(field.camera.size))  # at 256 x 256, per unit of depth
    occlusion = _occlusion(carried, hidden, settings.occlusion_margin)
    terms = {
        "flow": _flow(carried, seen, outlier_px) / total,
        "depth": settings.depth_weight * px * _depth(carried, seen) / total,
        "depth_prior": settings.depth_prior_weight * px * _depth_prior(carried, seen) / total,
        "depth_gradient": settings.depth_gradient_weight * px * _depth_gradient(carried),
        "occlusion": settings.occlusion_weight * px * occlusion / total,
    }
    if len(carried.passages):
        terms["smoothness"] = settings.smoothness_weight * px * _smoothness(carried)
    if flow_gradient_weight > 0:
        terms["flow_gradient"] = flow_gradient_weight * flow_gradient(carried.difference, seen.view_as(confidence))
    errors = (confidence * carried.difference.detach().norm(dim=-1)).sum(-1) / confidence.sum(-1).clamp_min(1e-6)
    return terms, errors


def _flow(carried: Carried, seen: Tensor, outlier_px: float) -> Tensor:
    """Distances between predictions and correspondences."""
    distance = robust_distance(carried.difference, outlier_px)
    return (seen.view_as(distance) * distance).sum()


def _depth(carried: Carried, seen: Tensor) -> Tensor:
    """Differences in depth between points and the surfaces on which they are visible."""
    return (seen * (carried.depth - carried.seen_depth).abs()).sum()


def _depth_prior(carried: Carried, seen: Tensor) -> Tensor:
    """Differences in depth between points and these surfaces at the start of the fit."""
    return (seen * (carried.depth - carried.prior_depth).abs()).sum()


def _depth_gradient(carried: Carried) -> Tensor:
    """Changes in the steps of the depth maps since the start of the fit."""
    return carried.steps.abs().sum(0).mean()


def _occlusion(carried: Carried, hidden: Tensor, margin: float) -> Tensor:
    """Depths by which occluded points are not behind the occluding surface by a margin."""
    return (hidden * torch.relu(margin + carried.seen_depth - carried.depth)).sum()


def _smoothness(carried: Carried) -> Tensor:
    """Mean acceleration of points through frames in which they were not found."""
    before, here, after = carried.passing.unbind(1)
    return ((before - 2 * here + after).abs().sum(-1) * (carried.passages[:, 0] >= 0)).mean()


def match_loss(field: CadexField, batch: Batch, settings: FitSettings, context: StepContext) -> Tensor:
    """See `omnitrack.optimize.method.Method.match_loss`: the terms of the dense correspondences."""
    believe_all = context.certain or not context.moment.stage["only_inliers"]
    terms, _ = cadex_losses(field, batch, settings.cadex, 0.0, settings.outlier_px, believe_all)
    return torch.stack(list(terms.values())).sum()


def joint_losses(
    field: CadexField, batch: Batch, matches: Batch, settings: FitSettings, context: StepContext
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """See `omnitrack.optimize.method.Method.joint_losses`."""
    near, far = carry_batches(field, [batch, matches])
    dense, outlier_px = settings.flow_gradient_weight, settings.outlier_px
    terms, errors = cadex_losses(field, batch, settings.cadex, dense, outlier_px, carried=near)
    believe_all = not context.moment.stage["only_inliers"]
    of_matches, _ = cadex_losses(field, matches, settings.cadex, 0.0, outlier_px, believe_all, far)
    return terms, errors, torch.stack(list(of_matches.values())).sum()


CADEX = Method(
    name="cadex",
    has_colors=False,
    uses_depth=lambda settings: settings.cadex.depth_start != "flat",
    build=build,
    camera=lambda size, settings: _camera(size, settings.cadex),
    losses=lambda field, batch, settings, context: cadex_losses(
        field, batch, settings.cadex, settings.flow_gradient_weight, settings.outlier_px
    ),
    match_loss=match_loss,
    joint_losses=joint_losses,
    groups=groups,
    restore=restore,
    extras=lambda settings: Extras(settings.flow_gradient_weight > 0, settings.cadex.smoothness_weight > 0),
    last_rate=LAST_RATE,
)
