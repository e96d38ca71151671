"""The definition of a method: how its field is built, evaluated, optimised and restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.camera_motion import camera_motion
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_from_motion import depth_from_motion
from omnitrack.optimize.depth_prior import Belief, mix
from omnitrack.optimize.moment import Moment, Plan
from omnitrack.settings import FitSettings


@dataclass(frozen=True)
class StepContext:
    """The moment of a step, and the source of its random numbers.

    Attributes:
        moment: Moment of the run. Its stage has ``only_inliers``: matches with large errors are left out.
        generator: Random generator on the device.
        certain: Matches are known to be correct: none is left out.
    """

    moment: Moment
    generator: torch.Generator
    certain: bool = False


JointLosses = Callable[[Any, Batch, Batch, FitSettings, StepContext], tuple[dict[str, Tensor], Tensor, Tensor]]


@dataclass(frozen=True)
class Method:
    """One way to fit a motion field.

    Attributes:
        name: Name of the method and of its table of settings, ``fit.NAME``, which has a ``learning_rate``.
        has_colors: Whether its fields are `omnitrack.motion.field.ColoredField`.
        uses_depth: Returns whether a fit with these settings uses an initial depth.
        build: Returns the initial field, from correspondences, settings and the belief in a depth prior, None if there
            is no prior; draws from torch's default generator.
        camera: Returns the camera of the field, for frames of a size (width, height).
        losses: Returns the weighted terms of a batch and the (B,) errors of its anchors in pixels at 256 x 256.
        match_loss: Returns the loss of long-range matches: far, without colours or neighbours, some of them wrong.
        groups: Returns parameters, their initial learning rate, and the largest norm of their gradient, 0 for no limit.
        restore: Returns the field of a saved state, for frames of a size (width, height) and their number.
        extras: Returns what the losses read of a batch in addition to its correspondences.
        last_rate: Share of the learning rate that is left at the end of an exponential decay.
        plan: Returns the schedules of its losses at a progress of the run, 0 to 1.
        joint_losses: Returns both `losses` of a batch and `match_loss` of matches, from one pass through the warp; or
            None.
    """

    name: str
    has_colors: bool
    uses_depth: Callable[[FitSettings], bool]
    build: Callable[[Correspondences, FitSettings, Belief | None], Any]
    camera: Callable[[tuple[int, int], FitSettings], Camera]
    losses: Callable[[Any, Batch, FitSettings, StepContext], tuple[dict[str, Tensor], Tensor]]
    match_loss: Callable[[Any, Batch, FitSettings, StepContext], Tensor]
    groups: Callable[[Any, FitSettings], list[tuple[list[Tensor], float, float]]]
    restore: Callable[[Mapping[str, Tensor], tuple[int, int], int, FitSettings], Any]
    extras: Callable[[FitSettings], Extras]
    last_rate: float
    plan: Callable[[FitSettings, float], Plan] = lambda settings, progress: Plan()
    joint_losses: JointLosses | None = None


def first_depth(
    data: Correspondences, camera: Camera, kind: str, belief: Belief | None = None
) -> tuple[Tensor, Tensor]:
    """The camera's motion (T, 2, 3), and the initial depth of every grid point (T, rows, columns).

    Args:
        data: Correspondences.
        camera: The frames' camera.
        kind: ``motion``, with the depth prior as far as it is trusted, or ``flat`` for a depth of zero everywhere.
        belief: Belief in the depth prior; None if there is no prior.
    """
    affine = camera_motion(data, camera)
    if kind == "flat":
        return affine, torch.zeros(data.num_frames, *data.grid_shape, device=data.grid.device)
    depth = depth_from_motion(data, camera, affine)
    return affine, depth if belief is None else mix(data, depth, belief)
