"""Points, their trails and the mesh between them, drawn over a frame.

Convention:
    Pixels (x, y) are those of the picture that is drawn on, centres at integers; drawing is anti-aliased and exact to
    1/16 pixel. Pictures are (H, W, 3) uint8 RGB; results are new pictures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SUBPIXEL_BITS = 4
EDGE_PX = 0.5  # by which OpenCV's anti-aliased discs exceed the requested radius
OUTLINE = (20, 20, 24)
HIDDEN_STRENGTH = 0.35  # of a trail or mesh line where the point is occluded
REACH_PX = 16000.0  # OpenCV's fixed-point coordinates overflow far outside the picture
STRETCH_LIMIT = 3.0  # a mesh line longer than this many times its first length joins two separated objects

Picture = NDArray[np.uint8]


def draw_points(
    picture: Picture,
    pixels: NDArray[np.floating],
    visible: NDArray[np.bool_],
    colours: NDArray[np.uint8],
    radius: float,
    hidden: bool = True,
) -> Picture:
    """Draw visible points as discs with a dark outline and occluded ones as rings.

    Convention:
        Pixels are (x, y) of the image that is drawn on, centres at integers.

    Args:
        picture: What to draw on.
        pixels: (N, 2) positions; those that are not finite are left out.
        visible: (N,) bool.
        colours: (N, 3) RGB.
        radius: Radius of a disc in pixels.
        hidden: Whether to draw occluded points.
    """
    canvas = picture.copy()
    centres, drawable = _fixed_point(pixels)
    line = max(1, round(radius / 3))
    for index in np.flatnonzero(drawable & ~visible) if hidden else ():
        ring = round(radius * (1 << SUBPIXEL_BITS))
        cv2.circle(canvas, centres[index], ring, OUTLINE, line + 1, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.circle(canvas, centres[index], ring, colours[index].tolist(), line, cv2.LINE_AA, SUBPIXEL_BITS)
    discs = (radius - EDGE_PX, radius - EDGE_PX + max(0.8, radius / 4))
    inner, outer = (round(size * (1 << SUBPIXEL_BITS)) for size in discs)
    for index in np.flatnonzero(drawable & visible):
        cv2.circle(canvas, centres[index], outer, OUTLINE, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.circle(canvas, centres[index], inner, colours[index].tolist(), -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


def draw_trails(
    picture: Picture,
    paths: NDArray[np.floating],
    visible: NDArray[np.bool_],
    colours: NDArray[np.uint8],
    thickness: int = 1,
) -> Picture:
    """Draw the recent paths of points: lines that fade with age, faint where the point was occluded.

    Args:
        picture: What to draw on.
        paths: (N, L, 2) positions, the oldest first, the current one last.
        visible: (N, L) bool.
        colours: (N, 3) RGB.
        thickness: Of the lines in pixels.
    """
    canvas = picture.copy()
    segments = paths.shape[1] - 1
    seen = visible[:, :-1] & visible[:, 1:]
    for step in range(segments):
        strength = (step + 1) / segments
        begin, end = paths[:, step], paths[:, step + 1]
        canvas = _draw_lines(canvas, begin, end, colours, ~seen[:, step], strength * HIDDEN_STRENGTH, thickness)
        canvas = _draw_lines(canvas, begin, end, colours, seen[:, step], strength, thickness)
    return canvas


def draw_mesh(
    picture: Picture,
    pixels: NDArray[np.floating],
    visible: NDArray[np.bool_],
    colours: NDArray[np.uint8],
    edges: NDArray[np.int64],
    lengths: NDArray[np.floating],
    thickness: int = 1,
) -> Picture:
    """Draw a grid as warped by the motion: lines between neighbouring points.

    Convention:
        Pixels are (x, y) of the image that is drawn on, centres at integers.

    Args:
        picture: What to draw on.
        pixels: (N, 2) positions.
        visible: (N,) bool; a line stops halfway to an occluded end, and is left out between two occluded ends.
        colours: (N, 3) RGB; a line takes the mean of its ends.
        edges: (E, 2) indices of points, from `grid_edges`.
        lengths: (E,) lengths of the edges in the query frame, in pixels of the picture; lines that have stretched to
            several times this length are left out.
        thickness: Of the lines in pixels.
    """
    begin, end = pixels[edges[:, 0]], pixels[edges[:, 1]]
    whole = visible[edges].any(1) & (np.linalg.norm(end - begin, axis=1) <= STRETCH_LIMIT * lengths)
    middle, seen = (begin + end) / 2, visible[edges]
    begin, end = np.where(seen[:, :1], begin, middle), np.where(seen[:, 1:], end, middle)
    mixed = colours[edges].astype(np.uint16).mean(1).astype(np.uint8)
    canvas = _draw_lines(picture, begin, end, np.full_like(mixed, OUTLINE), whole, 0.5, thickness + 2)
    return _draw_lines(canvas, begin, end, mixed, whole, 1.0, thickness)


def grid_edges(queries: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find neighbouring points among queries on regular grids.

    Args:
        queries: (N, 3) rows (t, x, y); the points of each frame form a separate grid.

    Returns:
        (E, 2) indices of points that are adjacent in a row or a column; empty if there is no grid.
    """
    edges: list[tuple[int, int]] = []
    rounded = np.round(queries, 2)
    for t in np.unique(rounded[:, 0]):
        rows = np.flatnonzero(rounded[:, 0] == t)
        columns = np.unique(rounded[rows, 1], return_inverse=True)[1].tolist()
        lines = np.unique(rounded[rows, 2], return_inverse=True)[1].tolist()
        cells = dict(zip(zip(columns, lines, strict=True), rows.tolist(), strict=True))
        for (column, line), index in cells.items():
            neighbours = (cells.get((column + 1, line)), cells.get((column, line + 1)))
            edges.extend((index, other) for other in neighbours if other is not None)
    return np.array(edges, np.int64).reshape(-1, 2)


