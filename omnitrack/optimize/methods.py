"""The methods that can be fitted, by name: how each is built, judged and restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.motion.cadex import CadexField
from omnitrack.motion.depth import DepthMaps
from omnitrack.motion.field import MotionField
from omnitrack.motion.geometry import Camera
from omnitrack.motion.warp import CanonicalWarp
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.initialise import camera_motion, depth_from_motion
from omnitrack.optimize.losses import cadex_losses
from omnitrack.optimize.sampler import Batch
from omnitrack.settings import CadexSettings, FitSettings

COUPLING_ORDER = (0, 1, 2, 0, 1, 2)  # the coordinate each layer changes: every one twice


class TrainableField(MotionField, Protocol):
    """A motion field that is a `torch.nn.Module`."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...

    def to(self, device: torch.device) -> Any: ...


@dataclass(frozen=True)
class Method:
    """One way to make a motion field.

    Attributes:
        build: A field at its start, from correspondences and settings; draws from torch's default generator.
        losses: The weighted terms of a batch and the (B,) errors of its anchors in pixels at 256 x 256.
        groups: Parameters and their first learning rate; the second entry of each is the largest gradient norm, 0 for
            none.
        restore: A field of the shapes of a saved state, for frames of a size.
    """

    build: Callable[[Correspondences, FitSettings], Any]
    losses: Callable[[Any, Batch, FitSettings], tuple[dict[str, Tensor], Tensor]]
    groups: Callable[[Any, FitSettings], list[tuple[list[Tensor], float, float]]]
    restore: Callable[[Mapping[str, Tensor], tuple[int, int], FitSettings], Any]


def get_method(name: str) -> Method:
    """The method of that name; an unknown one is an `OmnitrackError` with a suggestion."""
    if name not in METHODS:
        raise OmnitrackError(f"there is no method called {name!r}", closest_hint(name, METHODS, "there is"))
    return METHODS[name]


def _build_cadex(data: Correspondences, settings: FitSettings) -> CadexField:
    camera = _camera(data.size, settings.cadex)
    affine = camera_motion(data, camera)
    depth = depth_from_motion(data, camera, affine)
    return _assemble_cadex(camera, affine, depth, settings.cadex).to(data.grid.device)


def _restore_cadex(state: Mapping[str, Tensor], size: tuple[int, int], settings: FitSettings) -> CadexField:
    camera = _camera(size, settings.cadex)
    field = _assemble_cadex(camera, state["warp.camera"], state["depth.initial"], settings.cadex)
    field.load_state_dict(state)
    return field


def _assemble_cadex(camera: Camera, affine: Tensor, depth: Tensor, settings: CadexSettings) -> CadexField:
    warp = CanonicalWarp(
        affine,
        COUPLING_ORDER,
        settings.plane_resolutions,
        settings.plane_channels,
        settings.time_channels,
        settings.hidden,
    )
    return CadexField(camera, warp, DepthMaps(depth, camera.size), settings.occlusion_tolerance)


def _camera(size: tuple[int, int], settings: CadexSettings) -> Camera:
    return Camera(size, perspective=settings.projection == "perspective")


def _cadex_groups(field: CadexField, settings: FitSettings) -> list[tuple[list[Tensor], float, float]]:
    return [
        (list(field.warp.parameters()), settings.learning_rate, 0.0),
        (list(field.depth.parameters()), settings.depth_learning_rate, settings.depth_clip),
    ]


METHODS: dict[str, Method] = {
    "cadex": Method(
        build=_build_cadex,
        losses=lambda field, batch, settings: cadex_losses(field, batch, settings.cadex, settings.flow_gradient_weight),
        groups=_cadex_groups,
        restore=_restore_cadex,
    )
}
