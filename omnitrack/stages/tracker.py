"""A project that stays open to answer queries: field, flow, features and frames are read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omnitrack.closing import Closing
from omnitrack.config import fingerprint
from omnitrack.correspondence.anchors import Anchors
from omnitrack.device import cpu_threads
from omnitrack.errors import OmnitrackError
from omnitrack.memory import cache_bytes as share_for_caches
from omnitrack.memory import looks_bytes
from omnitrack.motion.field import MotionField
from omnitrack.progress import SILENT, Progress
from omnitrack.project.checkpoint import load_checkpoint, newest_checkpoint
from omnitrack.project.filtered import filtered_file
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore
from omnitrack.settings import QuerySettings, Settings
from omnitrack.stages.answer import Answer, Rows, chunks, inside_shot
from omnitrack.stages.fit import load_field
from omnitrack.stages.point_tracker import PointTracker, features_of_fit
from omnitrack.stages.prepared_grids import MOST_BYTES, PreparedGrids
from omnitrack.stages.query_checks import checked_frames, checked_pins, checked_queries
from omnitrack.tracks.tracks import Tracks

CHAINED, FUSED = "chained", "fused"
Opened = TypeVar("Opened")


def query_stamp(fit_stamp: dict[str, Any], settings: QuerySettings) -> dict[str, Any]:
    """Return what tracks are made from: the fit, and the settings of the query."""
    return make_stamp({"fit": fingerprint(fit_stamp)}, settings)


class Tracker(Closing):
    """Answers repeated queries of one project; a context manager; may be used from several threads.

    The project may change in the meantime: before each answer the tracker checks for a newer checkpoint, newer flow or
    newer reliability of its hops, and reads only what is new. Without a fit, it answers by the flow alone.

    Memory: decoded flow up to `cache_bytes`; features and blurred frames up to `omnitrack.memory.looks_bytes` each, and
    no more than 512 and 384 MB; the field; and what `prepare` keeps, no more than 128 MB.

    Args:
        project: Has flow.
        settings: Uses the tables ``query`` and ``filter``, and ``fit.threads``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Receives progress updates, and warnings of stale products.
        cache_bytes: Decoded flow to cache; None: as much as ``memory.max_gb`` allows.
        fitted: Refuse to answer without a fit.
        at_once: Do not let queries wait for lost points to be found again: only `prepare` makes that possible, frame by
            frame.

    Attributes:
        version: Increases whenever something new is read: earlier answers may then be out of date.

    Raises:
        OmnitrackError: No flow, no fit if `fitted`, or damaged files.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        device: str = "auto",
        progress: Progress = SILENT,
        cache_bytes: int | None = None,
        fitted: bool = False,
        at_once: bool = False,
    ) -> None:
        self._project, self._settings, self._device, self._progress = project, settings, device, progress
        self._fitted, self._closed = fitted, False
        self._lock, self._preparing = threading.RLock(), threading.Lock()
        self._grids = PreparedGrids(min(MOST_BYTES, looks_bytes(settings.memory.max_gb))) if at_once else None
        self.version = 0
        cache = share_for_caches(settings.memory.max_gb) if cache_bytes is None else cache_bytes
        self._fit = _Current(lambda: [newest_checkpoint(project)], self._open_fit)
        self._flows = _Current(lambda: _products(project, "flow", "hops"), lambda: FlowStore(project, cache))
        self._features = _Current(
            lambda: _products(project, "filtered", "features"), lambda: features_of_fit(project, settings)
        )
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all files and discard what was read."""
        with self._lock:
            self._closed = True
            for part in (self._fit, self._flows, self._features):
                part.close()

    @property
    def state(self) -> str:
        """ "fused" if a fitted field and the flow answer together, "chained" if the flow answers alone."""
        return CHAINED if self._fit.value is None else FUSED

    def refresh(self) -> bool:
        """Read what is new in the project; return whether anything was: earlier answers may then be out of date.

        Raises:
            OmnitrackError: As for the class, or the tracker is closed.
        """
        with self._lock:
            if self._closed:
                raise OmnitrackError("the tracker is closed", "open another one: clip.tracker()")
            changed = [part.renew() for part in (self._fit, self._flows, self._features)]  # a list: all are renewed
            if not any(changed):
                return False
            if self._grids is not None and changed[1]:
                self._grids.clear()
            field = None if self._fit.value is None else self._fit.value.field
            features = self._features.value
            grid_of = None if self._grids is None else self._grids.of
            self._points = PointTracker(self._project, field, self._flows.value, self._settings, features, grid_of)
            self.version += 1
            self._warn()
            return True

    def query(
        self,
        queries: ArrayLike,
        frames: range | None = None,
        pins: ArrayLike | None = None,
        patient: bool = False,
    ) -> Tracks:
        """Track query points through all frames: their positions, visibility and confidence.

        Convention:
            Pixels (x, y) of the original video, centres at integers. A track passes exactly through its query point
            and its pins. The query can be in any frame; the track goes both ways from it, to the cuts around it. In
            shots without a query or pin a point is not visible, its confidence is 0, and it stays where it is at the
            last cut before or, if there is none, at the first cut after.

        Args:
            queries: (N, 3) rows (t, x, y).
            frames: Frames to return; None for all.
            pins: (M, 4) rows (track, t, x, y): manual positions of tracks in further frames. The points are visible
                there, and all frames in between are recomputed.
            patient: Find all lost points again, also if the tracker answers `at_once`.

        Returns:
            The tracks; the track of a point does not depend on the other points.

        Raises:
            OmnitrackError: Queries, pins or frames outside the clip or not finite, or as for `refresh`.
        """
        rows = checked_queries(self._project, queries)
        pinned, kept = checked_pins(self._project, rows, pins), checked_frames(self._project, frames)
        with self._lock, cpu_threads(self._settings.fit.threads):
            self.refresh()
            return self._answer(self._points.patient() if patient else self._points, rows, pinned, kept)

    def prepare(self) -> bool:
        """Prepare a frame in which queries `at_once` left points lost: from then on, its lost points are found again.

        This takes about a second, and queries do not wait for it.

        Returns:
            Whether there was such a frame: then earlier answers are out of date.

        Raises:
            OmnitrackError: As for `refresh`.
        """
        with self._preparing:
            frame = None if self._grids is None else self._grids.next_wanted()
            if self._grids is None or frame is None:
                return False
            with self._lock:
                self.refresh()
                shot, flows = self._project.shot(frame), self._flows.value
                points = self._points.within(shot)
            with self._flows.in_use:
                if self._closed or flows is not self._flows.value:
                    return True
                grid = points.followed_grid(frame - shot.start)
            with self._lock:
                if flows is self._flows.value:
                    self._grids.keep(frame, grid)
                    self.version += 1
            return True

    # --- the work -----------------------------------------------------------------------------------------------
    def _answer(
        self, tracker: PointTracker, queries: NDArray[np.float32], pins: NDArray[np.float32], kept: Rows
    ) -> Tracks:
        project = self._project
        known = np.concatenate([np.column_stack([np.arange(len(queries)), queries]).astype(np.float32), pins])
        known = known[np.lexsort((known[:, 1], known[:, 0]))]  # by track and then by frame
        points, frames = known[:, 0].astype(np.int64), known[:, 1].astype(np.int64)
        pixels = project.to_working(known[:, 2:]).astype(np.float32)
        answer = Answer(len(queries), project.num_frames)
        work = [(shot, rows) for shot in project.shots for rows in chunks(points, frames, shot)]
        with self._progress.task("query", sum(len(rows) for _, rows in work), unit="points") as task:
            for shot, rows in work:
                those = np.flatnonzero(inside_shot(frames, shot) & np.isin(points, rows))
                anchors = Anchors(np.searchsorted(rows, points[those]), frames[those] - shot.start, pixels[those])
                answer.put(rows, shot, tracker.within(shot).track(anchors, task.advance))
        tracks = project.to_original(answer.pixels).astype(np.float32)
        tracks[points, frames] = known[:, 2:]
        answer.visible[points, frames] = True
        answer.confidence[points, frames] = 1
        return Tracks(
            queries=queries,
            tracks=tracks[:, kept],
            visible=answer.visible[:, kept],
            confidence=answer.confidence[:, kept],
            depth=answer.depth[:, kept],
            frames=kept,
            size=project.meta.original_size,
            fps=project.meta.fps,
            meta={"source": project.meta.source, "frames": project.meta.fingerprint, "stamp": self._stamp()},
            pins=pins,
        )

    def _open_fit(self) -> AbstractContextManager[Fit | None]:
        if newest_checkpoint(self._project) is None and not self._fitted:
            return nullcontext()
        checkpoint = load_checkpoint(self._project)
        return nullcontext(Fit(checkpoint.stamp, load_field(self._project, self._device, checkpoint)))

    def _stamp(self) -> dict[str, Any]:
        fit, settings = self._fit.value, self._settings.query
        if fit is not None:
            return query_stamp(fit.stamp, settings)
        return make_stamp({"flow": fingerprint(self._flows.value.flow_stamp)}, settings)

    def _warn(self) -> None:
        root, fit = self._project.root, self._fit.value
        filtered = fingerprint(filtered_file(self._project).stamp() or {})
        if fit is not None and fit.stamp["inputs"]["filter"] != filtered:
            self._progress.warn(f"the fit is older than the correspondences: renew it with omnitrack fit {root}")
        if self._flows.value.hops_stamp is None:
            self._progress.warn(f"the hops of the flow have not been judged: run omnitrack filter {root}")


@dataclass(frozen=True)
class Fit:
    """A fitted field, and what it is made from."""

    stamp: dict[str, Any]
    field: MotionField


class _Current(Generic[Opened]):
    """The current content of some files.

    Args:
        files: Returns their paths; a path that is None or does not exist counts as missing.
        opened: Reads the files.

    Attributes:
        value: The content.
        in_use: Held by a thread that uses the content while others may renew it: they wait before they close it.
    """

    value: Opened

    def __init__(
        self, files: Callable[[], Sequence[Path | None]], opened: Callable[[], AbstractContextManager[Opened]]
    ) -> None:
        self._files, self._opened = files, opened
        self._version: list[tuple[str, int, int] | None] | None = None
        self._stack = ExitStack()
        self.in_use = threading.Lock()

    def renew(self) -> bool:
        """Read the files again if they have changed; return whether they had. If this fails, the old content stays."""
        version = [_version(path) for path in self._files()]
        if version == self._version:
            return False
        stack = ExitStack()
        value = stack.enter_context(self._opened())
        with self.in_use:
            self._stack.close()
            self.value, self._stack, self._version = value, stack, version
        return True

    def close(self) -> None:
        with self.in_use:
            self._stack.close()


def _products(project: Project, *names: str) -> list[Path | None]:
    return [project.product_path(name) for name in names]


def _version(path: Path | None) -> tuple[str, int, int] | None:
    """Identify the content of a path: files are replaced, never modified in place."""
    if path is None:
        return None
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return str(path), found.st_ino, found.st_mtime_ns
