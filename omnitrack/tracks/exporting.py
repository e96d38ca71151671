"""From `Tracks` to files of other programs: number the frames, treat occluded points, then write with a format."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError
from omnitrack.export.contract import HIDDEN, HOLD, MARK, ExportFormat, Trajectories
from omnitrack.export.formats import writer
from omnitrack.tracks.files import check_tracks
from omnitrack.tracks.tracks import Tracks


@dataclass(frozen=True)
class Footage:
    """The frames of a project within the footage that other programs open.

    Attributes:
        positions: Index of each project frame in the whole video, from 0.
        numbers: Number of each frame's image in its series; None for a video file.
        size: (width, height) in pixels.
        fps: Frames per second of the whole video.
        images: One PNG file per frame; empty if there are none.
    """

    positions: NDArray[np.int64]
    numbers: NDArray[np.int64] | None
    size: tuple[int, int]
    fps: float
    images: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        first_frame: Number of the project's first frame; the other frames keep their distances from it. None for the
            numbers of an image series, if the format uses them, else the format's numbering of the whole video.
        hidden: ``drop``, ``hold`` or ``mark``, for occluded points; None for the format's default.
        min_confidence: Points with a lower confidence count as occluded.
        names: One per track; () for ``track_0000`` and so on.
        scale: Units per pixel.
        unit: Unit of lengths.
        footage: Positions of the project's frames in the video; None if both have the same indices.
    """

    first_frame: int | None = None
    hidden: str | None = None
    min_confidence: float = 0.0
    names: tuple[str, ...] = ()
    scale: float = 1.0
    unit: str = "px"
    footage: Footage | None = None


def export_tracks(
    tracks: Tracks, path: Path | None, format: ExportFormat, options: ExportOptions | None = None
) -> None:
    """Write tracks in the format of another program, to standard output or to a file that is complete or absent.

    Args:
        tracks: N tracks over T frames.
        path: The file; missing parents are created. None writes to standard output.
        format: From `omnitrack.export.formats.get_format`.
        options: Options of the export; None for the defaults.

    Raises:
        OmnitrackError: An option is unsupported, the video's size or rate is unknown, or the file cannot be written.
    """
    pieces = writer(format)(trajectories(tracks, format, options or ExportOptions()))
    if path is None:
        sys.stdout.flush()
        for piece in pieces:
            if isinstance(piece, bytes) and sys.stdout.isatty():
                raise OmnitrackError(
                    f"{format.name} is binary and standard output is a terminal",
                    f"name a file: -o tracks{format.suffix}",
                )
            sys.stdout.buffer.write(_encoded(piece))
        sys.stdout.buffer.flush()
        return
    with atomic_path(path) as part, part.open("wb") as file:
        for piece in pieces:
            file.write(_encoded(piece))


def trajectories(tracks: Tracks, format: ExportFormat, options: ExportOptions | None = None) -> Trajectories:
    """Prepare tracks as the input of a format's function.

    Raises:
        OmnitrackError: As in `export_tracks`.
    """
    asked = options or ExportOptions()
    check_tracks(tracks, "the tracks to export")
    _check(tracks, format, asked)
    footage = asked.footage or Footage(tracks.frames, None, tracks.size, tracks.fps)
    rows = tracks.frames if asked.footage else np.arange(len(tracks.frames))
    if len(rows) and rows[-1] >= len(footage.positions):
        raise OmnitrackError(
            f"the tracks mention frame {rows[-1]}, the project has {len(footage.positions)}",
            "name the tracks of this project: --tracks FILE",
        )
    for need, value in (("size", min(footage.size)), ("fps", footage.fps)):
        if need in format.needs and not value:
            raise OmnitrackError(f"{format.name} needs the {need} of the video, which the tracks do not say", _KNOWN)
    hidden = asked.hidden or format.hidden[0]
    visible = tracks.visible & (tracks.confidence >= asked.min_confidence)
    points = tracks.tracks.astype(np.float64)
    if hidden == HOLD:
        points = _held(points, visible)
    return Trajectories(
        points=points * asked.scale,
        written=np.ones_like(visible) if hidden in (HOLD, MARK) else visible,
        visible=visible,
        confidence=np.where(visible, tracks.confidence, 0),
        queries=np.column_stack([np.searchsorted(tracks.frames, tracks.queries[:, 0]), tracks.queries[:, 1:]]),
        frames=tracks.frames,
        numbers=_numbers(tracks, format, asked),
        seconds=footage.positions[rows] / footage.fps if footage.fps else np.full(len(rows), np.nan),
        names=asked.names or tuple(f"track_{row:04d}" for row in range(len(tracks))),
        size=footage.size,
        fps=footage.fps,
        scale=asked.scale,
        unit=asked.unit,
        images=tuple(footage.images[row].read_bytes() for row in rows.tolist())
        if format.images and footage.images
        else (),
    )


