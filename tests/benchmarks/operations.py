"""How many operations does a fit launch on its device, and how often does the host wait for them?

    python tests/benchmarks/operations.py [--method cadex] [--preset fast] [--frames 32] [--json FILE]

Launching an operation on a GPU takes some 5 microseconds, whatever its size: with small arrays, this is what takes the
time. Operations are counted as torch dispatches them, without views. Of the compiled pass, only the operations around
it are counted, and its waits are for numpy arrays. "Matches" are 256 long-range matches; a "look" is the work of a
report, every 25 steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Columns, Report, parser_of

sys.path.append(str(Path(__file__).parents[1]))
from device_watch import Operations

import omnitrack.motion.warp as warp_module
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.presets import preset_settings

METHODS = ("cadex", "omnimotion")
SIDE, STRIDE = 64, 4
GAPS = (1, 2, 4, 8)  # in both directions: about as many pairs as in a real clip
COLUMNS: Columns = {
    "method": "{method}",
    "couplings": "{by}",
    "part": "{part}",
    "operations": "{operations}",
    "waits": "{waits}",
}


def made_up(frames: int) -> Correspondences:
    """Return a clip with a tenth of its entries occluded, so that every part of the set-up has work to do."""
    side = SIDE // STRIDE
    y, x = np.mgrid[0:SIDE:STRIDE, 0:SIDE:STRIDE]
    around = [[s + sign * gap for gap in GAPS for sign in (-1, 1)] for s in range(frames)]
    targets = np.array([[t if 0 <= t < frames else -1 for t in row] for row in around])
    shape, rng = (*targets.shape, side * side), np.random.default_rng(0)
    return Correspondences.from_numpy(
        sources=np.arange(frames),
        targets=targets,
        grid=np.stack([x, y], -1).reshape(-1, 2).astype(np.float32),
        grid_shape=(side, side),
        displacement=rng.integers(-64, 64, (*shape, 2)).astype(np.int16),
        confidence=np.where((targets >= 0)[..., None], 255, 0).repeat(side * side, 2).astype(np.uint8),
        occluded=rng.random(shape) < 0.1,
        colors=rng.integers(0, 256, (frames, side * side, 3)).astype(np.uint8),
        unit_px=1 / 32,
        size=(SIDE, SIDE),
        num_frames=frames,
        device=torch.device("cpu"),
    )


def made_up_matches(frames: int) -> LongRangeMatches:
    """Return matches of random frames and positions."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(0, frames, 500), rng.random((500, 2)) * SIDE] * 2)
    found = LongRangeMatches.from_rows(rows, torch.device("cpu"))
    assert found is not None
    return found


def counted(job: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
    """Return the result of a job, and its numbers of operations and waits."""
    with Operations() as seen:
        found = job()
    return found, {"operations": seen.count, "waits": seen.waiting}


def look(engine: Engine) -> None:
    """Do the work of a report."""
    engine.look({}, 1)
    engine.keep()


def measure(method: str, preset: str | None, frames: int) -> Iterator[dict[str, Any]]:
    """Yield a row per part of a fit, with the couplings in torch and, if available, compiled."""
    data, settings, matches = made_up(frames), preset_settings(preset, method).fit, made_up_matches(frames)
    fused = warp_module.fused
    for by in ("torch", "compiled"):
        warp_module.fused = fused if by == "compiled" else lambda layers, columns: None
        engine, setup = counted(lambda: Engine(data, settings, seed=0))
        if by == "compiled" and type(engine.field.warp.time_columns()).__name__ != "FusedLayers":
            continue
        with_matches = Engine(data, settings, seed=0, matches=matches)
        yield {"method": method, "by": by, "part": "set-up", **setup}
        for part, each in (("step", engine), ("step with matches", with_matches)):
            each._steps(1)
            yield {"method": method, "by": by, "part": part, **counted(partial(each._steps, 2))[1]}
        for _ in range(2):  # once into each of its two buffers
            engine.keep()
        yield {"method": method, "by": by, "part": "look", **counted(partial(look, engine))[1]}
    warp_module.fused = fused


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--preset", help="none: the defaults of each method")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--method", choices=METHODS, action="append")
    asked = parser.parse_args()
    report = Report(asked.json, preset=asked.preset, frames=asked.frames)
    table = report.table("operations", COLUMNS, names=3)
    for method in asked.method or METHODS:
        for row in measure(method, asked.preset, asked.frames):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
