"""Existing tracks as a page shows them: over a project's frames, or over plain grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.stages.export import OfferedFormat, check_tracks_of, offered_formats
from omnitrack.tracks.files import FORMATS, check_tracks
from omnitrack.tracks.saving import save_as
from omnitrack.tracks.tracks import Tracks
from omnitrack.view.clip import ProjectClip, about
from omnitrack.view.points import MAX_POINTS, Point

GREY = 40  # of the background if there are no frames
MOST_ROWS = 24  # more tracks than this form one group in the page's list
USUAL_FPS = 25.0  # to play at if the tracks have no frame rate
STATE = "given"


class GivenClip:
    """The clip of existing tracks; for the methods see `omnitrack.view.clip.Clip`.

    Args:
        tracks: The tracks; if they do not all fit on a page, an even selection is shown.
        project: Provides the frames; None shows plain grey.

    Attributes:
        points: One per track that is shown.

    Raises:
        OmnitrackError: There are no tracks, they belong to another video, or the size of their video is unknown.
    """

    def __init__(self, tracks: Tracks, project: Project | None = None) -> None:
        check_tracks(tracks, "the tracks to show")
        if not tracks.visible.size:
            raise OmnitrackError("there are no tracks to show", "make some: omnitrack query PROJECT --grid 20@0")
        if project is not None:
            check_tracks_of(project, tracks, "the tracks to show")
            tracks = replace(tracks, size=project.meta.original_size)
        if not min(tracks.size):
            raise OmnitrackError(
                "the tracks do not say the size of their video", "name its project: tracks.show(PROJECT)"
            )
        self._clip = None if project is None else ProjectClip(project)
        evenly = np.linspace(0, len(tracks) - 1, min(len(tracks), MAX_POINTS)).round()
        self._shown: list[int] = np.unique(evenly.astype(int)).tolist()
        self._tracks = _through(tracks, int(tracks.frames.max()) + 1 if project is None else project.num_frames)
        names = _names(tracks, self._shown)
        self.points = tuple(_point(tracks, row, name) for row, name in zip(self._shown, names, strict=True))
        self._row_of = {point.name: row for point, row in zip(self.points, self._shown, strict=True)}

    @property
    def name(self) -> str:
        return "tracks" if self._clip is None else self._clip.name

    def formats(self) -> list[OfferedFormat]:
        return offered_formats() if self._clip is None else self._clip.formats()

    def about(self) -> dict[str, Any]:
        tracks, count = self._tracks, len(self._shown)
        title = f"{count} of {len(tracks)} tracks" if count < len(tracks) else f"{count} track{'s' * (count > 1)}"
        if self._clip is not None:
            return {**self._clip.about(), "name": f"{title} of {self.name}", "fixed": True}
        source, frames = str(tracks.meta.get("source", "")), tracks.visible.shape[1]
        return about(title, source, frames, tracks.size, tracks.fps or USUAL_FPS, (), self.formats(), fixed=True)

    def picture(self, t: int) -> Path | bytes | None:
        if self._clip is not None:
            return self._clip.picture(t)
        width, height = self._tracks.size
        return cv2.imencode(".png", np.full((height, width), GREY, np.uint8))[1].tobytes()

    def parse(self, raw: Any) -> tuple[Point, ...]:
        """Return the points that a request names."""
        rows = raw if isinstance(raw, list) else []
        asked = [str(item.get("name")) if isinstance(item, dict) else "" for item in rows]
        if not set(asked) <= set(self._row_of):
            raise OmnitrackError("these are not the tracks that are shown")
        of_name = {point.name: point for point in self.points}
        return tuple(of_name[name] for name in asked)

    def answers(self, points: Sequence[Point]) -> Tracks:
        """Return the tracks of some points through all frames."""
        rows, tracks = [self._row_of[point.name] for point in points], self._tracks
        arrays = {name: getattr(tracks, name)[rows] for name in ("queries", "tracks", "visible", "confidence", "depth")}
        pins = [(index, *pin) for index, point in enumerate(points) for pin in point.pins]
        return replace(tracks, pins=np.array(pins, np.float32).reshape(-1, 4), **arrays)

    def write(self, tracks: Tracks, names: Sequence[str], path: Path, format: str) -> None:
        if self._clip is not None:
            self._clip.write(tracks, names, path, format)
        else:
            save_as(tracks, path, format, {} if format in FORMATS else {"names": tuple(names)})

    def write_dense(self, path: Path, format: str) -> None:
        assert self._clip is not None, "without a project no dense format is offered"
        self._clip.write_dense(path, format)


class GivenPoints:
    """One fixed point per track; for the methods see `omnitrack.view.points.PointList`."""

    revision = 0

    def __init__(self, points: tuple[Point, ...]) -> None:
        self._points = points

    def get(self) -> tuple[int, tuple[Point, ...]]:
        return self.revision, self._points

    def put(self, points: tuple[Point, ...], based_on: int) -> int:
        raise OmnitrackError("these tracks are only shown", "to place points: clip.show()")


class GivenAnswers:
    """The tracks as answers; for the methods see `omnitrack.view.answers.Answers`."""

    version = 1

    def __init__(self, clip: GivenClip) -> None:
        self._clip = clip

    def ask(self, points: Sequence[Point]) -> tuple[int, Tracks]:
        return self.version, self.settled(points)

    def settled(self, points: Sequence[Point]) -> Tracks:
        return self._clip.answers(points)


class Still:
    """A constant state: nothing changes while tracks are shown; for the methods see `omnitrack.view.live.Live`."""

    def snapshot(self) -> dict[str, Any]:
        quiet = {"work": {"phase": "idle"}, "messages": [], "damage": ""}
        return {**quiet, "answers": GivenAnswers.version, "state": STATE, "points": GivenPoints.revision}


def _through(tracks: Tracks, count: int) -> Tracks:
    """Extend tracks to all frames from 0 on: untracked frames are occluded, with the position of the nearest frame."""
    nearest = np.abs(np.arange(count)[:, None] - tracks.frames[None]).argmin(axis=1)
    tracked = np.isin(np.arange(count), tracks.frames)
    return replace(
        tracks,
        tracks=tracks.tracks[:, nearest],
        visible=tracks.visible[:, nearest] & tracked,
        confidence=np.where(tracked, tracks.confidence[:, nearest], 0),
        depth=tracks.depth[:, nearest],
        frames=np.arange(count),
    )


def _names(tracks: Tracks, rows: Sequence[int]) -> list[str]:
    """Return unique names: the given ones, with numbers appended to duplicates, or numbers alone without names."""
    given = tracks.meta.get("names")
    if not isinstance(given, list) or len(given) != len(tracks):
        return [f"track {row}" for row in rows]
    bearers = Counter(map(str, given))
    return [str(given[row]) if bearers[str(given[row])] == 1 else f"{given[row]} {row}" for row in rows]


def _point(tracks: Tracks, row: int, name: str) -> Point:
    t, x, y = tracks.queries[row].tolist()
    pins = tuple((int(at), px, py) for track, at, px, py in tracks.pins.tolist() if track == row)
    return Point(name, "tracks" if len(tracks) > MOST_ROWS else "", int(t), x, y, pins)
