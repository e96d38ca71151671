"""CaDeX++: one surface point per pixel, mapped through the canonical volume.

The depth map of a frame lifts a pixel to one 3D point. The warp maps that point from frame i to the canonical volume
and on to frame j. Its projection there is the tracked pixel. Its depth, compared with the depth map of frame j,
determines whether it is occluded.

Source:
    Song et al., "Track Everything Everywhere Fast and Robustly", ECCV 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omnitrack.motion.depth import DepthMaps
from omnitrack.motion.field import FieldTracks
from omnitrack.motion.geometry import Camera
from omnitrack.motion.warp import CanonicalWarp, TimeColumns

CHUNK_POINTS = 1 << 16  # points per pass of a query: bounds its memory


class CadexField(nn.Module):
    """The CaDeX++ motion field.

    Args:
        camera: Converts between pixels and local points.
        warp: Maps local to canonical points and back.
        depth: Depth of the visible surfaces.
        occlusion_tolerance: Depth by which a point may be behind a surface and still count as on it.
    """

    def __init__(self, camera: Camera, warp: CanonicalWarp, depth: DepthMaps, occlusion_tolerance: float) -> None:
        super().__init__()
        self.camera = camera
        self.warp = warp
        self.depth = depth
        self.occlusion_tolerance = occlusion_tolerance

    @property
    def num_frames(self) -> int:
        return len(self.depth.maps)

    def lift(self, pixels: Tensor, frames: Tensor) -> Tensor:
        """The visible surface points (P, 3) at pixels (P, 2) of frames (P,)."""
        return self.camera.lift(pixels, self.depth(pixels, frames))

    @torch.no_grad()
    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        """See `omnitrack.motion.field.MotionField.track`; all targets share the canonical pass."""
        device = self.depth.maps.device
        columns = self.warp.time_columns()
        chunks = [
            self._track_chunk(torch.as_tensor(part, dtype=torch.float32, device=device), source, targets, columns)
            for part in np.array_split(np.asarray(pixels), max(1, -(-len(pixels) // CHUNK_POINTS)))
        ]
        return FieldTracks(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.MotionField.depth_map`."""
        return np.asarray(self.depth.full(frame).detach().cpu().numpy(), np.float32)

    @torch.no_grad()
    def canonical_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.MotionField.canonical_map`."""
        columns = self.warp.time_columns()
        parts = []
        for pixels in self.camera.pixels(self.depth.maps.device).split(CHUNK_POINTS):
            frames = torch.full((len(pixels),), frame, device=pixels.device)
            parts.append(self.warp(self.lift(pixels, frames), frames, columns))
        width, height = self.camera.size
        return np.asarray(torch.cat(parts).view(height, width, 3).cpu().numpy(), np.float32)

    def _track_chunk(
        self, pixels: Tensor, source: int, targets: Sequence[int], columns: TimeColumns
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        in_frame = torch.full((len(pixels),), source, device=pixels.device)
        canonical = self.warp(self.lift(pixels, in_frame), in_frame, columns)
        positions = pixels.new_empty(len(pixels), len(targets), 2)
        depths = pixels.new_empty(len(pixels), len(targets))
        seen = torch.empty_like(depths, dtype=torch.bool)
        for column, target in enumerate(targets):
            frames = torch.full_like(in_frame, target)
            points = self.warp.inverse(canonical, frames, columns)
            landed = self.camera.project(points)
            margin = self.depth(landed, frames) - points[:, 2]
            seen[:, column] = self.camera.sees(landed) & (margin > -self.occlusion_tolerance)
            positions[:, column], depths[:, column] = landed, points[:, 2]
        return positions.cpu().numpy(), depths.cpu().numpy(), seen.cpu().numpy()
