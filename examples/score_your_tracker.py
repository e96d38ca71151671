"""Compute the TAP-Vid scores of your own tracker, with Lucas-Kanade as the example, optionally beside omnitrack's.

    python examples/score_your_tracker.py tapvid_davis.pkl saved
    omnitrack eval tapvid_davis.pkl --query-mode first --predictions lucas-kanade=saved --method cadex

Replace `track` with your tracker. The answers for each video go to saved/VIDEO.npz: `tracks` (N, T, 2) pixels (x, y),
centres at integers, `visible` (N, T), `queries` (N, 3) rows (t, x, y), and `size` (width, height) of its frames.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def track(frames: list[NDArray[np.uint8]], query: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Track one query (t, x, y) frame by frame in both directions; return positions (T, 2) and visibility (T,)."""
    start = int(query[0])
    places, seen = np.tile(query[1:].astype(np.float32), (len(frames), 1)), np.zeros(len(frames), bool)
    seen[start] = True
    for frame, other in [(t, t + 1) for t in range(start, len(frames) - 1)] + [(t, t - 1) for t in range(start, 0, -1)]:
        here = places[frame].reshape(1, 1, 2)
        there, found, _ = cv2.calcOpticalFlowPyrLK(frames[frame], frames[other], here, None)
        back, _, _ = cv2.calcOpticalFlowPyrLK(frames[other], frames[frame], there, None)
        places[other] = there[0, 0]
        seen[other] = seen[frame] and found[0, 0] and np.abs(back - here).max() < 1
    return places, seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Save what a tracker answers to TAP-Vid's queries.")
    parser.add_argument("dataset", type=Path, help="a TAP-Vid pickle; a pickle can run code: only of whom you trust")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, entry in pickle.loads(given.dataset.read_bytes()).items():
        raw = (cv2.imdecode(np.frombuffer(f, np.uint8), 1) if isinstance(f, bytes) else f for f in entry["video"])
        frames = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in raw]
        height, width = frames[0].shape
        asked = ~entry["occluded"]
        asked, points = asked[asked.any(1)], entry["points"][asked.any(1)]  # TAP-Vid's raster: (0, 0) is a corner
        first = asked.argmax(1)
        queries = np.column_stack([first, points[np.arange(len(first)), first] * (width, height) - 0.5])
        tracks, visible = zip(*(track(frames, query) for query in queries), strict=True)
        np.savez(given.folder / f"{name}.npz", tracks=tracks, visible=visible, queries=queries, size=(width, height))


if __name__ == "__main__":
    main()
