"""How much faster is a step of a fit than the published one, at the published batch, on the same machine?

    python tests/benchmarks/peers.py [--method cadex] [--method omnimotion] [--share 8] [--threads 2] [--rounds 3]
        [--json FILE]

The published steps are re-implementations from the papers and configurations (`published_cadex.py`,
`published_omnimotion.py`); ours is the preset `paper`, which has their networks, losses and batch, with torch alone
and, if it is available, with the compiled pass. They take turns: one round is a step of each, and medians are printed.
"Drawing" is the time to make a batch, which the published programs leave to other processes: "times" excludes it,
"with drawing" includes it. `--share 8` takes an eighth of the batch, for a first impression.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import Columns, Report, parser_of
from compiled_core import way
from operations import made_up_matches
from published_cadex import PublishedCadex
from published_omnimotion import PublishedOmniMotion
from step_cost import FRAMES, SIDE, made_up, processor

from omnitrack.motion.fused.fused import FusedLayers, trouble
from omnitrack.optimize.engine import Engine
from omnitrack.presets import preset_settings

METHODS = ("cadex", "omnimotion")
COLUMNS: Columns = {
    "method": "{method}",
    "step": "{step}",
    "drawing s": "{drawing:.3f}",
    "step s": "{seconds:.3f}",
    "times": "{gain:.2f}",
    "with drawing": "{gain_with_drawing:.2f}",
}


def seconds(job: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a job takes, and its result."""
    begin = time.perf_counter()
    found = job()
    return time.perf_counter() - begin, found


def published(method: str, share: int, folder: Path) -> PublishedCadex | PublishedOmniMotion:
    """Return the published step of a method."""
    torch.manual_seed(1234)
    if method == "cadex":
        return PublishedCadex(FRAMES, (SIDE, SIDE), share)
    return PublishedOmniMotion(FRAMES, (SIDE, SIDE), share, folder)


def ours(method: str, share: int) -> Engine:
    """Return an engine with the published networks, losses and batch."""
    s = preset_settings("paper", method).fit
    smaller = replace(s, anchors=max(1, s.anchors // share), pairs=max(1, s.pairs // share), matches=s.matches // share)
    matches = made_up_matches(FRAMES) if s.matches else None
    return Engine(made_up(torch.device("cpu")), smaller, seed=0, matches=matches)


def measure(method: str, share: int, threads: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row for the published step, and one for each variant of ours."""
    ways = ["torch"] + ([] if trouble() else ["compiled"])
    with tempfile.TemporaryDirectory() as folder:
        peer = published(method, share, Path(folder))
        engines: dict[str, Engine] = {}
        for by in ways:
            with way(by, threads):
                engine = ours(method, share)
                if by == "torch" or isinstance(engine.field.warp.time_columns(), FusedLayers):
                    engines[by] = engine
                    engine._steps(1)
        torch.set_num_threads(threads)
        peer.step(peer.draw())  # type: ignore[arg-type]
        times: dict[str, list[float]] = {name: [] for name in ("drawing", "published", *engines)}
        for _ in range(rounds):
            drawing, batch = seconds(peer.draw)
            times["drawing"].append(drawing)
            times["published"].append(seconds(lambda b=batch: peer.step(b))[0])  # type: ignore[misc]
            for by, engine in engines.items():
                with way(by, threads):
                    times[by].append(seconds(lambda e=engine: e._steps(e.step + 1))[0])  # type: ignore[misc]
                torch.set_num_threads(threads)
    drawing, theirs = (statistics.median(times[name]) for name in ("drawing", "published"))
    for name in ("published", *engines):
        mine = statistics.median(times[name])
        own = drawing if name == "published" else 0.0  # ours draws the batch in the step
        gains = {"gain": theirs / mine, "gain_with_drawing": (theirs + drawing) / (mine + own)}
        step = name if name == "published" else f"ours, {name}"
        yield {"method": method, "step": step, "drawing": own, "seconds": mine, "all": times[name], **gains}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--share", type=int, default=1, choices=(1, 2, 4, 8), help="of the published batch one N-th")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    name = processor("cpu")
    report = Report(asked.json, processor=name, threads=asked.threads, share=asked.share)
    print(f"{name}, {asked.threads} threads, torch {torch.__version__}, 1/{asked.share} of the published batch\n")
    table = report.table("steps", COLUMNS, names=2)
    for method in asked.method or METHODS:
        for row in measure(method, asked.share, asked.threads, asked.rounds):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
