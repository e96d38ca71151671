"""The style edit of `omnitrack render`: a drawing on one frame, carried through the clip by the fitted field."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.edit import carry_layer, lay_over, make_layer, without_specks
from omnitrack.errors import OmnitrackError
from omnitrack.motion.field import MotionField
from omnitrack.project.images import read_pixels
from omnitrack.project.project import Project
from omnitrack.stages.render_canvas import Canvas, Painter, Picture

ROUNDING_PX = 1  # by which one side may miss the video's aspect ratio


@dataclass(frozen=True)
class Drawing:
    """What somebody drew on one frame.

    Attributes:
        pixels: (h, w, 4) RGBA of unsigned integers, over the whole frame.
        frame: The frame it was drawn on.
    """

    pixels: NDArray[Any]
    frame: int

    @property
    def fingerprint(self) -> str:
        """A short stable hash of the pixels; the frame is a setting."""
        described = f"{self.pixels.shape} {self.pixels.dtype}".encode()
        return hashlib.sha256(described + self.pixels.tobytes()).hexdigest()[:16]


def read_drawing(project: Project, path: Path, frame: int) -> Drawing:
    """Read a drawing on frame `frame` of a project.

    Args:
        project: The project.
        path: An image with transparency, of the video's aspect ratio.
        frame: The frame it was drawn on.

    Raises:
        OmnitrackError: No such frame; or the image cannot be read, has no alpha channel or nothing on it, or is of
            another shape than the video.
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
    """Paint the drawing where its surface is: moved as that moves, hidden where that is hidden."""
    layer = make_layer(drawing.pixels, canvas.size)
    width, height = canvas.project.size
    stretch = np.array(canvas.size) / (width, height)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2).astype(np.float32)

    def paint(frame: int) -> Picture:
        picture = canvas.plain_frame(frame)
        if frame == drawing.frame:
            return lay_over(picture, layer)
        there = field.track(frame, pixels, [drawing.frame])
        displacement = ((there.pixels[:, 0] - pixels) * stretch).reshape(height, width, 2)
        visible = there.visible[:, 0].reshape(height, width)
        return lay_over(picture, carry_layer(layer, *without_specks(displacement, visible)))

    return paint


def _same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size is the other one scaled, its sides rounded: w / W = h / H but for a pixel of w or h."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= ROUNDING_PX * max(other)