def camera_motion(tracks: NDArray[np.floating], visible: NDArray[np.bool_], threshold_px: float) -> NDArray[np.float64]:
    """Estimate the dominant motion between neighbouring frames from the tracks themselves, by RANSAC.

    Convention:
        Pixels are (x, y), centres at integers.

    Args:
        tracks: (N, T, 2) positions.
        visible: (N, T) bool; only points visible in both frames vote.
        threshold_px: How far a point may be from the common motion and still follow it.

    Returns:
        (T, 3, 3): the affine map from frame t - 1 to frame t; the identity for t = 0 and where fewer than three
        points were visible.
    """
    maps = np.tile(np.eye(3), (tracks.shape[1], 1, 1))
    for t in range(1, tracks.shape[1]):
        both = visible[:, t - 1] & visible[:, t] & np.isfinite(tracks[:, t - 1 : t + 1]).all((1, 2))
        if both.sum() < 3:
            continue
        before, after = (np.ascontiguousarray(tracks[both, s], np.float64) for s in (t - 1, t))
        affine, _ = cv2.estimateAffine2D(
            before, after, method=cv2.RANSAC, ransacReprojThreshold=threshold_px, maxIters=2000, confidence=0.999
        )
        if affine is not None:
            maps[t, :2] = affine
    return maps


def without_camera(paths: NDArray[np.floating], maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move each past position with the camera to the last frame, so that static points leave no trail.

    Args:
        paths: (N, L, 2) positions, the current one last.
        maps: (L, 3, 3) from `camera_motion` for the same frames; the first one is not used.

    Returns:
        (N, L, 2) positions in the last frame.
    """
    carried = np.array(paths, np.float64)
    onward = np.eye(3)
    for step in reversed(range(paths.shape[1] - 1)):
        onward = onward @ maps[step + 1]
        carried[:, step] = paths[:, step] @ onward[:2, :2].T + onward[:2, 2]
    return carried


def _draw_lines(
    picture: Picture,
    begin: NDArray[np.floating],
    end: NDArray[np.floating],
    colours: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
    strength: float,
    thickness: int,
) -> Picture:
    """Draw lines from (N, 2) to (N, 2) for the chosen rows, blended over the picture with one strength in [0, 1]."""
    starts, drawable = _fixed_point(begin)
    stops, reachable = _fixed_point(end)
    rows = np.flatnonzero(chosen & drawable & reachable)
    if not len(rows):
        return picture
    canvas = picture.copy()
    for row in rows:
        cv2.line(canvas, starts[row], stops[row], colours[row].tolist(), thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    return np.asarray(cv2.addWeighted(canvas, strength, picture, 1 - strength, 0), np.uint8)


def _fixed_point(pixels: NDArray[np.floating]) -> tuple[list[tuple[int, int]], NDArray[np.bool_]]:
    """Convert points to OpenCV's fixed-point coordinates, and find those that can be drawn."""
    drawable = np.isfinite(pixels).all(-1) & (np.abs(np.nan_to_num(pixels)) < REACH_PX).all(-1)
    fixed = np.rint(np.where(drawable[:, None], pixels, 0) * (1 << SUBPIXEL_BITS)).astype(int)
    return [(x, y) for x, y in fixed.tolist()], drawable
