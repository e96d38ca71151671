"""OmniMotion: rays of samples, mapped through a canonical volume of colour and density.

A pixel is an orthographic ray of K samples. The warp maps them from frame i to the canonical volume, whose densities
determine the weight of each sample, and on to frame j. The tracked point is the position of the strongest sample in
frame j, or the mean of all samples. It is occluded if the ray of frame j through it is opaque in front of it.

A query costs little per target frame: all targets share the canonical pass, and with the strongest sample only one
point of a ray is mapped to the target instead of K.

Source:
    Wang et al., "Tracking Everything Everywhere All at Once", ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from omnitrack.motion.canonical import CanonicalVolume
from omnitrack.motion.depth import texel
from omnitrack.motion.field import FieldTracks
from omnitrack.motion.geometry import Camera
from omnitrack.motion.rendering import (
    accumulate,
    alphas_from_density,
    even_depths,
    weight_in_front,
    weights_from_alphas,
)
from omnitrack.motion.warp import TimeColumns, Warp

CHUNK_SAMPLES = 1 << 17  # samples per pass of a query: bounds its memory
TOLERANCE_SAMPLES = 1.1  # a point is behind a surface that is nearer by more than this many sample spacings


@dataclass(frozen=True)
class Rays:
    """The samples of R rays, front to back.

    Attributes:
        depths: (R, K) in the rays' frames.
        canonical: (R, K, 3).
        weights: (R, K).
        colors: (R, K, 3) in [0, 1].
    """

    depths: Tensor
    canonical: Tensor
    weights: Tensor
    colors: Tensor

    def strongest(self, count: int) -> Rays:
        """The `count` samples of each ray with the largest weights, front to back; all if there are no more.

        A mean over them alone is an approximation, which improves with the opacity of the surfaces.
        """
        if count >= self.weights.shape[1]:
            return self
        kept = self.weights.detach().topk(count, sorted=False).indices.sort(1).values
        wide = kept[..., None].expand(-1, -1, 3)
        return Rays(
            self.depths.gather(1, kept),
            self.canonical.gather(1, wide),
            self.weights.gather(1, kept),
            self.colors.gather(1, wide),
        )


@dataclass(frozen=True)
class RayShape:
    """How rays are sampled and evaluated.

    Attributes:
        near: Depth of the first sample.
        far: Depth of the last sample.
        samples: Number of samples, K.
        strongest_sample: A tracked point is the strongest sample; otherwise the mean of all.
        occlusion_threshold: Weight in front of a point above which it is occluded.
    """

    near: float
    far: float
    samples: int
    strongest_sample: bool = True
    occlusion_threshold: float = 0.99

    @property
    def tolerance(self) -> float:
        """Depth by which a point may be behind a surface and still count as on it."""
        return TOLERANCE_SAMPLES * (self.far - self.near) / (self.samples - 1)


class OmniMotionField(nn.Module):
    """The OmniMotion motion field.

    Args:
        camera: Converts between pixels and local points; orthographic.
        warp: Maps local to canonical points and back.
        volume: Colour and density of the canonical volume.
        num_frames: T.
        shape: How rays are sampled.
        first_depth: (T, h, w) depth of each frame's visible surface as estimated before the fit; not saved.
    """

    first_depth: Tensor

    def __init__(
        self,
        camera: Camera,
        warp: Warp,
        volume: CanonicalVolume,
        num_frames: int,
        shape: RayShape,
        first_depth: Tensor | None = None,
    ) -> None:
        super().__init__()
        first_depth = torch.zeros(num_frames, 1, 1) if first_depth is None else first_depth
        self.register_buffer("first_depth", first_depth, persistent=False)
        self.camera = camera
        self.warp: Warp = warp
        self.volume = volume
        self.num_frames = num_frames
        self.shape = shape

    def first_depths(self, pixels: Tensor, frames: Tensor) -> Tensor:
        """Return `first_depth` (R,) at pixels (R, 2) of frames (R,)."""
        return self.first_depth.flatten()[texel(pixels, frames, self.first_depth.shape, self.camera.size)]

    def cast(self, pixels: Tensor, frames: Tensor, depths: Tensor, columns: TimeColumns) -> Rays:
        """Cast rays through pixels (R, 2) of frames (R,), sampled at depths (R, K), or (K,) if all rays share them.

        With shared depths, the frame maps before the couplings are evaluated once per frame and depth.
        """
        matrices = None
        if depths.ndim == 1:
            matrices = self.warp.frame_matrices(depths)[frames].flatten(0, 1)  # a table (T, K, 2, 3)
            depths = depths.expand(len(pixels), -1)
        count = depths.shape[1]
        points = self.camera.lift(pixels[:, None].expand(-1, count, -1), depths)
        along = frames[:, None].expand(-1, count).flatten()
        canonical = self.warp(points.flatten(0, 1), along, columns, matrices)
        density, colors = self.volume(canonical)
        weights = weights_from_alphas(alphas_from_density(density.view(-1, count)))
        return Rays(depths, canonical.view(-1, count, 3), weights, colors.view(-1, count, 3))

    @torch.no_grad()
    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        """See `omnitrack.motion.field.MotionField.track`."""
        columns = self.warp.time_columns()
        where = torch.as_tensor(np.asarray(pixels), dtype=torch.float32, device=self._device)
        chunks = [self._track_chunk(part, source, targets, columns) for part in where.split(self._chunk)]
        return FieldTracks(*(torch.cat(parts).cpu().numpy() for parts in zip(*chunks, strict=True)))

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.MotionField.depth_map`: the pseudo-depth, the mean depth of each ray."""
        return self._map(frame, lambda rays: rays.depths[..., None])[..., 0]

    def canonical_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.MotionField.canonical_map`."""
        return self._map(frame, lambda rays: rays.canonical)

    def color_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.ColoredField.color_map`."""
        return self._map(frame, lambda rays: rays.colors)

    def opaque_canonical_map(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `omnitrack.motion.field.ColoredField.opaque_canonical_map`."""
        summed = self._map(frame, lambda rays: F.pad(rays.canonical, (0, 1), value=1.0), normalise=False)
        opacity = summed[..., 3]
        return summed[..., :3] / np.maximum(opacity, np.float32(1e-8))[..., None], opacity

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def _chunk(self) -> int:
        return max(1, CHUNK_SAMPLES // self.shape.samples)

    def _even(self) -> Tensor:
        return even_depths(self.shape.near, self.shape.far, self.shape.samples, self._device)

    @torch.no_grad()
    def _map(self, frame: int, values: Callable[[Rays], Tensor], normalise: bool = True) -> NDArray[np.float32]:
        """The weighted mean or sum (H, W, n) of `values`, which returns (R, K, n) for the samples of pixels' rays."""
        columns, depths, parts = self.warp.time_columns(), self._even(), []
        for pixels in self.camera.pixels(self._device).split(self._chunk):
            rays = self.cast(pixels, torch.full((len(pixels),), frame, device=self._device), depths, columns)
            parts.append(accumulate(rays.weights, values(rays), normalise=normalise))
        width, height = self.camera.size
        seen = torch.cat(parts)
        return np.asarray(seen.view(height, width, -1).cpu().numpy(), np.float32)

    def _track_chunk(
        self, pixels: Tensor, source: int, targets: Sequence[int], columns: TimeColumns
    ) -> tuple[Tensor, Tensor, Tensor]:
        rays = self.cast(pixels, torch.full((len(pixels),), source, device=pixels.device), self._even(), columns)
        positions = pixels.new_empty(len(pixels), len(targets), 2)
        depths = pixels.new_empty(len(pixels), len(targets))
        visible = torch.empty_like(depths, dtype=torch.bool)
        for column, target in enumerate(targets):
            frames = torch.full((len(pixels),), target, device=pixels.device)
            points = self._carry(rays, frames, columns)
            landed = self.camera.project(points)
            positions[:, column], depths[:, column] = landed, points[:, 2]
            visible[:, column] = self._sees(landed, points[:, 2], frames, columns)
        return positions, depths, visible

    def _carry(self, rays: Rays, frames: Tensor, columns: TimeColumns) -> Tensor:
        """Map the tracked points of rays to other frames (R,): (R, 3)."""
        if self.shape.strongest_sample:
            strongest = rays.weights.argmax(1)[:, None, None].expand(-1, 1, 3)
            return self.warp.inverse(rays.canonical.gather(1, strongest)[:, 0], frames, columns)
        along = frames[:, None].expand(-1, rays.canonical.shape[1]).flatten()
        points = self.warp.inverse(rays.canonical.flatten(0, 1), along, columns)
        return accumulate(rays.weights, points.view(rays.canonical.shape), normalise=True)

    def _sees(self, pixels: Tensor, depth: Tensor, frames: Tensor, columns: TimeColumns) -> Tensor:
        """Whether points at pixels (R, 2) and depths (R,) are visible in frames (R,): inside, and nothing in front."""
        rays = self.cast(pixels, frames, self._even(), columns)
        in_front = weight_in_front(rays.weights, rays.depths, depth - self.shape.tolerance)
        return self.camera.sees(pixels) & (in_front <= self.shape.occlusion_threshold)
