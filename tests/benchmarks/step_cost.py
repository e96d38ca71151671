"""What does a step cost, compared with its arithmetic?

    python tests/benchmarks/step_cost.py [--device cpu|cuda] [--written] [--preset paper] [--threads N]
        [--repeats N] [--json FILE]

Measures one step of each method, by default at its published batch size. The floor is the time that the step's matrix
products take at the speed of one large product (4096 x 4096, single precision) measured on the same device in the same
run; products of the backward pass are counted, elementwise work is not. Each method runs in its own process, whose peak
memory is that of the step plus the program.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Columns, Report, parser_of
from torch.utils.flop_counter import FlopCounterMode

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.methods import get_method
from omnitrack.optimize.recording import WARM_UP
from omnitrack.presets import preset_settings

METHODS = ("omnimotion", "cadex")
FRAMES, SIDE, STRIDE = 32, 256, 2
PRODUCT = 4096
COLUMNS: Columns = {
    "method": "{method}",
    "correspondences a step": "{points}",
    "GFLOP": "{gflop:.0f}",
    "ms (median)": "{ms:.0f}",
    "floor ms": "{floor_ms:.0f}",
    "share of floor": lambda row: f"{100 * row['share_of_floor']:.0f} %",
    "peak memory GB": "{memory_gb:.1f}",
}


def made_up(device: torch.device) -> Correspondences:
    """Return 32 frames at 256 x 256 in which all is known and nothing moves; they cost as much as any others."""
    side = SIDE // STRIDE
    y, x = np.mgrid[0:SIDE:STRIDE, 0:SIDE:STRIDE]
    targets = np.array([[t for t in range(FRAMES) if t != s] for s in range(FRAMES)])
    shape = (*targets.shape, side * side)
    return Correspondences.from_numpy(
        sources=np.arange(FRAMES),
        targets=targets,
        grid=np.stack([x, y], -1).reshape(-1, 2).astype(np.float32),
        grid_shape=(side, side),
        displacement=np.zeros((*shape, 2), np.int16),
        confidence=np.full(shape, 255, np.uint8),
        occluded=np.zeros(shape, bool),
        colors=np.random.default_rng(0).integers(0, 256, (FRAMES, side * side, 3)).astype(np.uint8),
        unit_px=1 / 32,
        size=(SIDE, SIDE),
        num_frames=FRAMES,
        device=device,
    )


def seconds(job: Callable[[], object], device: torch.device) -> float:
    """Return the wall time of a job, including its work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    job()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def product_speed(device: torch.device) -> float:
    """Return the FLOP/s of a large single-precision matrix product."""
    a = torch.randn(PRODUCT, PRODUCT, device=device)
    a @ a
    return 2 * PRODUCT**3 / min(seconds(lambda: a @ a, device) for _ in range(5))


def measure(
    method: str, preset: str, device_name: str, threads: int, repeats: int, written: bool = False
) -> dict[str, Any]:
    """Measure one method's step, in a separate process."""
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    settings = preset_settings(preset, method).fit
    engine = Engine(made_up(device), settings, seed=0)
    if written:
        engine._recording = None
    engine._steps(1)
    with FlopCounterMode(display=False) as counter:
        engine._steps(engine.step + 1)
    flop = counter.get_total_flops()
    if engine._recording is not None:
        engine._steps(engine.step + WARM_UP)  # so that one is recorded
    times = [seconds(lambda: engine._steps(engine.step + 1), device) for _ in range(repeats)]
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    step = statistics.median(times)
    floor = flop / product_speed(device)
    return {
        "method": method,
        "points": settings.anchors * settings.targets * (2 if get_method(method).extras(settings).neighbours else 1),
        "ms": 1000 * step,
        "fastest_ms": 1000 * min(times),
        "gflop": flop / 1e9,
        "floor_ms": 1000 * floor,
        "share_of_floor": floor / step,
        "memory_gb": memory / 1e9,
    }


def processor(device: str) -> str:
    """Return the name of the processor that the numbers are measured on."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    with Path("/proc/cpuinfo").open() as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(names)} cores"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--written", action="store_true", help="on a GPU: no recorded steps, but as they are written")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--method", choices=METHODS, action="append")
    asked = parser.parse_args()
    name = processor(asked.device)
    report = Report(asked.json, processor=name, threads=asked.threads, preset=asked.preset)
    print(f"{name}, {asked.threads} threads, torch {torch.__version__}, preset {asked.preset}\n")
    table = report.table("steps", COLUMNS)
    for method in asked.method or METHODS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            how = asked.preset, asked.device, asked.threads, asked.repeats, asked.written
            table.add(pool.apply(measure, (method, *how)))
    report.write()


if __name__ == "__main__":
    main()
