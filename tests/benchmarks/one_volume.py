"""Does one canonical volume lose accuracy with the length of a clip, and do windows lose less?

    python tests/benchmarks/one_volume.py [--frames 64,256,1024] [--scenes pan,travel] [--windows 0,128] [--steps 400]
        [--set KEY=VALUE] [--json FILE]

The field is evaluated alone, without flow, filter and fusion. It is fitted to the true correspondences of the scenes of
`long_clip.py`, at the distances that `filter` keeps, plus noise like that of chains: `--noise` px at 256 x 256 times
the root of the gap, similar within a quarter of the frame. With windows, one field is fitted to every so many frames, a
quarter of which also belong to the next window, each with as many steps as the field of the whole clip; a point is
queried in the window whose middle is nearest to its frame. The table has the per cent of visible positions within 1 to
16 px, averaged, by their distance in frames from the query. With windows no position is farther than its window:
joining windows would add the error at the joint to that on either side.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import torch
from common import Columns, Report, add_settings, parser_of, settings_of
from long_clip import scene_of

from omnitrack.correspondence.raster import grid_shape, pixel_grid
from omnitrack.evaluation.metrics import THRESHOLDS
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.stages.filter import target_distances
from omnitrack.units import raster_scale

SIZE, STRIDE = (64, 48), 2
COARSE = (4, 3)  # positions across and down at which the noise is drawn
STEPS_PER_PX = 32
QUERY_FRAMES, QUERY_POINTS = 8, 24
APART = {"to 10": (1, 10), "11 to 30": (11, 30), "31 to 75": (31, 75), "beyond": (76, math.inf)}
COLUMNS: Columns = {
    "scene": "{scene}",
    "frames": "{frames}",
    "windows of": "{window}",
    "fits": "{fits}",
    **{f"{name} frames": "{" + name + ":.1f}" for name in APART},
    "px, beyond": "{median:.2f}",
    "CPU s": "{seconds:.0f}",
}


class NoisyTruth:
    """True correspondences of a scene with noise, which does not depend on the window."""

    def __init__(self, scene: Any, noise_px: float) -> None:
        self._scene, self._sigma = scene, noise_px * raster_scale(SIZE)
        self._grid, self._shape = pixel_grid(SIZE, STRIDE), grid_shape(SIZE, STRIDE)
        units = np.eye(COARSE[0] * COARSE[1], dtype=np.float32).reshape(-1, *COARSE[::-1])
        self._spread = np.stack([cv2.resize(unit, self._shape[::-1]).ravel() for unit in units])
        self._distances = sorted(target_distances(scene.num_frames, 0))

    def within(self, frames: range) -> Correspondences:
        """Return the correspondences between some frames, as a separate clip."""
        shape = len(frames), 2 * len(self._distances), len(self._grid)
        targets, moved = np.full(shape[:2], -1, np.int64), np.zeros((*shape, 2), np.int16)
        confidence, colors = np.zeros(shape, np.uint8), np.zeros((shape[0], shape[2], 3), np.uint8)
        x, y = self._grid.astype(int).T
        for row, source in enumerate(frames):
            rng, image = np.random.default_rng(source), self._scene.frame(source)
            colors[row] = image[y, x]
            every = [source + sign * distance for distance in self._distances for sign in (1, -1)]
            noise = self._sigma * rng.normal(size=(len(every), len(self._spread), 2))
            for slot, target in enumerate(every):
                if target in frames:
                    gap, (flow, seen) = abs(target - source), self._scene.flow(source, target)
                    off = math.sqrt(gap) * np.einsum("cd,cp->pd", noise[slot], self._spread)
                    targets[row, slot] = target - frames.start
                    moved[row, slot] = np.rint((flow[y, x] + off) * STEPS_PER_PX)
                    confidence[row, slot] = np.where(seen[y, x], 255 / (1 + 0.02 * gap), 0)
        return Correspondences.from_numpy(
            sources=np.arange(len(frames)),
            targets=targets,
            grid=self._grid,
            grid_shape=self._shape,
            displacement=moved,
            confidence=confidence,
            occluded=np.zeros(shape, bool),
            colors=colors,
            unit_px=1 / STEPS_PER_PX,
            size=SIZE,
            num_frames=len(frames),
            device=torch.device("cpu"),
        )


def windows_of(num_frames: int, window: int) -> list[range]:
    """Return windows of `window` frames, a quarter of them shared with the next; 0: the whole clip."""
    window = window or num_frames
    starts = range(0, max(1, num_frames - window // 4), max(1, window * 3 // 4))
    return [range(start, min(num_frames, start + window)) for start in starts]


def errors(scene: Any, field: Any, frames: range, queries: Any) -> Iterable[tuple[int, Any]]:
    """Yield (gap, errors of visible positions in px at 256 x 256) of queries (Q, 3) of one frame."""
    source = int(queries[0, 0])
    truth, seen = scene.tracks(queries)
    found = field.track(source - frames.start, queries[:, 1:].astype(np.float32), range(len(frames))).pixels
    off = np.linalg.norm(found - truth[:, frames.start : frames.stop], axis=-1) / raster_scale(SIZE)
    for column, frame in enumerate(frames):
        yield abs(frame - source), off[seen[:, frame], column]


def measure(name: str, num_frames: int, window: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Fit and evaluate all windows of a clip; return its row."""
    begin = time.process_time()
    scene = scene_of(name, "x".join(map(str, SIZE)), num_frames)
    data, windows = NoisyTruth(scene, asked.noise), windows_of(num_frames, window)
    settings = settings_of(asked, {"fit.steps": asked.steps, "fit.anchors": 512}).fit
    rng = np.random.default_rng(0)
    times = np.linspace(0, num_frames - 1, QUERY_FRAMES).round()
    queries = [
        np.column_stack([np.full(QUERY_POINTS, t), rng.uniform(0.05, 0.95, (QUERY_POINTS, 2)) * SIZE]) for t in times
    ]
    found: dict[str, list[Any]] = {apart: [] for apart in APART}
    for frames in windows:
        mine = [q for q in queries if frames == min(windows, key=lambda w, q=q: abs((w[0] + w[-1]) / 2 - q[0, 0]))]
        if not mine:
            continue
        engine = Engine(data.within(frames), settings, seed=0)
        for _ in engine.run():
            pass
        for gap, off in itertools.chain(*(errors(scene, engine.field, frames, q) for q in mine)):
            for apart, (least, most) in APART.items():
                found[apart] += [off] if least <= gap <= most else []
    row = {"scene": name, "frames": num_frames, "window": window or "all", "fits": len(windows)}
    for apart, parts in found.items():
        off = np.concatenate([np.zeros(0), *parts])
        row[apart] = 100 * float(np.mean([(off < t).mean() for t in THRESHOLDS])) if len(off) else math.nan
    return {**row, "median": float(np.median(off)) if len(off) else math.nan, "seconds": time.process_time() - begin}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--frames", default="64,256,1024")
    parser.add_argument("--scenes", default="pan,travel")
    parser.add_argument("--windows", default="0,128")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--noise", type=float, default=0.15)
    add_settings(parser)
    asked = parser.parse_args()
    report = Report(asked.json, steps=asked.steps, noise=asked.noise)
    table = report.table("fields", COLUMNS, names=1)
    for scene in asked.scenes.split(","):
        for frames in map(int, asked.frames.split(",")):
            for window in map(int, asked.windows.split(",")):
                if window < frames:
                    table.add(measure(scene, frames, window, asked))
    report.write()


if __name__ == "__main__":
    main()
