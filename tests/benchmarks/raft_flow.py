"""How accurate is RAFT, and what does a pair cost?

Accuracy: end-point error of RAFT, of dense inverse search and of both together at the annotated points of a TAP-Vid
dataset that are visible in both frames, at gaps of 1, 4, 8 and 16 frames in both directions; each search starts from
the flow of half its gap, as in the flow stage. All rows use the same frames and points, pooled over the videos. Pixels
are at 256 x 256.

Time: the same pairs of the first video by RAFT as published - plain operations, both frames encoded for every pair,
one pair at a time - and by the estimators, in turns. Processor seconds are summed over all cores.

    python tests/benchmarks/raft_flow.py tapvid_davis.pkl --weights raft-small.pth
    python tests/benchmarks/raft_flow.py tapvid_davis.pkl --weights raft-small.pth --only time
    python tests/benchmarks/raft_flow.py tapvid_davis.pkl --only accuracy --alike alike-n.pth --rows 'dis;dis, alike'

`--json FILE` also writes the rows.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Columns, Report, TableRow, add_videos, chosen_videos, machine, parser_of
from numpy.typing import NDArray

from omnitrack.correspondence.estimators import open_estimator
from omnitrack.correspondence.estimators.contract import Clip, Pair, PairEstimator
from omnitrack.correspondence.raft.checkpoints import PUBLISHED, load_network
from omnitrack.correspondence.raft.grid import Grid
from omnitrack.correspondence.raster import sample
from omnitrack.device import pick_device
from omnitrack.evaluation.tapvid import TapvidVideo, raster_to_pixels
from omnitrack.settings import DescriptorSettings, FlowSettings, RaftSettings
from omnitrack.weights import locate

sys.path.insert(0, str(Path(__file__).parents[1] / "correspondence"))
import plain_raft  # the tests' reference: RAFT as in the paper

GAPS = (1, 4, 8, 16)  # measured
STEPS = (1, 2, 4, 8, 16)  # computed, so that a start can come from half the gap
WITHIN_PX = 2.0
THRESHOLDS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)  # TAP-Vid's
TIMED_GAPS = (1, 2, 4, 8)
TIMED_FRAMES = 8

Flow = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """A measured variant: one estimator or two, with or without starts from shorter gaps."""

    settings: FlowSettings
    warm: bool = True


def rows_of(raft: RaftSettings, alike: DescriptorSettings) -> dict[str, Row]:
    only = FlowSettings(estimator="raft", raft=raft)
    rows = {"dis": Row(FlowSettings()), "raft": Row(only)}
    rows |= {
        f"dis, raft from gap {gap}": Row(FlowSettings(far_estimator="raft", far_gap=gap, raft=raft))
        for gap in (2, 4, 8, 16)
    }
    rows["raft, cold"] = Row(only, warm=False)
    for iterations in (6, 8, 20):
        changed = FlowSettings(estimator="raft", raft=replace(raft, iterations=iterations))
        rows |= {f"raft, {iterations}": Row(changed), f"raft, {iterations}, cold": Row(changed, warm=False)}
    rows["raft, float32"] = Row(FlowSettings(estimator="raft", raft=replace(raft, half_precision=False)))
    rows |= {"dis, alike": Row(FlowSettings(descriptors=alike)), "raft, alike": Row(replace(only, descriptors=alike))}
    rows["raft, side 256"] = Row(FlowSettings(estimator="raft", raft=replace(raft, side=256)))
    return rows


# --- accuracy ---------------------------------------------------------------------------------------------------
def errors(video: TapvidVideo, row: Row, sources: Sequence[int], device: str) -> dict[int, NDArray[np.float64]]:
    """Return end-point errors at every annotated point visible in both frames, by gap, in pixels at 256 x 256."""
    estimator = open_estimator(row.settings, clip_of(video, device))
    pixels = raster_to_pixels(video.points, video.size)
    found: dict[int, list[NDArray[np.float64]]] = {gap: [np.zeros(0)] for gap in GAPS}
    last: dict[tuple[int, int], Flow] = {}
    for gap in STEPS:
        sides = [(s, d) for s in sources for d in (1, -1) if 0 <= s + d * gap < len(video.frames)]
        pairs = [(source, source + direction * gap) for source, direction in sides]
        starts = [last.get(side) if row.warm else None for side in sides]
        flows = [estimate.flow for estimate in estimator.estimate_pairs(pairs, starts)]
        last = dict(zip(sides, flows, strict=True))
        if gap in GAPS:
            found[gap] += [point_errors(video, pixels, *item) for item in zip(pairs, flows, strict=True)]
    return {gap: np.concatenate(parts) for gap, parts in found.items()}


def point_errors(video: TapvidVideo, pixels: NDArray[np.floating], pair: Pair, flow: Flow) -> NDArray[np.float64]:
    source, target = pair
    seen = ~video.occluded[:, source] & ~video.occluded[:, target]
    here = pixels[seen, source].astype(np.float32)
    off = here + sample(flow, here) - pixels[seen, target]
    return np.asarray(np.linalg.norm(off * (256 / np.array(video.size)), axis=-1))


def clip_of(video: TapvidVideo, device: str) -> Clip:
    return Clip(lambda t: video.frames[t], len(video.frames), video.size, video.size, device)


def measure(videos: list[TapvidVideo], rows: dict[str, Row], stride: int, device: str) -> Iterator[TableRow]:
    """Yield a row per variant."""
    for name, row in rows.items():
        begin = time.process_time()
        of_videos = [errors(v, row, range(0, len(v.frames), stride), device) for v in videos]
        result: dict[str, Any] = {"row": name, "cpu_seconds": time.process_time() - begin}
        for gap in GAPS:
            all_errors = np.concatenate([video[gap] for video in of_videos])
            result[f"gap {gap}"] = {
                "mean": float(all_errors.mean()),
                "median": float(np.median(all_errors)),
                "within": float((all_errors < WITHIN_PX).mean()),
                "delta": float(np.mean([(all_errors < threshold).mean() for threshold in THRESHOLDS_PX])),
                "points": len(all_errors),
            }
        yield result


ACCURACY: Columns = {
    "": "{row}",
    **{
        f"gap {gap}": " / ".join(
            f"{{gap {gap}[{key}]:{digits}}}"
            for key, digits in (("mean", ".2f"), ("median", ".2f"), ("within", ".3f"), ("delta", ".3f"))
        )
        for gap in GAPS
    },
}


# --- time -------------------------------------------------------------------------------------------------------
def naive(video: TapvidVideo, weights: Path, settings: RaftSettings, device: str) -> Callable[[Pair], None]:
    """Return RAFT as published: nothing is kept from one pair to the next."""
    network = load_network(weights).to(device)
    sizes, parameters = network.architecture, network.state_dict()
    grid = Grid.fit(video.size, settings.side)

    @torch.inference_mode()
    def estimate(pair: Pair) -> None:
        images = [torch.from_numpy(grid.from_frame(video.frames[index])).to(device) for index in pair]
        first, second = (image.permute(2, 0, 1)[None].float().contiguous() / 127.5 - 1 for image in images)
        flow = plain_raft.flow(parameters, first, second, settings.iterations, sizes.radius, sizes.hidden)
        grid.to_frame(flow[0].permute(1, 2, 0).cpu().numpy())

    return estimate


def race(video: TapvidVideo, weights: Path, raft: RaftSettings, device: str) -> list[TableRow]:
    """Time all estimators on the same pairs, in turns: wall-clock and processor time per pair."""

    def one_by_one(estimator: PairEstimator) -> Callable[[Pair], object]:
        return lambda pair: estimator.estimate_pairs([pair], [None])

    def opened(**changes: object) -> Callable[[Pair], object]:
        settings = FlowSettings(estimator="raft", raft=replace(raft, **changes))  # type: ignore[arg-type]
        return one_by_one(open_estimator(settings, clip_of(video, device)))

    racers: dict[str, Callable[[Pair], object]] = {
        "the naive way": naive(video, weights, raft, device),
        "raft, float32": opened(half_precision=False),
        "raft": opened(),
        "raft, 8 iterations": opened(iterations=8),
        "dis": one_by_one(open_estimator(FlowSettings(), clip_of(video, device))),
    }
    pairs = [(s, s + gap) for gap in TIMED_GAPS for s in range(TIMED_FRAMES - gap)]
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in racers}
    for pair, (name, run) in itertools.product(pairs, racers.items()):
        begin = time.perf_counter(), time.process_time()
        run(pair)
        spent[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    rows: list[dict[str, Any]] = []
    for name, times in spent.items():
        wall, processors = zip(*times, strict=True)
        row: dict[str, Any] = {"row": name, "pairs": len(pairs)}
        row |= {"median_ms": 1000 * statistics.median(wall), "mean_ms": 1000 * statistics.mean(wall)}
        row["processor_ms"] = 1000 * statistics.mean(processors)
        rows.append(row)
    for row in rows:
        for key in ("median_ms", "mean_ms", "processor_ms"):
            row[f"times_faster_by_{key.removesuffix('_ms')}"] = rows[0][key] / row[key]
    return list(rows)


TIME: Columns = {
    "": "{row}",
    "ms per pair, median": "{median_ms:.0f}",
    "mean": "{mean_ms:.0f}",
    "processors' ms": "{processor_ms:.0f}",
    "times faster": "{times_faster_by_median:.1f} by median, {times_faster_by_processor:.1f} by processors",
}


def main() -> None:
    parser = parser_of(__doc__)
    add_videos(parser)
    parser.add_argument("--weights", default="small", help="small, large or a file (small)")
    parser.add_argument("--alike", default="alike-n", help="alike-n or a file, for the rows that it corrects (alike-n)")
    parser.add_argument("--stride", type=int, default=5, help="frames between sources (5)")
    parser.add_argument("--rows", help="separated by semicolons (all)")
    parser.add_argument("--only", choices=["accuracy", "time"], help="one of the two parts (both)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    videos = list(chosen_videos(arguments))
    device = str(pick_device(arguments.device))
    raft = RaftSettings(weights=arguments.weights)
    rows = rows_of(raft, DescriptorSettings("alike", arguments.alike))
    if arguments.rows:
        rows = {name: rows[name] for name in arguments.rows.split(";")}
    about = {
        "videos": [video.name for video in videos],
        "stride": arguments.stride,
        "device": device,
        "threads": torch.get_num_threads(),
    }
    report = Report(arguments.json, **about)
    print("\n".join(f"{key}: {value}" for key, value in {**about, "machine": machine()}.items()))
    if arguments.only != "time":
        print(f"\nmean / median / share within {WITHIN_PX:g} px / mean share within 1 to 16 px\n")
        accuracy = report.table("accuracy", ACCURACY)
        for found in measure(videos, rows, arguments.stride, device):
            accuracy.add(found)
    if arguments.only != "accuracy":
        times = race(videos[0], locate(arguments.weights, PUBLISHED), raft, device)
        print()
        table = report.table("time", TIME)
        for found in times:
            table.add(found)
    report.write()


if __name__ == "__main__":
    main()
