"""Features of every frame: extracted once, kept in ``products/features.h5``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.config import as_dict
from omnitrack.correspondence.features import NONE, open_extractor
from omnitrack.correspondence.features.contract import FeatureExtractor, check_features
from omnitrack.device import pick_device
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import THRESHOLD, FeatureStore, features_file, write_features
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.parts import Parts
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import FeatureSettings, Settings

Features = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureReport:
    """What `compute_features` did.

    Attributes:
        extractor: Name of the extractor; ``none`` if the settings ask for no features.
        frames: Number of frames with features.
        computed: Number of frames whose features this call computed.
        grid: (h, w) cells of a map.
        channels: Features per cell.
        threshold: Cosine similarity below which the appearance check rejects.
        seconds: Wall time.
        bytes: Size of the features on disk.
    """

    extractor: str
    frames: int
    computed: int
    grid: tuple[int, int]
    channels: int
    threshold: float
    seconds: float
    bytes: int


def features_stamp(project: Project, settings: FeatureSettings, extractor: FeatureExtractor) -> dict[str, Any]:
    """Return the stamp of a project's features: its frames, the weights, and the settings that affect them."""
    used = as_dict(settings)
    del used["weights"], used["block"]  # the extractor's identity covers both
    if settings.extractor != "onnx":
        del used["onnx"]
    return make_stamp({"frames": project.meta.fingerprint, "weights": extractor.identity}, used)


def wanted_features(project: Project, settings: FeatureSettings) -> dict[str, Any] | None:
    """Return the stamp of the features that the settings ask for; None if they ask for none.

    Raises:
        OmnitrackError: An unknown extractor, or no file of weights.
    """
    if settings.extractor == NONE:
        return None
    return features_stamp(project, settings, open_extractor(settings))


@writes("filter")
def compute_features(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> FeatureReport:
    """Extract the features of every frame once; existing ones, also those of an interrupted run, are kept.

    Args:
        project: The project.
        settings: Uses the table ``features``; does nothing if its extractor is none.
        progress: Receives progress updates and messages.
        device: For extractors that use torch: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: An unknown extractor, a missing extra or weights, a failing extractor, or a full disk.
    """
    begin = time.perf_counter()
    if settings.features.extractor == NONE:
        return FeatureReport(NONE, 0, 0, (0, 0), 0, 0.0, 0.0, 0)
    extractor = open_extractor(settings.features, str(pick_device(device)), progress)
    stamp = features_stamp(project, settings.features, extractor)
    computed = 0
    if not _stored(project, stamp, progress):
        parts = features_file(project).parts(stamp, progress)
        computed = _compute_missing(project, extractor, parts, progress)
        frames = map(frame_name, range(project.num_frames))
        parts.merge(stamp, frames, time.perf_counter() - begin, attrs={THRESHOLD: extractor.threshold})
    with FeatureStore(project) as store:
        height, width = store.grid
        return FeatureReport(
            extractor=settings.features.extractor,
            frames=project.num_frames,
            computed=computed,
            grid=store.grid,
            channels=store.channels,
            threshold=settings.filter.feature_threshold or extractor.threshold,
            seconds=time.perf_counter() - begin,
            bytes=project.num_frames * height * width * store.channels * np.dtype(np.float16).itemsize,
        )


def _stored(project: Project, stamp: dict[str, Any], progress: Progress) -> bool:
    """Return whether the features with this stamp are stored and complete."""
    found = features_file(project).stamp()
    if found is None:
        return False
    if found != stamp:
        progress.note("the features that are there were made from other frames, settings or weights: extracting anew")
        return False
    try:
        FeatureStore(project).close()
    except DamagedError as error:
        features_file(project).set_aside(error.message, progress)
        return False
    return True


def _compute_missing(project: Project, extractor: FeatureExtractor, parts: Parts, progress: Progress) -> int:
    """Write the features of the frames that have none, one file per frame; return their number."""
    done = set(parts.done())
    missing = [frame for frame in range(project.num_frames) if frame not in done]
    first: Features | None = None
    with progress.task("features", project.num_frames, done=len(done), unit="frames") as task:
        for start in range(0, len(missing), extractor.batch_frames):
            batch = missing[start : start + extractor.batch_frames]
            for frame, features in zip(batch, _extract(extractor, project, batch), strict=True):
                first = features if first is None else first
                if features.shape != first.shape:
                    raise _failure(extractor, frame, f"returned {features.shape} after {first.shape} for another frame")
                parts.write(frame, partial(write_features, frame=frame, features=features))
                task.advance()
    return len(missing)


def _extract(extractor: FeatureExtractor, project: Project, batch: list[int]) -> list[Features]:
    frames = [project.frame(frame) for frame in batch]
    try:
        found = [np.asarray(features, np.float32) for features in extractor.extract(frames)]
    except (OmnitrackError, MemoryError):
        raise
    except Exception as error:  # a plug-in can fail in any way; the frame and its name are what the user needs
        raise _failure(extractor, batch[0], f"failed: {error}") from error
    if len(found) != len(batch):
        raise _failure(extractor, batch[0], f"returned {len(found)} maps for {len(batch)} frames")
    for frame, features in zip(batch, found, strict=True):
        wrong = check_features(features)
        if wrong:
            raise _failure(extractor, frame, wrong)
    return found


def _failure(extractor: FeatureExtractor, frame: int, what: str) -> OmnitrackError:
    return OmnitrackError(
        f"feature extractor {extractor.name!r} on frame {frame} {what}",
        "finished frames are kept; try another extractor or other weights, or --set features.extractor=none",
    )
