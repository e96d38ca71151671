"""Legends of a picture's colours and marks, in a small box in its lower left corner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.flow import flow_colours
from omnitrack.drawing.scale import scale_colours
from omnitrack.drawing.tracks import draw_points

LEAST_SIDE = 160  # px: smaller pictures get no legend
TEXT_HEIGHT = 0.026  # of the shorter side, at least 9 px
LARGEST_SHARE = 1 / 3  # of the picture's height, for a legend of several rows
FONT_HEIGHT_PX = 21.0  # of OpenCV's font at scale 1
PAPER, PAPER_STRENGTH, INK = (20, 20, 24), 0.65, (240, 240, 240)
EXAMPLE = np.array([[120, 200, 255]], np.uint8)  # colour of example points

Picture = NDArray[np.uint8]
Entry = tuple[Picture | None, str]


def add_legend(picture: Picture, entries: Sequence[Entry]) -> Picture:
    """Add a box of entries, each a small picture and a text; a picture that is too small stays unchanged.

    Args:
        picture: (H, W, 3) uint8 RGB.
        entries: Drawn side by side, in as many rows as needed and as fit into a third of the picture's height.
    """
    if min(picture.shape[:2]) < LEAST_SIDE or not entries:
        return picture
    cells = [_cell(mark, text, _line(picture)) for mark, text in entries]
    rows = _in_rows(cells, picture.shape[1])
    while len(rows) > 1 and sum(row.shape[0] for row in rows) > LARGEST_SHARE * picture.shape[0]:
        rows.pop()
    box = np.vstack([_widened(row, max(row.shape[1] for row in rows)) for row in rows])
    drawn = picture.copy()
    corner = drawn[-box.shape[0] :, : box.shape[1]]
    ink = box.max(-1, keepdims=True) > max(PAPER)
    corner[:] = np.where(ink, box, (1 - PAPER_STRENGTH) * corner + PAPER_STRENGTH * np.array(PAPER)).astype(np.uint8)
    return drawn


def point_entries(picture: Picture, hidden: bool) -> list[Entry]:
    """Return entries for visible points (discs) and, if `hidden`, for occluded points (rings)."""
    side = _line(picture)
    tile = np.full((side, side, 3), PAPER, np.uint8)
    middle, radius = np.array([[side / 2 - 0.5, side / 2 - 0.5]]), 0.28 * side
    marks = [draw_points(tile, middle, np.array([seen]), EXAMPLE, radius) for seen in (True, False)]
    entries: list[Entry] = list(zip(marks, ("seen", "hidden"), strict=True))
    return entries[: 1 + hidden]


def label_entries(picture: Picture, labels: Mapping[str, NDArray[np.uint8]]) -> list[Entry]:
    """Return a disc in the colour (3,) of each label."""
    side = _line(picture)
    tile = np.full((side, side, 3), PAPER, np.uint8)
    middle, seen = np.array([[side / 2 - 0.5, side / 2 - 0.5]]), np.array([True])
    return [(draw_points(tile, middle, seen, colour[None], 0.28 * side), label) for label, colour in labels.items()]


def scale_entries(picture: Picture, low: str, high: str) -> list[Entry]:
    """Return a bar of the colours from `low` to `high`."""
    side = _line(picture)
    ramp = np.broadcast_to(np.linspace(0, 1, 5 * side), (side, 5 * side))
    bar = scale_colours(ramp)
    bar[: side // 4] = bar[-(side // 4) :] = PAPER
    return [(None, low), (bar, high)]


def wheel_entries(picture: Picture, limit_px: float) -> list[Entry]:
    """Return a wheel of motion directions, with full colours at `limit_px` pixels per frame."""
    side = 3 * _line(picture)
    y, x = np.mgrid[:side, :side].astype(np.float32) * (2 / (side - 1)) - 1
    wheel = flow_colours(np.stack([x, y], -1), 1.0)
    wheel[np.hypot(x, y) > 1] = PAPER
    return [(wheel, f"motion to the next frame, rim: {limit_px:.1f} px")]


def text_height(picture: Picture) -> float:
    """Height of legible capital letters on a picture, in pixels."""
    return max(9.0, TEXT_HEIGHT * min(picture.shape[:2]))


def _line(picture: Picture) -> int:
    return round(2 * text_height(picture))


def _in_rows(cells: Sequence[Picture], width: int) -> list[Picture]:
    """Arrange cells side by side in rows no wider than the picture; a wider cell is cropped."""
    rows: list[list[Picture]] = [[]]
    for cell in cells:
        if rows[-1] and sum(other.shape[1] for other in rows[-1]) + cell.shape[1] > width:
            rows.append([])
        rows[-1].append(cell)
    return [np.hstack(row)[:, :width] for row in rows]


def _widened(row: Picture, width: int) -> Picture:
    wide = np.full((row.shape[0], width, 3), PAPER, np.uint8)
    wide[:, : row.shape[1]] = row
    return wide


def _cell(mark: Picture | None, text: str, line: int) -> Picture:
    """Draw one entry on the background of the box."""
    scale = line / 2 / FONT_HEIGHT_PX
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    height = line if mark is None else max(line, mark.shape[0])
    beside = 0 if mark is None else mark.shape[1]
    cell = np.full((height, beside + width + line, 3), PAPER, np.uint8)
    if mark is not None:
        top = (height - mark.shape[0]) // 2
        cell[top : top + mark.shape[0], line // 4 : line // 4 + beside] = mark
    at = (beside + line // 2, height // 2 + round(0.22 * line))
    cv2.putText(cell, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
    return cell
