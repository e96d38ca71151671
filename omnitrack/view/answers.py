"""Tracks of the placed points, from a tracker that is opened once and stays open."""

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

WAITING = "waiting"  # for the flow; once it exists, the state is `Tracker.state`


class Answers:
    """Answers queries as soon as the project has flow; may be used from several threads.

    Args:
        project: The project; it may not have flow yet.
        settings: As for `Tracker`.
        device: As for `Tracker`.
        progress: Receives messages about stale products.

    Attributes:
        damage: Why the project cannot be read at the moment; empty if it can.
    """

    def __init__(self, project: Project, settings: Settings, device: str, progress: Progress = SILENT) -> None:
        self._project, self._settings, self._device, self._progress = project, settings, device, progress
        self._lock = threading.Lock()
        self._tracker: Tracker | None = None
        self._warm = 0  # the latest version that has answered a query
        self.damage = ""

    @property
    def version(self) -> int:
        """Increases whenever new data can change the answers; 0 while there is none."""
        return 0 if self._tracker is None else self._tracker.version

    @property
    def state(self) -> str:
        """waiting (for the flow), chained (answers from the flow alone) or fused (from field and flow)."""
        return WAITING if self._tracker is None else self._tracker.state

    def look(self) -> None:
        """Read new data of the project, if any, and run a first query so that the next click does not wait.

        If the queried corner of frame 0 is lost somewhere, frame 0, where most points are placed, is prepared, too.
        """
        try:
            tracker = self._opened()
            tracker.refresh()
            if tracker.version != self._warm:
                self._warm = tracker.version
                tracker.query([(0, 0, 0)])
            self.damage = ""
        except UnavailableError:
            pass  # no flow yet, or briefly in use
        except OmnitrackError as error:
            self.damage = error.message

    def ask(self, points: Sequence[Point], patient: bool = False) -> tuple[int, Tracks]:
        """Return the version that answers, and the N tracks through all frames; for `patient` see `Tracker.query`.

        Raises:
            UnavailableError: There is no flow yet.
            OmnitrackError: As for `Tracker.query`.
        """
        tracker = self._opened()
        queries, pins = as_rows(points)
        version = tracker.version  # read first: if the answer is newer than its version, it is asked for again
        tracks = tracker.query(queries, pins=pins, patient=patient)
        return version, replace(tracks, meta={**tracks.meta, "names": [point.name for point in points]})

    def settled(self, points: Sequence[Point]) -> Tracks:
        """Return the tracks as `omnitrack query` would: lost points are found again before, which may take seconds.

        Raises:
            OmnitrackError: As for `ask`.
        """
        self.ask(points)
        while self.prepare():  # other answers do not wait for that
            pass
        return self.ask(points, patient=True)[1]

    def prepare(self) -> bool:
        """Prepare to find lost points again in a frame where answers left some; return whether there was one.

        Raises:
            OmnitrackError: As for `omnitrack.stages.tracker.Tracker.prepare`.
        """
        return self._tracker is not None and self._tracker.prepare()

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
                from omnitrack.stages.tracker import Tracker  # imports torch: seconds, but the page is up

                self._tracker = Tracker(self._project, self._settings, self._device, self._progress, at_once=True)
            return self._tracker


def packed(tracks: Tracks) -> bytes:
    """Pack tracks as (N, T, 4) little-endian float32: x, y in pixels of the original video, visible, confidence."""
    parts = (tracks.tracks, tracks.visible[..., None], tracks.confidence[..., None])
    return np.concatenate(parts, axis=-1).astype("<f4").tobytes()
