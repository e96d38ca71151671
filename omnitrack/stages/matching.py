"""Long-range matches between frames too far apart for flow, found by comparing their features."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from omnitrack.config import fingerprint
from omnitrack.correspondence.features import NONE
from omnitrack.correspondence.match_limits import calibrated
from omnitrack.memory import looks_bytes
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.match_store import matches_file, read_matches
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import MatchSettings, Settings

if TYPE_CHECKING:
    from omnitrack.stages.match_frames import FrameMatcher

STAGE = "matching"  # also the name of its table of settings


@dataclass(frozen=True)
class MatchReport:
    """What `find_matches` did.

    Attributes:
        frame_pairs: Number of frame pairs that were compared.
        matched_pairs: Number of frame pairs with at least one match.
        matches: Number of matches of all pairs.
        median_similarity: Median over all matches; None if there are none.
        seconds: Wall time.
    """

    frame_pairs: int
    matched_pairs: int
    matches: int
    median_similarity: float | None
    seconds: float


def match_stamp(features_stamp: dict[str, Any] | None, settings: Settings) -> dict[str, Any] | None:
    """Return what the matches of a project with these features are made from; None if the settings want no matches.

    Limits of 0 are recorded as the values of the extractor that they stand for.
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
    """Match the features of frames that are far apart; up-to-date matches are kept.

    Args:
        project: Has features if the settings want matches; if they want none, existing matches are removed.
        settings: Uses the tables ``features`` and ``matching``.
        progress: Receives progress updates and messages.
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
            from omnitrack.stages.match_frames import FrameMatcher  # only what needs torch imports it

            later = _later_in_shots(project, limits)
            _match_all(project, FrameMatcher(project, later, features, limits, device, looks), stamp, progress)
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
    """Return the later frames that each frame of a shot is matched with.

    These are all frames that are far enough away, if no frame has more than `pairs_per_frame` of them. Otherwise there
    are at most `pairs_per_frame`, at distances in geometric progression from the smallest gap to the whole shot. A
    shot of T frames thus has at most T times `pairs_per_frame` pairs.
    """
    nearest, farthest = settings.least_gap, num_frames - 1
    if farthest - nearest < settings.pairs_per_frame:
        gaps = np.arange(nearest, farthest + 1)
    else:
        gaps = np.unique(np.rint(np.geomspace(nearest, farthest, settings.pairs_per_frame)).astype(int))
    return [[frame + int(gap) for gap in gaps if frame + gap < num_frames] for frame in range(num_frames)]


def _match_all(project: Project, matcher: FrameMatcher, stamp: dict[str, Any], progress: Progress) -> None:
    begin = time.perf_counter()
    parts = matches_file(project).parts(stamp, progress)
    done = set(parts.done())
    with progress.task(STAGE, project.num_frames, done=len(done), unit="frames") as task:
        for source in range(project.num_frames):
            if source not in done:
                parts.write(source, partial(matcher.write, source=source))
                task.advance()
    parts.merge(stamp, map(frame_name, matcher.sources), time.perf_counter() - begin)
