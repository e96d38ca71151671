"""Where to start tracks: the command line's --point, --points, --grid, --mask and --dense as rows (t, x, y); and --pin.

SPEC@t    t is a frame of the project, indexed from 0; without `@t` it is frame 0.
x,y@t     one point.
n,x,y@t   a pin: the position of track n in frame t.
N@t       a regular grid of N columns, with rows at the same spacing, centred.
M.png@t   the marked pixels of a mask: its alpha if it has transparency, else every pixel that is not black (in a
          JPEG: brighter than half).
t         every working pixel of a frame, row by row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.image_header import image_size
from omnitrack.project.project import Project
from omnitrack.tracks.query_files import read_points
from omnitrack.video.images import read_pixels

OPTIONS_HINT = "give --point X,Y@T, --points FILE, --grid N@T, --mask M.png@T or --dense T"


def build_queries(
    project: Project,
    points: Sequence[str] = (),
    points_file: str | Path | None = None,
    grids: Sequence[str] = (),
    masks: Sequence[str] = (),
    dense: Sequence[int | str] = (),
    mask_spacing: int = 1,
) -> NDArray[np.float32]:
    """Gather queries of all kinds, in the order of the arguments; a point that is given twice becomes two tracks.

    Convention:
        Pixels are (x, y) of the original video, centres at integers: a frame of width W spans x from -0.5 to W - 0.5.

    Args:
        project: The project, which defines the number and the size of the frames.
        points: Texts ``x,y@t``.
        points_file: Rows (t, x, y) as a .csv (header with t, x and y in any order, or rows t,x,y), .npy (N, 3) or .npz
            (``queries`` or ``points``), or any file of tracks.
        grids: Texts ``N@t``.
        masks: Texts ``M.png@t``; a mask has the video's size or the working size.
        dense: Frames in which every working pixel is a query.
        mask_spacing: Take the marked pixels of every n-th column and row of a mask.

    Returns:
        (N, 3) float32 rows (t, x, y).

    Raises:
        UsageError: No queries at all, or a text of the wrong form.
        OmnitrackError: A missing or damaged file, or a query outside the video.
    """
    parts = [_points(project, text) for text in points]
    if points_file is not None:
        found = read_points(Path(points_file))
        parts.append(_checked(project, found.queries, found.place))
    parts += [_grid(project, text) for text in grids]
    parts += [_mask(project, text, mask_spacing) for text in masks]
    parts += [_dense(project, frame) for frame in dense]
    if not parts:
        raise UsageError("there is nothing to track", OPTIONS_HINT)
    return np.concatenate(parts).astype(np.float32)


def build_pins(
    project: Project,
    points: Sequence[str] = (),
    points_file: str | Path | None = None,
    pins: Sequence[str] = (),
) -> NDArray[np.float32]:
    """Gather pins from a file of points and from texts.

    Args:
        project: The project, which defines the number and the size of the frames.
        points: As for `build_queries`; the tracks of the file come after them.
        points_file: As for `build_queries`; in a .csv with a column ``track`` the second and further rows of a track
            are pins.
        pins: Texts ``TRACK,x,y@t``; tracks are numbered from 0 in the order of the queries.

    Returns:
        (M, 4) float32 rows (track, t, x, y).

    Raises:
        UsageError: A text of the wrong form.
        OmnitrackError: A missing or damaged file, or a pin outside the video.
    """
    rows = []
    if points_file is not None:
        found = read_points(Path(points_file))
        _checked(project, found.pins[:, 1:], found.pin_place)
        rows.append(found.pins + np.array([len(points), 0, 0, 0]))
    rows += [_pin(project, text) for text in pins]
    return np.concatenate([np.zeros((0, 4)), *rows]).astype(np.float32)


def parse_frames(text: str, num_frames: int) -> range:
    """Return the frames of ``a:b``: from a (default 0) up to but not including b (default: to the end).

    Raises:
        UsageError: A text of the wrong form.
        OmnitrackError: An empty range, or one that ends beyond the last of `num_frames`.
    """
    match = re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", text)
    if not match:
        raise UsageError(f"--frames {text!r} is not A:B with frames counted from 0", "for example --frames 0:30")
    start, stop = int(match[1] or 0), int(match[2] or num_frames)
    if not 0 <= start < stop <= num_frames:
        raise OmnitrackError(
            f"--frames {text} has no frame or ends beyond the project's {num_frames} frames",
            f"A:B takes frame A up to but without B: at most 0:{num_frames}",
        )
    return range(start, stop)


def _points(project: Project, text: str) -> NDArray[np.float64]:
    body, frame = split_frame(text)
    try:
        x, y = (float(part) for part in body.split(","))
    except ValueError as error:
        raise UsageError(f"--point {text!r} is not X,Y@T", "for example --point 120.5,64@0") from error
    return _checked(project, np.array([[frame, x, y]]), lambda _: f"--point {text}")


def _pin(project: Project, text: str) -> NDArray[np.float64]:
    body, frame = split_frame(text)
    try:
        track, x, y = (float(part) for part in body.split(","))
    except ValueError as error:
        raise UsageError(f"--pin {text!r} is not TRACK,X,Y@T", "for example --pin 0,131.5,66@12") from error
    _checked(project, np.array([[frame, x, y]]), lambda _: f"--pin {text}")
    return np.array([[track, frame, x, y]])


def _grid(project: Project, text: str) -> NDArray[np.float64]:
    body, frame = split_frame(text)
    width, height = project.meta.original_size
    if not re.fullmatch(r"\s*\d+\s*", body) or not 1 <= int(body) <= width:
        raise UsageError(
            f"--grid {text!r} is not N@T with N columns, 1 to {width} (one per pixel)", "for example --grid 20@0"
        )
    columns = int(body)
    spacing = width / columns
    rows = max(1, round(height / spacing))
    x = (np.arange(columns) - (columns - 1) / 2) * spacing + (width - 1) / 2
    y = (np.arange(rows) - (rows - 1) / 2) * spacing + (height - 1) / 2
    return _checked(project, _rows(frame, _row_major(x, y)), lambda _: f"--grid {text}")


def _dense(project: Project, text: int | str) -> NDArray[np.float64]:
    try:
        frame = int(text)
    except ValueError as error:
        raise UsageError(f"--dense {text!r} is not a frame", "for example --dense 0") from error
    width, height = project.size
    pixels = project.to_original(_row_major(np.arange(width), np.arange(height)))
    return _checked(project, _rows(frame, pixels), lambda _: f"--dense {text}")


def read_mask(project: Project, text: str) -> tuple[NDArray[np.bool_], int]:
    """Read the mask of a text ``M.png@t``: its marked pixels (H, W), at the video's size or the working size, and t.

    Raises:
        OmnitrackError: No such frame, or an image that is missing, damaged, of another size, or without marked pixels.
    """
    body, frame = split_frame(text)
    marked = _read_mask(Path(body), project)
    size = marked.shape[::-1]
    _check_mask_size(body, size, project, size in (project.meta.original_size, project.size))
    if not marked.any():
        raise OmnitrackError(
            f"mask {body} is empty: no pixel of it is marked", "mark the object in any colour but black"
        )
    _checked(project, np.array([[frame, 0.0, 0.0]]), lambda _: f"--mask {text}")
    return marked, frame


def _mask(project: Project, text: str, spacing: int) -> NDArray[np.float64]:
    if spacing < 1:
        raise UsageError(f"a mask spacing of {spacing} is less than one pixel")
    marked, frame = read_mask(project, text)
    middle = spacing // 2
    # The lattice of kept pixels covers the whole frame, so all masks of a frame share it.
    y, x = np.nonzero(marked[middle::spacing, middle::spacing])
    pixels = np.column_stack([x, y]).astype(np.float64) * spacing + middle
    if not len(pixels):
        name = split_frame(text)[0]
        raise OmnitrackError(f"mask {name} has no marked pixel left at a spacing of {spacing}", "use a smaller spacing")
    if marked.shape[::-1] != project.meta.original_size:
        pixels = project.to_original(pixels)
    return _checked(project, _rows(frame, pixels), lambda _: f"--mask {text}")


def _check_mask_size(name: str | Path, size: tuple[int, int], project: Project, fits: bool) -> None:
    if not fits:
        allowed = " or ".join(f"{w}x{h}" for w, h in dict.fromkeys([project.meta.original_size, project.size]))
        raise OmnitrackError(f"mask {name} is {size[0]}x{size[1]}", f"give one of the frames' size: {allowed}")


def _read_mask(path: Path, project: Project) -> NDArray[np.bool_]:
    """Read the (H, W) marked pixels of an image file of any depth and number of channels."""
    if not path.is_file():
        raise OmnitrackError(f"there is no mask at {path}", "--mask is FILE@T, for example --mask cat.png@0")
    stored = image_size(path.read_bytes())  # EXIF orientation may swap its sides: only its area is known yet
    if stored is not None:
        largest = max(math.prod(project.meta.original_size), math.prod(project.size))
        _check_mask_size(path, stored, project, math.prod(stored) <= largest)
    image = read_pixels(path)
    colour, alpha = image[..., :3], image[..., 3:]
    if alpha.size and (alpha != alpha.flat[0]).any():
        return np.asarray(alpha[..., 0] != 0)
    # JPEG leaves traces of the object in the black around it.
    black = 127 if path.suffix.lower() in (".jpg", ".jpeg") else 0
    return np.asarray((colour > black).any(axis=-1))


def split_frame(text: str) -> tuple[str, int]:
    """Split ``BODY@t`` into (BODY, t); without ``@t`` return (BODY, 0).

    An @ that is not followed by a whole number belongs to the body: a mask may be named a@2x.png.
    """
    match = re.fullmatch(r"(.*)@\s*([+-]?\d+)\s*", text, re.DOTALL)
    return (match[1], int(match[2])) if match else (text, 0)


def _row_major(x: NDArray, y: NDArray) -> NDArray[np.float64]:
    """Return the (len(y) * len(x), 2) pixels of a lattice, x fastest."""
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float64)


def _rows(frame: int, pixels: NDArray) -> NDArray[np.float64]:
    return np.column_stack([np.full(len(pixels), frame, np.float64), pixels])


def _checked(project: Project, rows: NDArray[np.float64], describe: Callable[[int], str]) -> NDArray[np.float64]:
    """Return the rows (t, x, y) unchanged, or raise an error that names the first one that is not in the video."""
    width, height = project.meta.original_size
    last = project.num_frames - 1
    t, x, y = rows.T
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    checks: Iterable[tuple[NDArray, str]] = (
        (finite, "has a number that is not finite"),
        (t == np.floor(t), "has a frame that is not a whole number"),
        ((t >= 0) & (t <= last), f"is on a frame that the project lacks: its frames are 0 to {last}"),
        (
            (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5),
            f"is outside of the frame of {width}x{height}: x is -0.5 to {width - 0.5}, y is -0.5 to {height - 0.5}",
        ),
    )
    for good, cause in checks:
        if not good.all():
            index = int(np.argmin(good))
            row_t, row_x, row_y = rows[index]
            raise OmnitrackError(
                f"{describe(index)} (t={row_t:g}, x={row_x:g}, y={row_y:g}) {cause}",
                "a query is frame t and pixel x, y of the original video, all counted from 0",
            )
    return rows
