"""Long-range matches: of frames too far apart for flow, what their features say is the same."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from omnitrack.config import fingerprint
from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.features import NONE
from omnitrack.correspondence.match_refinement import refine_by_patches
from omnitrack.correspondence.matching import FrameCells, calibrated, distinctive_cells, match_cells
from omnitrack.device import pick_device
from omnitrack.memory import looks_bytes
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.match_store import Rows, matches_file, read_matches, write_matches
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import MatchSettings, Settings
from omnitrack.units import raster_scale

STAGE = "matching"  # and the table of its settings


@dataclass(frozen=True)
class MatchReport:
    """What `find_matches` did.

    Attributes:
        frame_pairs: Pairs of frames that were compared.
        matched_pairs: Of these, pairs with at least one match.
        matches: Of all pairs.
        median_similarity: Of the matches; None where there are none.
        seconds: Wall time.
    """

    frame_pairs: int
    matched_pairs: int
    matches: int
    median_similarity: float | None
    seconds: float


def match_stamp(features_stamp: dict[str, Any] | None, settings: Settings) -> dict[str, Any] | None:
    """What the matches of a project with these features are made from; None where the settings want none.

    Limits of 0 are part of it by what they stand for.
    """
    if not settings.matching.enabled or settings.features.extractor == NONE:
        return None
    limits = asdict(calibrated(settings.matching, settings.features.extractor))
    inputs = {"features": fingerprint(features_stamp), "limits": fingerprint(limits)}
    return make_stamp(inputs, settings.matching)


@writes("filter")
def find_matches(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> MatchReport:
    """Match the features of frames that are far apart; what is there already is kept.

    Args:
        project: Has features, where the settings want matches; where they do not, matches that are there are removed.
        settings: Uses the tables ``features`` and ``matching``.
        progress: Hears of it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: No features, damaged data, or a full disk.
    """
    begin = time.perf_counter()
    if match_stamp({}, settings) is None:
        matches_file(project).remove()
        return MatchReport(0, 0, 0, None, time.perf_counter() - begin)
    looks = looks_bytes(settings.memory.max_gb)
    with FeatureStore(project, looks) as features:
        stamp = match_stamp(features.stamp, settings)
        if stamp is not None and matches_file(project).stamp() != stamp:
            limits = calibrated(settings.matching, settings.features.extractor)
            _match_all(project, _Matching(project, features, limits, pick_device(device), looks), stamp, progress)
    rows = read_matches(project)
    return MatchReport(
        frame_pairs=sum(len(t) for t in _later_in_shots(project, settings.matching)),
        matched_pairs=len(np.unique(rows[:, [0, 3]], axis=0)),
        matches=len(rows),
        median_similarity=float(np.median(rows[:, 6])) if len(rows) else None,
        seconds=time.perf_counter() - begin,
    )


def _later_in_shots(project: Project, settings: MatchSettings) -> list[list[int]]:
    return [[shot[t] for t in later] for shot in project.shots for later in later_frames(len(shot), settings)]


def later_frames(num_frames: int, settings: MatchSettings) -> list[list[int]]:
    """For every frame of a shot the later ones that it is matched with.

    All that are far enough, where there are no more than `pairs_per_frame` for any frame; else as many, at distances
    that grow by an even factor from the least to the whole clip, so that the pairs of a clip of T frames are at most T
    times as many.
    """
    nearest, farthest = settings.least_gap, num_frames - 1
    if farthest - nearest < settings.pairs_per_frame:
        gaps = np.arange(nearest, farthest + 1)
    else:
        gaps = np.unique(np.rint(np.geomspace(nearest, farthest, settings.pairs_per_frame)).astype(int))
    return [[frame + int(gap) for gap in gaps if frame + gap < num_frames] for frame in range(num_frames)]


def _match_all(project: Project, work: _Matching, stamp: dict[str, Any], progress: Progress) -> None:
    begin = time.perf_counter()
    parts = matches_file(project).parts(stamp, progress)
    done = set(parts.done())
    with progress.task(STAGE, project.num_frames, done=len(done), unit="frames") as task, torch.no_grad():
        for source in range(project.num_frames):
            if source not in done:
                parts.write(source, partial(work.write, source=source))
                task.advance()
    parts.merge(stamp, map(frame_name, work.sources), time.perf_counter() - begin)


class _Matching:
    """Matches one source frame at a time with all of its later frames."""

    def __init__(
        self,
        project: Project,
        features: FeatureStore,
        limits: MatchSettings,
        device: torch.device,
        frames_bytes: int,
    ) -> None:
        self._features, self._limits, self._device = features, limits, device
        self._size = project.size
        self._later = _later_in_shots(project, limits)
        self._patches = FramePatches(project.frame, project.size, frames_bytes)
        self._distinctive: dict[int, Tensor] = {}  # kept: it costs as much as a pair, and takes little space

    @property
    def sources(self) -> list[int]:
        """Frames that have later ones to be matched with."""
        return [source for source, later in enumerate(self._later) if later]

    def write(self, file: h5py.File, source: int) -> None:
        """The job of one source frame, for `Parts.write`."""
        if self._later[source]:
            here = self._cells(source)
            write_matches(file, source, np.concatenate([self._rows(source, here, t) for t in self._later[source]]))

    def _cells(self, frame: int) -> FrameCells:
        values = torch.tensor(self._features.features(frame), device=self._device)
        if frame not in self._distinctive:
            self._distinctive[frame] = distinctive_cells(values, self._limits)
        return FrameCells(values.flatten(0, 1), self._features.grid, self._distinctive[frame])

    def _rows(self, source: int, here: FrameCells, target: int) -> Rows:
        found = match_cells(here, self._cells(target), self._size, self._limits)
        every = -(-len(found) // self._limits.matches_per_pair)  # they are in the order of their cells, row by row
        found = found[:: max(1, every)]
        pixels = found.source.cpu().numpy(), found.target.cpu().numpy()
        if self._limits.patch_steps:
            step_px = raster_scale(self._size)
            pixels = refine_by_patches(self._patches, source, target, pixels, step_px, self._limits.patch_steps)
        ends = [(np.full(len(found), frame), at) for frame, at in zip((source, target), pixels, strict=True)]
        columns = [*ends[0], *ends[1], found.similarity.cpu().numpy()]
        return np.asarray(np.column_stack(columns), np.float32)
