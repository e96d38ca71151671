"""Matching the features of one frame with those of its later frames."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np
import torch
from torch import Tensor

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.match_refinement import refine_by_patches
from omnitrack.correspondence.matching import FrameCells, distinctive_cells, match_cells
from omnitrack.device import pick_device
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.match_store import Rows, write_matches
from omnitrack.project.project import Project
from omnitrack.settings import MatchSettings
from omnitrack.units import raster_scale


class FrameMatcher:
    """Matches one source frame at a time with all of its later frames.

    Args:
        project: The project.
        later: The later frames that each frame is matched with.
        features: Features of its frames.
        limits: Settings with the extractor's limits (`omnitrack.correspondence.match_limits.calibrated`).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        frames_bytes: Memory for frames.
    """

    def __init__(
        self,
        project: Project,
        later: Sequence[Sequence[int]],
        features: FeatureStore,
        limits: MatchSettings,
        device: str,
        frames_bytes: int,
    ) -> None:
        self._features, self._limits, self._device = features, limits, pick_device(device)
        self._size = project.size
        self._later = later
        self._patches = FramePatches(BlurredFrames(project.frame, project.size, frames_bytes))
        self._distinctive: dict[int, Tensor] = {}  # cached: costs as much as matching a pair, takes little memory

    @property
    def sources(self) -> list[int]:
        """Frames with later frames to be matched with."""
        return [source for source, later in enumerate(self._later) if later]

    def write(self, file: h5py.File, source: int) -> None:
        """Write the matches of one source frame, as a job of `Parts.write`."""
        if self._later[source]:
            with torch.no_grad():
                here = self._cells(source)
                rows = [self._rows(source, here, target) for target in self._later[source]]
            write_matches(file, source, np.concatenate(rows))

    def _cells(self, frame: int) -> FrameCells:
        values = torch.tensor(self._features.features(frame), device=self._device)
        if frame not in self._distinctive:
            self._distinctive[frame] = distinctive_cells(values, self._limits)
        return FrameCells(values.flatten(0, 1), self._features.grid, self._distinctive[frame])

    def _rows(self, source: int, here: FrameCells, target: int) -> Rows:
        found = match_cells(here, self._cells(target), self._size, self._limits)
        every = -(-len(found) // self._limits.matches_per_pair)  # matches are in the order of their cells, row by row
        found = found[:: max(1, every)]
        pixels = found.source.cpu().numpy(), found.target.cpu().numpy()
        if self._limits.patch_steps:
            step_px = raster_scale(self._size)
            pixels = refine_by_patches(self._patches, source, target, pixels, step_px, self._limits.patch_steps)
        ends = [(np.full(len(found), frame), at) for frame, at in zip((source, target), pixels, strict=True)]
        columns = [*ends[0], *ends[1], found.similarity.cpu().numpy()]
        return np.asarray(np.column_stack(columns), np.float32)
