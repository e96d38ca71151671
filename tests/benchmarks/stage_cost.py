"""What does each stage of a clip cost, by size, frames and cores, and compared with another version of the package?

    python tests/benchmarks/stage_cost.py [--sizes 256x256] [--frames 32] [--cores 1,2] [--against NAME=CHECKOUT]
        [--rounds 1] [--set KEY=VALUE] [--json FILE]

A camera pans over a wide place (`omnitrack.synthetic.panorama_scene`); each stage is a command in its own process,
timed from the start of its interpreter to its end and limited to a number of cores. The versions take turns, clip by
clip; with several rounds the fastest run of each stage counts. Every combination of sizes, frames and cores is
measured, so give several values of only one of them. Numba's functions are compiled once before anything is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from common import FOLDER, STAGES, Columns, Report, TableRow, add_settings, commit, measured_process, parser_of
from memory import frames_of

# No large imports at the top: a process inherits the peak memory of its parent.

COLUMNS: Columns = {
    "version": "{version}",
    "size": "{size}",
    "frames": "{frames}",
    "cores": "{cores}",
    **{f"{stage} s, MB": f"{{{stage}_s:.1f}}, {{{stage}_peak:.0f}}" for stage in STAGES},
    "all s": "{seconds:.1f}",
}
QUERIES = ("--grid", "20@0", "--grid", "20@{middle}")
WARM_UP = "64x48", 4  # a clip that triggers all compilation


class Version(NamedTuple):
    """A checkout of the package."""

    name: str
    folder: Path


def stages_of(
    version: Version, frames: Path, root: Path, count: int, cores: int, asked: argparse.Namespace
) -> TableRow:
    """Return the seconds and peak MB of each stage of one clip."""
    environment = {**os.environ, "PYTHONPATH": str(version.folder)}
    settings = [word for text in asked.set for word in ("--set", text)]
    row: dict[str, float] = {}
    for stage in STAGES:
        words = [stage, *([str(frames)] if stage == "init" else []), str(root), "-q", *settings]
        if stage == "init":
            words += ["--max-size", "0"]
        if stage == "query":
            words += [word.format(middle=count // 2) for word in QUERIES]
        command = [sys.executable, "-m", "omnitrack", *words]
        row[f"{stage}_s"], row[f"{stage}_peak"] = measured_process(command, environment, cores, version.folder)
    return row


def fastest(rounds: list[TableRow]) -> TableRow:
    """Return the minimum of each number over the rounds, and the seconds of all stages."""
    least = {name: min(row[name] for row in rounds) for name in rounds[0]}
    return {**least, "seconds": sum(least[f"{stage}_s"] for stage in STAGES)}


def measure(versions: list[Version], asked: argparse.Namespace, folder: Path) -> Iterator[TableRow]:
    """Yield a row per version, size, number of frames and number of cores."""

    def clip(size: str, frames: int) -> Path:
        return frames_of(folder / f"{size}-{frames}", size, frames)

    for version in versions:
        stages_of(version, clip(*WARM_UP), folder / f"warm-{version.name}", WARM_UP[1], 0, asked)
    ways = product(asked.sizes.split(","), map(int, asked.frames.split(",")), map(int, asked.cores.split(",")))
    for size, frames, cores in ways:
        found: dict[str, list[TableRow]] = {version.name: [] for version in versions}
        for turn, version in product(range(asked.rounds), versions):
            root = folder / f"{version.name}-{size}-{frames}-{cores}-{turn}"
            found[version.name].append(stages_of(version, clip(size, frames), root, frames, cores, asked))
        for name, rounds in found.items():
            yield {"version": name, "size": size, "frames": frames, "cores": cores, **fastest(rounds)}


def version_of(text: str) -> Version:
    """Parse a version from NAME=CHECKOUT."""
    name, _, folder = text.partition("=")
    if not (Path(folder) / "omnitrack").is_dir():
        raise argparse.ArgumentTypeError(f"{folder!r} is no checkout of omnitrack")
    return Version(name, Path(folder).resolve())


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", default="256x256")
    parser.add_argument("--frames", default="32")
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--against", type=version_of, action="append", default=[], metavar="NAME=CHECKOUT")
    parser.add_argument("--rounds", type=int, default=1)
    add_settings(parser)
    asked = parser.parse_args()
    own = Version(commit(), FOLDER.parents[1])
    report = Report(asked.json)
    table = report.table("stages", COLUMNS, names=2)
    with tempfile.TemporaryDirectory() as name:
        for row in measure([*asked.against, own], asked, Path(name)):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