_KNOWN = "export from the project that they are of: omnitrack export PROJECT --tracks FILE"


def _check(tracks: Tracks, format: ExportFormat, asked: ExportOptions) -> None:
    if not tracks.visible.size:
        raise OmnitrackError("there are no tracks to export", "make some: omnitrack query PROJECT --grid 20@0")
    if asked.hidden is not None and asked.hidden not in format.hidden:
        known = asked.hidden in HIDDEN
        what = f"{format.name} cannot {asked.hidden} hidden points" if known else f"there is no {asked.hidden!r}"
        raise OmnitrackError(what, f"choose --hidden {' or '.join(format.hidden)}")
    if (asked.scale, asked.unit) != (1.0, "px") and not format.units:
        raise OmnitrackError(f"{format.name} is in pixels and has no other unit", "leave out --scale and --unit")
    if not (0 < asked.scale < np.inf) or (asked.scale != 1.0) != (asked.unit != "px"):
        raise OmnitrackError(
            f"{asked.scale:g} {asked.unit} per pixel is not a scale", "give both: --scale 0.325 --unit um"
        )
    if not 0 <= asked.min_confidence <= 1:
        raise OmnitrackError(f"{asked.min_confidence:g} is not a confidence", "give one from 0 to 1")
    if format.count not in (None, len(tracks)):
        raise OmnitrackError(
            f"{format.name} takes {format.count} tracks, not {len(tracks)}",
            f"query {format.count} points: omnitrack query PROJECT --point X,Y@T ...",
        )
    names = asked.names
    if names and (len(names) != len(tracks) or len(set(names)) < len(names) or not all(map(str.isprintable, names))):
        raise OmnitrackError(
            f"{len(names)} names, {len(set(names))} of them different, for {len(tracks)} tracks",
            "give one printable name a track: --names left,right",
        )


def _numbers(tracks: Tracks, format: ExportFormat, asked: ExportOptions) -> NDArray[np.int64]:
    """Return (T,) frame numbers of the format."""
    footage = asked.footage
    if footage is None:
        first = format.first_frame if asked.first_frame is None else asked.first_frame
        return tracks.frames + first
    numbered = format.series_numbers and footage.numbers is not None
    numbers = footage.numbers if numbered and footage.numbers is not None else footage.positions + format.first_frame
    return (
        numbers[tracks.frames] if asked.first_frame is None else numbers[tracks.frames] - numbers[0] + asked.first_frame
    )


def _held(points: NDArray[np.float64], visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Hold occluded points (N, T, 2) at their last visible position.

    Before its first visible frame a point has its position in that frame; a point that is never visible is unchanged.
    """
    columns = np.arange(visible.shape[1])
    last = np.maximum.accumulate(np.where(visible, columns, -1), axis=1)
    held = np.where(last < 0, visible.argmax(1)[:, None], last) if visible.size else last
    kept = np.take_along_axis(points, held[..., None], 1)
    seen: NDArray[np.bool_] = np.asarray(visible.any(axis=1))
    return np.where(seen[:, None, None], kept, points)


def _encoded(piece: str | bytes) -> bytes:
    return piece.encode() if isinstance(piece, str) else piece
