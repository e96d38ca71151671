"""The style matte of `omnitrack render`: a mask of one frame, carried through the clip, white on black."""

from __future__ import annotations

import numpy as np

from omnitrack.drawing.edit import lay_over
from omnitrack.motion.field import MotionField
from omnitrack.project.project import Project
from omnitrack.stages.query_points import read_mask
from omnitrack.stages.render_canvas import Canvas, Painter, Picture
from omnitrack.stages.render_edit import Drawing, carried_drawing


def marked_drawing(project: Project, mask: str) -> Drawing:
    """Return the marked pixels of a mask ``M.png@t`` as a white drawing.

    Raises:
        OmnitrackError: No such frame, or an unusable mask.
    """
    marked, frame = read_mask(project, mask)
    return Drawing(np.repeat(np.uint8(255) * marked[..., None], 4, axis=-1), frame)


def matte_painter(canvas: Canvas, field: MotionField, drawing: Drawing) -> Painter:
    """Paint white where the drawing is visible, and black elsewhere and in other shots."""
    carried = carried_drawing(canvas.project, field, drawing, canvas.size)
    black = np.zeros((canvas.size[1], canvas.size[0], 3), np.uint8)

    def paint(frame: int) -> Picture:
        layer = carried(frame)
        return black if layer is None else lay_over(black, layer)

    return paint
