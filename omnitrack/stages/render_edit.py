"""The style edit of `omnitrack render`: a drawing on one frame, carried through the clip by the fitted field."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.edit import JUMP_CELLS, Layer, carry_layer, lay_over, make_layer, without_specks
from omnitrack.errors import OmnitrackError
from omnitrack.motion.field import MotionField
from omnitrack.project.project import Project
from omnitrack.stages.render_canvas import Canvas, Painter, Picture
from omnitrack.video.images import read_pixels

ROUNDING_PX = 1  # by which one side may deviate from the video's aspect ratio
BLOCK_PX = 4  # side of the blocks of pixels that are tested before single pixels
INK_PX = 2  # spacing of the points of the drawing that are tracked; `without_specks` removes what is narrower
REACH_PX = JUMP_CELLS + 2  # largest offset of a pixel's sample from its own position: interpolation, a pixel each way
NEEDED_PX = 2  # neighbours on each side that affect a pixel: one for the median, one for the interpolation
MOST_BLOCKS = 0.5  # share of blocks that can show the drawing, above which excluding the others saves nothing


@dataclass(frozen=True)
class Drawing:
    """A drawing on one frame.

    Attributes:
        pixels: (h, w, 4) RGBA of unsigned integers, over the whole frame.
        frame: The frame it was drawn on.
    """

    pixels: NDArray[Any]
    frame: int

    @property
    def fingerprint(self) -> str:
        """A short stable hash of the pixels, without the frame, which is a setting."""
        described = f"{self.pixels.shape} {self.pixels.dtype}".encode()
        return hashlib.sha256(described + self.pixels.tobytes()).hexdigest()[:16]


def read_drawing(project: Project, path: Path, frame: int) -> Drawing:
    """Read a drawing on frame `frame` of a project.

    Args:
        project: The project.
        path: An image with transparency, of the video's aspect ratio.
        frame: The frame it was drawn on.

    Raises:
        OmnitrackError: No such frame; or the image cannot be read, has no alpha channel, is empty, or differs from the
            video in aspect ratio.
    """
    if not 0 <= frame < project.num_frames:
        raise OmnitrackError(
            f"there is no frame {frame} in project {project.root}, its frames are 0 to {project.num_frames - 1}",
            "name the frame that was drawn on: --frame T",
        )
    if not path.is_file():
        raise OmnitrackError(
            f"there is no drawing at {path}", f"draw one on a layer of its own over {project.frame_path(frame)}"
        )
    pixels = read_pixels(path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise OmnitrackError(
            f"drawing {path} holds {pixels.dtype} values, which have no fixed range", "save it as RGBA PNG"
        )
    if pixels.shape[2] != 4:
        raise OmnitrackError(
            f"drawing {path} has no alpha channel: it would cover the whole frame",
            "leave transparent what shall stay as it is, and save as RGBA PNG",
        )
    width, height = pixels.shape[1], pixels.shape[0]
    if not _same_aspect((width, height), project.meta.original_size):
        whole = project.meta.original_size
        raise OmnitrackError(
            f"drawing {path} is {width}x{height}, the video is {whole[0]}x{whole[1]}: not the same aspect ratio",
            "draw on a whole frame, at the video's size or any other of its aspect ratio",
        )
    if not pixels[..., 3].any():
        raise OmnitrackError(f"drawing {path} is fully transparent", "draw something on it")
    return Drawing(pixels, frame)


def edit_painter(canvas: Canvas, field: MotionField, drawing: Drawing) -> Painter:
    """Paint the drawing on its surface: it moves with the surface, and is hidden if occluded and in other shots."""
    carried = carried_drawing(canvas.project, field, drawing, canvas.size)

    def paint(frame: int) -> Picture:
        picture, layer = canvas.plain_frame(frame), carried(frame)
        return picture if layer is None else lay_over(picture, layer)

    return paint


def carried_drawing(
    project: Project, field: MotionField, drawing: Drawing, size: tuple[int, int]
) -> Callable[[int], Layer | None]:
    """Return a function that gives the drawing in each frame, at a size (width, height): None in other shots."""
    layer = make_layer(drawing.pixels, size)
    shot = project.shot(drawing.frame)
    tracked = _TrackedDrawing(field, layer, drawing.frame, project.size)

    def carried(frame: int) -> Layer | None:
        if frame not in shot:
            return None
        return layer if frame == drawing.frame else carry_layer(layer, *tracked.displacement(frame))

    return carried


class _TrackedDrawing:
    """Where the pixels of other frames are on a drawing; pixels that cannot be on it are not tracked.

    Two tests select the blocks of pixels to track. The centres of all blocks, tracked to the frame of the drawing,
    bound how far the pixels around them can be from it. Anything narrower than a block may lie between the centres, so
    points of the drawing are tracked to the other frame as well.

    Args:
        field: The field that tracks the pixels.
        layer: The drawing, (H, W, 4).
        frame: The frame it was drawn on.
        size: (width, height) of the working frames.
    """

    def __init__(self, field: MotionField, layer: Layer, frame: int, size: tuple[int, int]) -> None:
        self._field, self._frame = field, frame
        self._pixels = _lattice(size, 1)
        self._corners = _lattice(size, BLOCK_PX)
        self._last = np.array(size) - 1
        self._stretch = np.array((layer.shape[1], layer.shape[0])) / size
        self._inked_above_and_left = np.pad((layer[..., 3] > 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        ink = _lattice(size, INK_PX)
        self._ink = ink[self._holds_ink(ink - 0.5, ink + INK_PX - 0.5)]

    def displacement(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the arguments of `carry_layer` for a frame; pixels that cannot show the drawing are invisible."""
        height, width = self._pixels.shape[:2]
        near = self._blocks(frame).repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1)[:height, :width]
        needed = _grown(near, NEEDED_PX)
        moved, visible = np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.bool_)
        if needed.any():
            found = self._field.track(frame, self._pixels[needed], [self._frame])
            moved[needed] = found.pixels[:, 0] - self._pixels[needed]
            visible[needed] = found.visible[:, 0]
        smooth, seen = without_specks(moved * self._stretch, visible)
        return smooth, seen & near

    def _blocks(self, frame: int) -> NDArray[np.bool_]:
        """Return the blocks of a frame that can show the drawing."""
        found = self._blocks_that_reach_it(frame)
        if found.mean() > MOST_BLOCKS:
            return np.ones_like(found)
        return found | self._blocks_it_reaches(frame)

    def _blocks_that_reach_it(self, frame: int) -> NDArray[np.bool_]:
        """Return the blocks whose pixels can be on the drawing, if they move roughly like the centres around them."""
        middles = np.minimum(self._corners + BLOCK_PX // 2, self._last).astype(np.float32)
        found = self._field.track(frame, middles.reshape(-1, 2), [self._frame])
        moved = found.pixels[:, 0].reshape(middles.shape) - middles
        unknown = ~np.isfinite(moved).all(-1)
        moved[unknown] = 0
        around = np.ones((3, 3), np.uint8)
        least, most = cv2.erode(moved, around), cv2.dilate(moved, around)
        leeway = REACH_PX + most - least
        first, last = self._corners + least - leeway, self._corners + BLOCK_PX - 1 + most + leeway
        return self._holds_ink(first, last) | _grown(unknown, 1)

    def _blocks_it_reaches(self, frame: int) -> NDArray[np.bool_]:
        """Return the blocks that contain tracked points of the drawing, and their neighbours."""
        found = np.zeros(self._corners.shape[:2], np.bool_)
        landed = self._field.track(self._frame, self._ink, [frame]).pixels[:, 0]
        inside = ((landed > -0.5) & (landed < self._last + 0.5)).all(-1)
        x, y = (np.rint(landed[inside]).astype(np.int64) // BLOCK_PX).T
        found[y, x] = True
        return _grown(found, 1)

    def _holds_ink(self, low: NDArray[np.floating], high: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return whether the drawing is not fully transparent in rectangles of its frame, between pixels (..., 2)."""
        rows, columns = self._inked_above_and_left.shape
        limit = (columns - 1, rows - 1)
        first = np.floor((low + 0.5) * self._stretch - 0.5).clip(0, limit).astype(np.int64)
        after = (np.ceil((high + 0.5) * self._stretch - 0.5) + 1).clip(0, limit).astype(np.int64)
        (left, top), (right, bottom) = np.moveaxis(first, -1, 0), np.moveaxis(after, -1, 0)
        count = self._inked_above_and_left
        return count[bottom, right] - count[top, right] - count[bottom, left] + count[top, left] > 0


def _lattice(size: tuple[int, int], spacing: int) -> NDArray[np.float32]:
    """Return every `spacing`-th pixel of a frame, (h, w, 2)."""
    return np.stack(np.meshgrid(*(np.arange(0, side, spacing) for side in size)), -1).astype(np.float32)


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Return a mask (h, w) dilated by `by` pixels."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0


def _same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether one size is the other one scaled and rounded: w / W = h / H up to a pixel of w or h."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= ROUNDING_PX * max(other)
