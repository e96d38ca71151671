"""How long does a click on the page take?

    python tests/benchmarks/view.py VIDEO [--frames 24] [--steps 400] [--repeats 20] [--work DIR] [--set KEY=VALUE]
        [--json FILE]

The video is fitted first (kept in `--work`). Then `omnitrack view` is started as a user starts it, and receives the
requests of its page: one point at random positions of random frames, one point with a pin, and a grid of 16 x 16 points
of one frame. Times are from the request to the last byte of the answer; the first answer, which waits for torch and for
the flow to be decoded, has its own row. Lost points are found again after the answer: the row "found again" is from the
first answer for a grid of a frame until there is a better one. CPU seconds are those of the whole server in that time,
summed over its threads: they depend less on the other load of the machine. Memory is the peak of the server's resident
memory, as reported by the system.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common import Columns, Report, add_settings, parser_of, settings_of

GRID = 16
PREPARED = 8  # frames in which lost points are found again
POLL_SECONDS, MOST_SECONDS = 0.02, 30.0
COLUMNS: Columns = {
    "asked for": "{asked}",
    "median s": "{median:.3f}",
    "90 % s": "{late:.3f}",
    "CPU s": "{cpu:.3f}",
    "peak MB": "{peak:.0f}",
}


class Server:
    """`omnitrack view` of a project, running until `end`."""

    def __init__(self, root: Path, assignments: list[str]) -> None:
        chosen = [part for assignment in assignments for part in ("--set", assignment)]
        command = [sys.executable, "-m", "omnitrack", "view", str(root), "--no-browser", "--no-fit", *chosen]
        begin = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        url = urlsplit(self.process.stdout.readline().strip())
        self.seconds = time.perf_counter() - begin
        assert url.hostname is not None
        self._root, self._connection = url.path, http.client.HTTPConnection(url.hostname, url.port or 0)
        self.version = 0  # of the last answer

    def about(self) -> dict[str, Any]:
        """Return the description of the clip."""
        self._connection.request("GET", f"{self._root}project")
        found: dict[str, Any] = json.load(self._connection.getresponse())
        return found

    def ask(self, points: list[dict[str, Any]]) -> float:
        """Return the seconds until the answer is complete."""
        begin = time.perf_counter()
        body, kind = json.dumps({"points": points}), {"Content-Type": "application/json"}
        self._connection.request("POST", f"{self._root}answers", body, kind)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        self.version = int(answer.headers["x-version"])
        return time.perf_counter() - begin

    def improved(self, points: list[dict[str, Any]]) -> float:
        """Return the seconds from an answer until there is a better one."""
        self.ask(points)
        before, begin = self.version, time.perf_counter()
        while self.version == before and time.perf_counter() - begin < MOST_SECONDS:
            time.sleep(POLL_SECONDS)
            self.ask(points[:1])
        return time.perf_counter() - begin

    def peak(self) -> float:
        """Return the peak of resident memory in MB; 0 if the system does not report it."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def cpu(self) -> float:
        """Return the CPU seconds so far; 0 if the system does not report them."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def row(self, name: str, ask: Callable[[], float], repeats: int) -> dict[str, Any]:
        """Repeat a request; return its row of the table."""
        before = self.cpu()
        times = sorted(ask() for _ in range(repeats))
        late = times[round(0.9 * (repeats - 1))]
        cpu = (self.cpu() - before) / repeats
        return {"asked": name, "median": statistics.median(times), "late": late, "cpu": cpu, "peak": self.peak()}

    def end(self) -> None:
        """Terminate the server and wait for its end."""
        self.process.terminate()
        self.process.wait()


def fitted(asked: argparse.Namespace, root: Path) -> None:
    """Make the project of the video, with a fit."""
    from omnitrack.progress import SILENT
    from omnitrack.stages.bring_up import bring_up_to
    from omnitrack.stages.graph import Work
    from omnitrack.stages.run import video_project

    settings = settings_of(asked, {"init.end": asked.frames, "fit.steps": asked.steps})
    project = video_project(asked.video, root, settings, "another --work")
    bring_up_to("fit", Work(project, settings, "auto", 0, SILENT))


def point(t: int, x: float, y: float, pins: list[list[float]] | None = None) -> dict[str, Any]:
    """A point as the page sends it."""
    return {"name": "", "group": "", "t": t, "x": x, "y": y, "pins": pins or []}


def grid(about: dict[str, Any], t: int) -> list[dict[str, Any]]:
    """The points of a grid of frame `t`."""
    (width, height), places = about["size"], [(i + 0.5) / GRID for i in range(GRID)]
    return [point(t, x * (width - 1), y * (height - 1)) for y in places for x in places]


def questions(about: dict[str, Any]) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """Return functions that make the points of a request, new ones at each call."""
    (width, height), frames, chance = about["size"], about["frames"], random.Random(0)

    def anywhere() -> tuple[float, float]:
        return chance.uniform(0, width - 1), chance.uniform(0, height - 1)

    return {
        "one point": lambda: [point(chance.randrange(frames), *anywhere())],
        "one point with a pin": lambda: [point(0, *anywhere(), [[frames - 1, *anywhere()]])],
        f"a grid of {GRID} x {GRID}": lambda: grid(about, chance.randrange(frames)),
    }


def asked_for(server: Server, question: Callable[[], list[dict[str, Any]]]) -> float:
    """Return the seconds that an answer takes."""
    return server.ask(question())


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("video")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--work", type=Path, metavar="DIR")
    add_settings(parser)
    asked = parser.parse_args()
    report = Report(asked.json)
    with tempfile.TemporaryDirectory() as temporary:
        root = (asked.work or Path(temporary)) / Path(asked.video).stem
        fitted(asked, root)
        server = Server(root, asked.set)
        try:
            table, about = report.table("answers", COLUMNS), server.about()
            table.add(server.row("the address", lambda: server.seconds, 1) | {"cpu": server.cpu()})
            first = partial(asked_for, server, questions(about)["one point"])
            table.add(server.row("one point, first", first, 1))
            grids = iter([grid(about, t) for t in range(1, 1 + PREPARED)])  # the server prepares frame 0 by itself
            table.add(server.row("found again", lambda: server.improved(next(grids)), PREPARED))
            for name, question in questions(about).items():
                table.add(server.row(name, partial(asked_for, server, question), asked.repeats))
        finally:
            server.end()
    report.write()


if __name__ == "__main__":
    main()
