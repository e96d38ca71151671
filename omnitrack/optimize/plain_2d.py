"""Fitting of the ablation without a canonical volume: flow between any two frames as one network.

Source:
    OmniMotion (ICCV 2023), ablation "plain 2D".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from omnitrack.motion.ablation_models import PlanarField
from omnitrack.motion.encoding import TimeCodes, TimeFeatures
from omnitrack.motion.geometry import Camera
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_prior import Belief
from omnitrack.optimize.losses import flow_terms
from omnitrack.optimize.matches import inliers
from omnitrack.optimize.method import Method, StepContext
from omnitrack.optimize.omnimotion import CODE_HIDDEN, LAST_RATE
from omnitrack.settings import FitSettings, Plain2dSettings


def build(data: Correspondences, settings: FitSettings, belief: Belief | None = None) -> PlanarField:
    """The initial field: nothing moves."""
    return assemble(Camera(data.size), data.num_frames, settings.plain_2d).to(data.grid.device)


def restore(state: Mapping[str, Tensor], size: tuple[int, int], num_frames: int, settings: FitSettings) -> PlanarField:
    """Restore the field of a saved state."""
    field = assemble(Camera(size), num_frames, settings.plain_2d)
    field.load_state_dict(state)
    return field


def assemble(camera: Camera, num_frames: int, s: Plain2dSettings) -> PlanarField:
    """Assemble a field by the settings."""
    features = s.time_channels > 0
    time = TimeFeatures(num_frames, s.time_channels) if features else TimeCodes(num_frames, CODE_HIDDEN, s.code_width)
    return PlanarField(camera, time, s.hidden)


def groups(field: PlanarField, settings: FitSettings) -> list[tuple[list[Tensor], float, float]]:
    """See `omnitrack.optimize.method.Method.groups`: the network, the times."""
    s = settings.plain_2d
    return [
        ([*field.network.parameters()], s.learning_rate, 0.0),
        ([*field.time.parameters()], s.time_learning_rate, 0.0),
    ]


def losses(
    field: PlanarField, batch: Batch, settings: FitSettings, context: StepContext
) -> tuple[dict[str, Tensor], Tensor]:
    """See `omnitrack.optimize.method.Method.losses`: agreement with the correspondences, and nothing else."""
    return flow_terms(_landed(field, batch), batch, field.camera, settings)


def match_loss(field: PlanarField, batch: Batch, settings: FitSettings, context: StepContext) -> Tensor:
    """See `omnitrack.optimize.method.Method.match_loss`."""
    landed = _landed(field, batch)
    if context.moment.stage["only_inliers"] and not context.certain:
        batch = replace(batch, confidence=batch.confidence * inliers(landed - batch.target_pixels))
    terms, _ = flow_terms(landed, batch, field.camera, replace(settings, flow_gradient_weight=0.0))
    return terms["flow"]


def _landed(field: PlanarField, batch: Batch) -> Tensor:
    """Predicted pixels (B, M, 2) of the anchors in the target frames."""
    frames = batch.target_frames
    sources = batch.source_frames[:, None].expand_as(frames)
    pixels = batch.source_pixels[:, None].expand(*frames.shape, 2)
    return field(pixels.flatten(0, 1), sources.flatten(), frames.flatten()).view(*frames.shape, 2)


PLAIN_2D = Method(
    name="plain_2d",
    has_colors=False,
    uses_depth=lambda settings: False,
    build=build,
    camera=lambda size, settings: Camera(size),
    losses=losses,
    match_loss=match_loss,
    groups=groups,
    restore=restore,
    extras=lambda settings: Extras(neighbours=settings.flow_gradient_weight > 0),
    last_rate=LAST_RATE,
)
