"""The styles of `omnitrack render` that show the fitted field itself: what each paints for one frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.canonical import canonical_colours
from omnitrack.drawing.flow import flow_colours
from omnitrack.drawing.legend import scale_entries, wheel_entries
from omnitrack.drawing.scale import depth_colours, smooth_depth
from omnitrack.errors import OmnitrackError
from omnitrack.motion.field import ColoredField, MotionField
from omnitrack.optimize.methods import colored_method
from omnitrack.stages.render_canvas import Canvas, Painter, Picture

PROBE_SPACING_PX = 8  # between the points that sample the range of a clip's flow
PROBE_FRAMES = 5  # that sample the range of a clip's depth and canonical positions
CANONICAL_WORDS = "each surface keeps its colour: where squares slide over it, the motion is wrong"
FLOW_QUANTILE, RANGE_QUANTILES = 0.99, (0.02, 0.98)  # so that a few outliers do not wash out the rest


def _flow(canvas: Canvas, field: MotionField) -> Painter:
    """Motion to the next frame; in the last frame of a shot, the motion from the previous frame."""
    width, height = canvas.project.size

    def flow(frame: int, spacing: int) -> NDArray[np.float32]:
        pixels = np.stack(np.meshgrid(np.arange(0, width, spacing), np.arange(0, height, spacing)), -1)
        shot = canvas.project.shot(frame)
        last = frame == shot[-1]
        other = max(frame - 1, shot.start) if last else frame + 1
        moved = field.track(frame, pixels.reshape(-1, 2).astype(np.float32), [other])
        step = moved.pixels[:, 0].reshape(pixels.shape) - pixels
        return (-step if last else step).astype(np.float32)

    frames = range(canvas.project.num_frames)
    lengths = [np.linalg.norm(flow(frame, PROBE_SPACING_PX), axis=-1).ravel() for frame in frames]
    limit = float(np.quantile(np.concatenate(lengths), FLOW_QUANTILE))
    scale = float(np.mean(canvas.project.scale))

    def paint(frame: int) -> Picture:
        picture = canvas.enlarge(flow_colours(flow(frame, 1), limit))
        return canvas.explained(picture, wheel_entries(picture, limit * scale))

    return paint


def _depth(canvas: Canvas, field: MotionField) -> Painter:
    near, far = np.quantile(
        np.stack([smooth_depth(field.depth_map(frame)) for frame in _probes(canvas)]), RANGE_QUANTILES
    )

    def paint(frame: int) -> Picture:
        picture = depth_colours(canvas.stretch(smooth_depth(field.depth_map(frame))), float(near), float(far))
        return canvas.explained(picture, scale_entries(picture, "far", "near"))

    return paint


def _canonical(canvas: Canvas, field: MotionField) -> Painter:
    """Canonical positions, and opacity if the field has one; enlarged before they are coloured: squares stay sharp."""
    probes = np.stack([field.canonical_map(frame) for frame in _probes(canvas)])
    low, high = np.quantile(probes.reshape(-1, 3), RANGE_QUANTILES, axis=0)

    def paint(frame: int) -> Picture:
        if isinstance(field, ColoredField):
            places, opacity = field.opaque_canonical_map(frame)
        else:
            places = field.canonical_map(frame)
            opacity = np.ones(places.shape[:2], np.float32)
        both = np.dstack([places, opacity])
        larger = canvas.stretch(both)
        picture = canonical_colours(larger[..., :3], low, high, larger[..., 3])
        return canvas.explained(picture, [(None, CANONICAL_WORDS)])

    return paint


def _rgb(canvas: Canvas, field: MotionField) -> Painter:
    if not isinstance(field, ColoredField):
        root = canvas.project.root
        raise OmnitrackError(
            f"the fitted field of project {root} knows motion but no colours, there is nothing for --style rgb to show",
            f"fit one that knows both: omnitrack fit {root} --method {colored_method()}",
        )
    return lambda frame: canvas.enlarge(np.rint(255 * np.clip(field.color_map(frame), 0, 1)).astype(np.uint8))


def _probes(canvas: Canvas) -> list[int]:
    """Return a few frames that are spread over the clip."""
    return sorted({round(frame) for frame in np.linspace(0, canvas.project.num_frames - 1, PROBE_FRAMES)})


FIELD_PAINTERS: dict[str, Callable[[Canvas, MotionField], Painter]] = {
    "flow": _flow,
    "depth": _depth,
    "canonical": _canonical,
    "rgb": _rgb,
}
