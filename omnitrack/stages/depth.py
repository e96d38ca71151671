"""Depth maps of every frame from an external source: computed once, kept in ``products/depth.h5``. Run by a fit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.config import as_dict
from omnitrack.depth_prior import NONE, open_source, source_identity
from omnitrack.depth_prior.contract import DepthClip, DepthSource
from omnitrack.device import pick_device
from omnitrack.errors import OmnitrackError
from omnitrack.optimize.methods import get_method
from omnitrack.progress import SILENT, Progress
from omnitrack.project.depth_store import MOST_SIDE, depth_file, read_depth, write_depth
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.parts import Parts
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import Settings


@dataclass(frozen=True)
class DepthReport:
    """What `compute_depth` did.

    Attributes:
        source: Name of the source; ``none`` if the settings ask for no prior, or the fit would not use one.
        kind: ``depth`` or ``inverse``; empty if there are no maps.
        frames: Number of frames with maps.
        computed: Number of maps computed by this call.
        size: (width, height) of the stored maps.
        seconds: Wall time.
    """

    source: str
    kind: str
    frames: int
    computed: int
    size: tuple[int, int]
    seconds: float


def depth_stamp(project: Project, settings: Settings) -> dict[str, Any] | None:
    """Return the stamp of the depth maps that a fit starts from; None if it asks for none, or would not use them.

    Raises:
        OmnitrackError: The source has no path.
    """
    depth = settings.depth
    if depth.source == NONE or not get_method(settings.fit.method).uses_depth(settings.fit):
        return None
    used = as_dict(depth)
    del used["path"]  # the content counts, not its location
    if depth.source == "folder":
        del used["side"]
    if depth.source != "folder" or not depth.channel:
        del used["channel"]
    if depth.source != "onnx":
        del used["onnx"]
    return make_stamp({"frames": project.meta.fingerprint, "source": source_identity(depth)}, used)


@writes("fit")
def compute_depth(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> DepthReport:
    """Get the depth map of every frame from the source; existing maps, also those of an interrupted run, are kept.

    Args:
        project: The project.
        settings: Uses the table ``depth``; does nothing if its source is none or the fit does not use depth.
        progress: Receives progress updates and messages.
        device: For models: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: A source that is missing, damaged or of other frames, constant maps, or a full disk.
    """
    begin = time.perf_counter()
    stamp = depth_stamp(project, settings)
    if stamp is None:
        return DepthReport(NONE, "", 0, 0, (0, 0), 0.0)
    computed = 0
    product = depth_file(project)
    if product.stamp() != stamp:
        meta = project.meta
        clip = DepthClip(meta.count, meta.size, meta.indices, str(pick_device(device)), progress)
        parts = product.parts(stamp, progress)
        computed = _compute_missing(project, open_source(settings.depth, clip), parts, progress)
        parts.merge(stamp, map(frame_name, range(project.num_frames)), time.perf_counter() - begin)
    maps, kind = read_depth(project)
    _refuse_constant(maps, settings)
    return DepthReport(
        source=settings.depth.source,
        kind=kind,
        frames=len(maps),
        computed=computed,
        size=(maps.shape[2], maps.shape[1]),
        seconds=time.perf_counter() - begin,
    )


def _compute_missing(project: Project, source: DepthSource, parts: Parts, progress: Progress) -> int:
    """Write the maps of the frames that have none, one file per frame; return their number."""
    done = set(parts.done())
    missing = [frame for frame in range(project.num_frames) if frame not in done]
    shape = None  # from the first map; files may have several resolutions
    with progress.task("depth", project.num_frames, done=len(done), unit="frames") as task:
        for frame in missing:
            values = source.depth(frame, project.frame(frame))
            if not np.isfinite(values).all():
                count = int((~np.isfinite(values)).sum())
                raise OmnitrackError(
                    f"the depth map of frame {frame} has {count} of {values.size} values that are not finite (NaN)",
                    "give holes the value 0 where larger is farther, or --set depth.source=none",
                )
            shape = shape or stored_shape(values.shape, project.size)
            parts.write(frame, partial(write_depth, frame=frame, values=resample(values, shape), kind=source.kind))
            task.advance()
    return len(missing)


def stored_shape(found: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Return (h, w) of stored maps: no finer than the source's, with the aspect ratio of frames (width, height)."""
    scale = min(MOST_SIDE, max(found)) / max(size)
    return max(1, round(size[1] * scale)), max(1, round(size[0] * scale))


def resample(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample a map (h, w) to another resolution by nearest neighbour, so that surfaces do not mix."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * (found / wanted)).astype(int)
        for wanted, found in zip(shape, values.shape, strict=True)
    )
    return np.ascontiguousarray(values[rows[:, None], columns])


def _refuse_constant(maps: NDArray[np.float32], settings: Settings) -> None:
    if np.ptp(maps, axis=(1, 2)).max() == 0:
        raise OmnitrackError(
            f"every depth map from {settings.depth.path} has the same value everywhere",
            "name another source, or leave it out: --set depth.source=none",
        )
