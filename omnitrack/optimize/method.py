"""What makes a method: how its field is built, judged, stepped and restored."""

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
    """Where in a run a step is, and what its randomness comes from.

    Attributes:
        moment: Of the run. Its stage has ``only_inliers``: matches that the field is far from are left out.
        generator: On the device.
        certain: Matches are known to be right: none is left out.
    """

    moment: Moment
    generator: torch.Generator
    certain: bool = False


JointLosses = Callable[[Any, Batch, Batch, FitSettings, StepContext], tuple[dict[str, Tensor], Tensor, Tensor]]


@dataclass(frozen=True)
class Method:
    """One way to make a motion field.

    Attributes:
        name: Of the method and of its table of settings, ``fit.NAME``, which has a ``learning_rate``.
        has_colors: Its fields are `omnitrack.motion.field.ColoredField`.
        uses_depth: Whether a fit with these settings makes anything of a depth to start from.
        build: A field at its start, from correspondences, settings and how far a depth prior is believed, None where
            there is none; draws from torch's default generator.
        camera: Of the field, for frames of a size (width, height).
        losses: The weighted terms of a batch and the (B,) errors of its anchors in pixels at 256 x 256.
        match_loss: Of a batch of long-range matches: far, without colours or neighbours, some of them wrong.
        groups: Parameters, their first learning rate, and the largest norm of their gradient, 0 for none.
        restore: The field that a state was saved from, for frames of a size (width, height) and their number.
        extras: What the losses read of a batch beside its correspondences.
        last_rate: Share of the learning rate that is left at the end of an exponential decay.
        plan: What its losses go by at a progress of the run, 0 to 1.
        joint_losses: `losses` of a batch and `match_loss` of matches, from both, by one pass through the warp; or None.
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
    """The camera's motion (T, 2, 3), and depth of every grid point (T, rows, columns), where a fit starts.

    Args:
        data: Correspondences.
        camera: The frames' camera.
        kind: ``motion``, with the depth prior as far as it is believed, or ``flat`` for a depth of zero everywhere.
        belief: In the depth prior; None where there is none.
    """
    affine = camera_motion(data, camera)
    if kind == "flat":
        return affine, torch.zeros(data.num_frames, *data.grid_shape, device=data.grid.device)
    depth = depth_from_motion(data, camera, affine)
    return affine, depth if belief is None else mix(data, depth, belief)
