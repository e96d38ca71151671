"""How much faster is the compiled pass through the couplings than torch alone, for a step of a fit and a dense query?

    python tests/benchmarks/compiled_core.py [--preset fast] [--rounds 10] [--method cadex] [--json FILE]

Each variant has its own engine, and they take turns: one round is a few steps of each, so that noise on a shared
machine affects all of them equally. Medians and ratios of medians are printed. A "query" carries all pixels of a
256 x 256 frame to eight other frames with the field alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from common import Columns, Report, parser_of
from step_cost import SIDE, made_up, processor

import omnitrack.motion.warp as warp_module
from omnitrack.device import cpu_threads, usable_cores
from omnitrack.motion.fused.fused import trouble
from omnitrack.optimize.engine import Engine
from omnitrack.presets import preset_settings

METHODS = ("cadex", "omnimotion")
STEPS = 4  # of each variant per round
TARGETS = range(1, 9)  # target frames of a query
COLUMNS: Columns = {
    "method": "{method}",
    "by": "{by}",
    "threads": "{threads}",
    "step, ms": "{step_ms:.1f}",
    "times torch": "{step_gain:.2f}",
    "query, ms": "{query_ms:.0f}",
    "times torch ": "{query_gain:.2f}",
}


@contextmanager
def way(by: str, threads: int) -> Iterator[None]:
    """Within the block, compute with torch alone or with the compiled pass."""
    fused = warp_module.fused
    warp_module.fused = (lambda layers, columns: None) if by == "torch" else fused  # type: ignore[assignment]
    try:
        with cpu_threads(threads):
            if by == "compiled":
                torch.set_num_threads(1)  # as in a fit: 0 threads means all cores for the kernels and one for torch
            yield
    finally:
        warp_module.fused = fused


def timed(job: Callable[[], object]) -> float:
    """Return the milliseconds that a job takes."""
    begin = time.perf_counter()
    job()
    return 1000 * (time.perf_counter() - begin)


def measure(method: str, preset: str | None, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row per variant; the first is torch on one thread."""
    data, settings = made_up(torch.device("cpu")), preset_settings(preset, method).fit
    ways = [(by, threads) for by in ("torch", "compiled") for threads in sorted({1, usable_cores()})]
    engines = {}
    for each in ways:
        with way(*each):
            engines[each] = Engine(data, settings, seed=0)
            engines[each]._steps(2)
    pixels = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2).astype(np.float32)
    steps: dict[tuple[str, int], list[float]] = {each: [] for each in ways}
    queries: dict[tuple[str, int], list[float]] = {each: [] for each in ways}
    for turn in range(rounds):
        for each, engine in engines.items():
            with way(*each):
                steps[each].append(timed(lambda e=engine: e._steps(e.step + STEPS)) / STEPS)  # type: ignore[misc]
                if method == "cadex" and turn < 3:
                    queries[each].append(timed(lambda e=engine: e.field.track(0, pixels, TARGETS)))  # type: ignore[misc]
    first_step, first_query = (statistics.median(times[ways[0]] or [0.0]) for times in (steps, queries))
    for each in ways:
        step, query = (statistics.median(times[each] or [float("nan")]) for times in (steps, queries))
        gains = {"step_gain": first_step / step, "query_gain": first_query / query}
        yield {"method": method, "by": each[0], "threads": each[1], "step_ms": step, "query_ms": query, **gains}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--preset", help="none: the defaults of each method")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--method", choices=METHODS, action="append")
    asked = parser.parse_args()
    if why_not := trouble():
        raise SystemExit(f"nothing to compare with torch: {why_not}")
    name = processor("cpu")
    report = Report(asked.json, processor=name, preset=asked.preset)
    print(f"{name}, torch {torch.__version__}, preset {asked.preset or 'none'}\n")
    table = report.table("steps", COLUMNS)
    for method in asked.method or METHODS:
        for row in measure(method, asked.preset, asked.rounds):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
