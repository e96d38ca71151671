"""DeepLabCut and SLEAP: poses of animals. Each track is a body part of one animal, or an animal with one body part.

Convention:
    y down, (0, 0) at the centre of the first pixel, frames from 0 as in the video, lengths in pixels, which are square.

Source:
    DeepLabCut, the table of `analyze_videos(save_as_csv=True)`: three header rows (scorer, bodyparts, coords), then
    one row per frame, https://deeplabcut.github.io/DeepLabCut/docs/standardDeepLabCut_UserGuide.html.
    SLEAP, analysis files, https://docs.sleap.ai (sleap.io.convert, sleap.info.write_tracking_h5): arrays in MATLAB's
    order, with reversed axes; since format 1.1 the first pixel's centre is (0, 0).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from omnitrack.export.contract import Trajectories

SCORER = "omnitrack"


def deeplabcut(found: Trajectories) -> Iterator[str]:
    """Yield the table of one animal; likelihood is confidence, 0 if occluded; points that are left out are empty."""
    header = io.StringIO()
    lines = csv.writer(header, lineterminator="\n")
    lines.writerow(["scorer", *[SCORER] * (3 * len(found))])
    lines.writerow(["bodyparts", *(name for name in found.names for _ in range(3))])
    lines.writerow(["coords", *["x", "y", "likelihood"] * len(found)])
    yield header.getvalue()
    values = np.concatenate([found.points, found.confidence[..., None]], -1)
    for column, number in enumerate(found.numbers.tolist()):
        written = found.written[:, column]
        form = ",".join(["%.4f,%.4f,%.4f" if there else ",," for there in written.tolist()])
        yield f"{number},{form % tuple(values[written, column].ravel().tolist())}\n"


def sleap(found: Trajectories) -> Iterator[bytes]:
    """Yield tracks as instances with one node; scores are confidences, 0 if occluded, and NaN for points left out.

    Arrays cover all frames from 0 to the last: SLEAP does not store frame numbers.
    """
    import h5py

    count = len(found)
    length = int(found.numbers[-1]) + 1
    points = np.full((count, 2, 1, length), np.nan)
    points[..., found.numbers] = np.where(found.written[..., None], found.points, np.nan).transpose(0, 2, 1)[:, :, None]
    scores = np.full((count, 1, length), np.nan)
    scores[..., found.numbers] = np.where(found.written, found.confidence, np.nan)[:, None]
    occupied = np.zeros((length, count), np.uint8)
    occupied[found.numbers] = found.written.T
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, values in (("tracks", points), ("point_scores", scores), ("track_occupancy", occupied)):
            file.create_dataset(name, data=values, compression="gzip", compression_opts=1)
        file["instance_scores"] = scores[:, 0]
        file["tracking_scores"] = scores[:, 0]
        file["track_names"] = [name.encode() for name in found.names]
        file["node_names"] = [b"point"]
        file["edge_names"] = np.zeros((0, 2), "S1")
        file["edge_inds"] = np.zeros((0, 2), np.int64)
        for name in ("labels_path", "video_path", "provenance"):
            file[name] = "{}" if name == "provenance" else ""
        file["video_ind"] = 0
    yield memory.getvalue()
