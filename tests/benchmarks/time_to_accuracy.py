"""How soon does a fit reach an accuracy, before a change and after it?

    python tests/benchmarks/time_to_accuracy.py NAME=FILE [NAME=FILE ...] --picture FILE [--json FILE]

Reads what `accuracy.py --only steps --json FILE` wrote, one file for each compared version, setting or machine, and
draws AJ over the seconds of the fit, averaged over the clips, for tracks and for the field alone. The table has every
point, and the seconds that the first file takes to the same AJ, interpolated linearly between its points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Columns, Report, TableRow, aj_over_seconds, parser_of


class Point(NamedTuple):
    """The mean over the clips after a number of steps."""

    steps: str
    seconds: float
    aj: float


Lines = dict[str, list[Point]]  # by method, in order of seconds


def read_lines(path: Path) -> Lines:
    """Read the points of all experiments in a file."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for rows in json.loads(path.read_text(encoding="utf-8"))["tables"].values():
        for row in rows:
            groups.setdefault((row["method"], row["run"]), []).append(row)
    lines: Lines = {}
    for (method, run), rows in groups.items():
        seconds = float(np.mean([row["seconds"]["fit"] for row in rows]))
        lines.setdefault(method, []).append(
            Point(run, seconds, 100 * float(np.mean([row["average_jaccard"] for row in rows])))
        )
    return {method: sorted(points, key=lambda point: point.seconds) for method, points in lines.items()}


def seconds_to(points: Sequence[Point], aj: float) -> float:
    """Return the seconds after which a line of points first reaches an AJ; infinite if it never does."""
    if points[0].aj >= aj:
        return points[0].seconds
    for before, after in pairwise(points):
        if before.aj < aj <= after.aj:
            share = (aj - before.aj) / (after.aj - before.aj)
            return before.seconds + share * (after.seconds - before.seconds)
    return float("inf")


def rows_of(found: Mapping[str, Lines]) -> list[TableRow]:
    """Return one row per point."""
    first = next(iter(found.values()))
    return [
        {
            "name": name,
            "method": method,
            **point._asdict(),
            "first_takes": seconds_to(first[method], point.aj) if method in first else float("nan"),
        }
        for name, lines in found.items()
        for method, points in lines.items()
        for point in points
    ]


def draw(found: Mapping[str, Lines], path: Path) -> None:
    """Draw one colour per file, and dashed lines for the field alone; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for colour, (name, lines) in enumerate(found.items()):
        for method, points in lines.items():
            times, shares = [point.seconds for point in points], [point.aj for point in points]
            style = "--" if method.endswith("field-alone") else "-"
            axes.plot(times, shares, style, color=f"C{colour}", marker="o", markersize=4, label=f"{name}: {method}")
            for point in points:
                place: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center"}
                axes.annotate(point.steps.split()[0], (point.seconds, point.aj), fontsize=7, **place)
    aj_over_seconds(axes)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


COLUMNS: Columns = {
    "program": "{name}",
    "method": "{method}",
    "run": "{steps}",
    "fit, s": "{seconds:.1f}",
    "AJ": "{aj:.1f}",
    "the first takes, s": "{first_takes:.1f}",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("files", nargs="+", metavar="NAME=FILE", help="of `accuracy.py --json`")
    parser.add_argument("--picture", type=Path, required=True, help="PNG")
    given = parser.parse_args(arguments)
    found = {name: read_lines(Path(path)) for name, _, path in (text.partition("=") for text in given.files)}
    report = Report(given.json)
    table = report.table("time to accuracy", COLUMNS)
    for row in rows_of(found):
        table.add(row)
    report.write()
    draw(found, given.picture)


if __name__ == "__main__":
    main()
