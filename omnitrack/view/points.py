"""The points that the user placed, as the page sends them and as the project's ``view.json`` stores them."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError
from omnitrack.project.kept import keep
from omnitrack.project.project import Project

FORMAT = 1
MAX_POINTS = 4096  # on one page
MAX_NAME = 80  # characters
FILE_NAME = "view.json"


@dataclass(frozen=True)
class Point:
    """A point to track.

    Convention:
        Pixels are (x, y) of the original video, x right, y down, centres at integers.

    Attributes:
        name: The user's name for the point.
        group: Name of the grid or mask that it was placed with; empty for a single point.
        t: Frame in which the point was placed.
        x: Its x coordinate in that frame.
        y: Its y coordinate in that frame.
        pins: Rows (t, x, y): its positions in other frames, set by hand.
    """

    name: str
    group: str
    t: int
    x: float
    y: float
    pins: tuple[tuple[int, float, float], ...] = ()


class Conflict(OmnitrackError):
    """Another page has changed the points meanwhile."""


class PointList:
    """The points of a project's page; may be used from several threads.

    Args:
        project: The project that stores them.

    Attributes:
        revision: Increases with every change.

    Raises:
        OmnitrackError: ``view.json`` is damaged, or of another version.
    """

    def __init__(self, project: Project) -> None:
        self._project, self._path = project, project.root / FILE_NAME
        self._lock = threading.Lock()
        self.revision = 0
        self._points = self._read()

    def get(self) -> tuple[int, tuple[Point, ...]]:
        """Return the revision and the points."""
        with self._lock:
            return self.revision, self._points

    def put(self, points: tuple[Point, ...], based_on: int) -> int:
        """Replace the points, also in the file.

        Args:
            points: The complete new list.
            based_on: The revision that the new list is based on.

        Returns:
            The new revision.

        Raises:
            Conflict: That revision is not the latest.
            OmnitrackError: The file cannot be written.
        """
        with self._lock:
            if based_on != self.revision:
                raise Conflict("another page has changed the points", "look at them, and do it again")
            content = {"omnitrack_view": FORMAT, "points": [asdict(point) for point in points]}
            with atomic_path(self._path) as part:
                part.write_text(json.dumps(content) + "\n", encoding="utf-8")
            keep(self._path)
            self._points = points
            self.revision += 1
            return self.revision

    def _read(self) -> tuple[Point, ...]:
        if not self._path.exists():
            return ()
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("omnitrack_view") != FORMAT:
                raise OmnitrackError("it is of another version")
            return parse_points(content.get("points"), self._project)
        except (OSError, ValueError, RecursionError, OmnitrackError) as error:
            raise OmnitrackError(
                f"{self._path} cannot be read: {error}", "move it away, and the page begins without points"
            ) from error


def parse_points(raw: Any, project: Project) -> tuple[Point, ...]:
    """Parse and check points from plain JSON values.

    Raises:
        OmnitrackError: Anything other than points inside the video, or more than `MAX_POINTS` of them.
    """
    if not isinstance(raw, list) or len(raw) > MAX_POINTS:
        raise OmnitrackError(f"the points are not a list of at most {MAX_POINTS}", "remove some points")
    return tuple(_point(item, project) for item in raw)


def _point(raw: Any, project: Project) -> Point:
    if not isinstance(raw, dict) or not isinstance(raw.get("pins", []), list):
        raise OmnitrackError("a point is not an object with t, x, y and pins")
    place = _place([raw.get("t"), raw.get("x"), raw.get("y")], project)
    pins = sorted(_place(pin, project) for pin in raw.get("pins", []))
    frames = [place[0], *(pin[0] for pin in pins)]
    if len(set(frames)) < len(frames):
        raise OmnitrackError("a point has two places in one frame", "a pin is in another frame than the point")
    return Point(_name(raw.get("name")), _name(raw.get("group", "")), *place, tuple(pins))


def _name(raw: Any) -> str:
    if not isinstance(raw, str) or len(raw) > MAX_NAME or not raw.isprintable():
        raise OmnitrackError(f"a name is not a line of at most {MAX_NAME} characters", "give it another name")
    return raw


def _place(raw: Any, project: Project) -> tuple[int, float, float]:
    numbers = isinstance(raw, list) and len(raw) == 3 and all(_is_number(value) for value in raw)
    if not numbers:
        raise OmnitrackError("a place is not three numbers t, x, y")
    t, x, y = raw
    width, height = project.meta.original_size
    if t != int(t) or not 0 <= t < project.num_frames:
        raise OmnitrackError(f"frame {t:g} is not in the clip", f"its frames are 0 to {project.num_frames - 1}")
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise OmnitrackError(f"({x:g}, {y:g}) is outside the video", f"it is {width}x{height} pixels")
    return int(t), float(x), float(y)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -1e9 < value < 1e9 and math.isfinite(value)  # an int may be too large for a float


def as_rows(points: Sequence[Point]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return queries (N, 3) with rows (t, x, y), and pins (M, 4) with rows (track, t, x, y)."""
    queries = np.array([(point.t, point.x, point.y) for point in points], np.float32).reshape(-1, 3)
    pins = [(index, *pin) for index, point in enumerate(points) for pin in point.pins]
    return queries, np.array(pins, np.float32).reshape(-1, 4)
