"""TAP-Vid, CoTracker and rerun: formats of research on point tracking.

Convention:
    TAP-Vid: fractions of the frame, (0, 0) its top left corner, y down. CoTracker: pixels, (0, 0) the centre of the
    first pixel. rerun: pixels, (0, 0) the top left corner. Frames are indexed from the first tracked frame; in rerun
    as in the video, from 0. Pixels are square.

Source:
    TAP-Vid: Doersch et al., NeurIPS 2022, and https://github.com/google-deepmind/tapnet, tapvid/README.md.
    CoTracker: https://github.com/facebookresearch/co-tracker, outputs of CoTrackerPredictor.
    rerun: https://rerun.io/docs/reference/types/archetypes/points2d.
"""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omnitrack.errors import OmnitrackError
from omnitrack.export.contract import Trajectories

HIDDEN_GREY = (120, 120, 120)
SEEN_GREEN = (60, 220, 120)


def tapvid(found: Trajectories) -> Iterator[bytes]:
    """Yield one video, ``{"video": {"points", "occluded"}}``, with its frames as ``video`` if they are available."""
    entry: dict[str, Any] = {
        "points": (found.from_corner / found.size).astype(np.float32),
        "occluded": ~found.visible,
    }
    if found.images:
        entry["video"] = list(found.images)
    yield pickle.dumps({"video": entry}, protocol=4)


def cotracker(found: Trajectories) -> Iterator[bytes]:
    """`pred_tracks` (1, T, N, 2), `pred_visibility` (1, T, N), `queries` (1, N, 3) rows (t, x, y), `size` (2,)."""
    memory = io.BytesIO()
    np.savez(
        memory,
        pred_tracks=found.points.transpose(1, 0, 2)[None].astype(np.float32),
        pred_visibility=found.visible.T[None],
        queries=np.asarray(found.queries, np.float32)[None],
        size=np.array(found.size),
    )
    yield memory.getvalue()


def rerun(found: Trajectories) -> Iterator[bytes]:
    """Yield Points2D `tracks` on a timeline `frame`: green is visible, grey occluded; keypoint ids are track indices.

    Raises:
        OmnitrackError: rerun-sdk is not installed.
    """
    try:
        import rerun as sdk
    except ImportError as error:
        raise OmnitrackError(
            "a .rrd file is written by rerun-sdk, which is not installed", 'pip install "omnitrack-video[rerun]"'
        ) from error
    points = found.from_corner
    stream = sdk.RecordingStream("omnitrack")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks.rrd"
        stream.save(path)
        for column, number in enumerate(found.numbers.tolist()):
            stream.set_time("frame", sequence=number)
            rows = np.flatnonzero(found.written[:, column])
            colours = np.where(found.visible[rows, column, None], SEEN_GREEN, HIDDEN_GREY).astype(np.uint8)
            ids = rows.astype(np.uint16) if len(found) <= 1 << 16 else None
            stream.log("tracks", sdk.Points2D(points[rows, column], colors=colours, keypoint_ids=ids, class_ids=0))
        stream.flush()
        stream.disconnect()
        yield path.read_bytes()
