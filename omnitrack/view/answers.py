"""Where the placed points go, by a tracker that is opened once and stays open."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.tracks.tracks import Tracks
from omnitrack.view.points import Point, as_rows

if TYPE_CHECKING:
    from omnitrack.stages.tracker import Tracker

WAITING = "waiting"  # for the flow: what can answer later is in `Tracker.state`


class Answers:
    """Answers from the moment on when there is flow; may be used from several threads.

    Args:
        project: May still be without flow.
        settings: As for `Tracker`.
        device: As for `Tracker`.
        progress: Hears what is stale.

    Attributes:
        damage: Why the project cannot be read now; empty where it can.
    """

    def __init__(self, project: Project, settings: Settings, device: str, progress: Progress = SILENT) -> None:
        self._project, self._settings, self._device, self._progress = project, settings, device, progress
        self._lock = threading.Lock()
        self._tracker: Tracker | None = None
        self._warm = 0  # the version that has answered once
        self.damage = ""

    @property
    def version(self) -> int:
        """Grows whenever there is something new to answer from; 0 while there is nothing."""
        return 0 if self._tracker is None else self._tracker.version

    @property
    def state(self) -> str:
        """waiting (for the flow), chained (the flow answers alone) or fused (field and flow together)."""
        return WAITING if self._tracker is None else self._tracker.state

    def look(self) -> None:
        """Read what is new in the project, if anything is, and all that the next click would wait for."""
        try:
            tracker = self._opened()
            tracker.refresh()
            if tracker.version != self._warm:
                self._warm = tracker.version
                tracker.query([(0, 0, 0)])
            self.damage = ""
        except UnavailableError:
            pass  # not there yet, or in use for a moment
        except OmnitrackError as error:
            self.damage = error.message

    def ask(self, points: Sequence[Point]) -> tuple[int, Tracks]:
        """The version that answers, and the N tracks through all frames.

        Raises:
            UnavailableError: There is no flow yet.
            OmnitrackError: As for `Tracker.query`.
        """
        tracker = self._opened()
        queries, pins = as_rows(points)
        version = tracker.version  # before: an answer may be newer than it says, and is asked again then
        tracks = tracker.query(queries, pins=pins)
        return version, replace(tracks, meta={**tracks.meta, "names": [point.name for point in points]})

    def close(self) -> None:
        """Close the tracker."""
        with self._lock:
            if self._tracker is not None:
                self._tracker.close()

    def _opened(self) -> Tracker:
        with self._lock:
            if self._tracker is None:
                if not self._project.product_path("flow").exists():
                    raise UnavailableError("the flow is not measured yet", "the answer comes when it is")
                from omnitrack.stages.tracker import Tracker  # with torch: seconds, in which the page is up already

                # lost points are found again by `query`: looking for them takes longer than a click may
                self._tracker = Tracker(self._project, self._settings, self._device, self._progress, find_lost=False)
            return self._tracker


def packed(tracks: Tracks) -> bytes:
    """(N, T, 4) little-endian float32: x and y in pixels of the original video, visible (0 or 1), confidence."""
    parts = (tracks.tracks, tracks.visible[..., None], tracks.confidence[..., None])
    return np.concatenate(parts, axis=-1).astype("<f4").tobytes()
