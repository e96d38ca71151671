"""The motion of every pixel according to a field, at the size of the video, and the camera's motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.edit import without_specks
from omnitrack.drawing.enlarge import enlarge_motion
from omnitrack.drawing.tracks import camera_motion
from omnitrack.export.camera import CameraMotion
from omnitrack.motion.field import MotionField
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.stages.export import footage_of
from omnitrack.units import raster_scale

CAMERA_GRID = 40  # points across a frame that vote for the camera's motion
RANSAC_PX = 2.0  # at 256 x 256: largest deviation from the camera's motion of a point that votes for it


class DenseMaps:
    """Positions of one frame's pixels in another frame, at the size of the video.

    Args:
        project: Gives the sizes of the working frames and of the video.
        field: Evaluated at every pixel of the working frames.
    """

    def __init__(self, project: Project, field: MotionField) -> None:
        self.project, self.field = project, field
        self.size = project.meta.original_size
        self._working = _lattice(*project.size)
        self.pixels = _lattice(*self.size)

    def motion(self, source: int, target: int, specks: bool = True) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return displacement (H, W, 2) in pixels of the video, y down, and visibility (H, W) in [0, 1].

        Without `specks`, single pixels that differ from all around them take the motion of their neighbours: they would
        fray a warped image.
        """
        if source == target:
            return np.zeros_like(self.pixels), np.ones(self.pixels.shape[:2], np.float32)
        found = self.field.track(source, self._working.reshape(-1, 2), [target])
        moved = found.pixels[:, 0].reshape(self._working.shape) - self._working
        finite = np.isfinite(moved).all(-1)
        seen = found.visible[:, 0].reshape(finite.shape) & finite
        if not specks:
            return enlarge_motion(*without_specks(moved, seen), self.size)
        return enlarge_motion(np.where(finite[..., None], moved, 0), seen, self.size)


def camera_of(maps: DenseMaps, reference: int, numbers: NDArray[np.int64], progress: Progress) -> CameraMotion:
    """Return the camera's motion from a reference to each frame of its shot, composed of maps between neighbours."""
    shot, size = maps.project.shot(reference), maps.project.size
    steps = {}
    with progress.task("camera", len(shot), unit="frames") as task:
        for frame in shot[:-1]:
            steps[frame] = _step(maps, frame, RANSAC_PX * raster_scale(size))
            task.advance()
    found = {reference: np.eye(3)}
    for frame in range(reference, shot[-1]):
        found[frame + 1] = steps[frame] @ found[frame]
    for frame in range(reference, shot.start, -1):
        found[frame - 1] = np.linalg.inv(steps[frame - 1]) @ found[frame]
    scale = np.diag([*maps.project.scale, 1.0])
    scale[:2, 2] = (maps.project.scale - 1) / 2  # pixel centres are at integers in both
    working = np.stack([found[frame] for frame in shot])
    whole = scale @ working @ np.linalg.inv(scale)
    rate = footage_of(maps.project).fps
    return CameraMotion(whole, numbers[list(shot)], int(numbers[reference]), maps.size, rate)


def _step(maps: DenseMaps, frame: int, threshold: float) -> NDArray[np.float64]:
    width, height = maps.project.size
    spacing = max(1, width // CAMERA_GRID)
    points = _lattice(width, height)[::spacing, ::spacing].reshape(-1, 2)
    found = maps.field.track(frame, points, [frame + 1])
    tracks = np.stack([points, found.pixels[:, 0]], 1)
    return camera_motion(tracks, np.column_stack([np.ones(len(points), bool), found.visible[:, 0]]), threshold)[1]


def _lattice(width: int, height: int) -> NDArray[np.float32]:
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
