"""A process killed before any change that it makes on disk, or at any moment, loses nothing that was finished."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from contents import contents
from steps import STAGES, TIMES, Steps
from zygote import Job, Zygote

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
KILLS = {"init": 1, "flow": 2, "filter": 1, "fit": 1, "query": 0.5, "render": 0.5}  # kills in a normal test run
MOMENTS = 1  # per stage


def chosen(count: float, most: int) -> list[int]:
    """Return `count` (times `TIMES`) of the numbers 1 to `most`, or all of them."""
    some = max(1, round(count * TIMES))
    return sorted(np.random.default_rng(0).permutation(most)[:some] + 1)


def survives(steps: Steps, zygote: Zygote, stage: str, root: Path, kill: Callable[[list[str]], Job]) -> int:
    """Kill a stage, check what is left, run it again, compare with an undisturbed run; return the exit status."""
    root = steps.start(stage, root)
    found = contents(root) if root.exists() else {}
    ended = zygote.run(kill(steps.arguments(stage, root)))[0]
    assert ended.status in (0, -signal.SIGKILL, 143), ended.said
    if ended.status == 143:
        assert "stopped by SIGTERM" in ended.said
    whole = (root / "frames" / "frames.json").exists()
    if whole:
        kept = {name: digest for name, digest in found.items() if digest == steps.after[stage].get(name)}
        assert contents(root, kept) == kept, "what was finished has changed"
        info = zygote.command("info", root, "--json", "-q")
        assert info.status == 0, info.said
        states = {product["name"]: product["state"] for product in json.loads(info.said)["products"]}
        assert set(states.values()) <= {"ready", "missing", "unfinished"}, states
    again = zygote.command(*steps.arguments(stage, root))
    if stage == "init" and whole:
        assert "is already a project" in again.said
    else:
        assert again.status == 0, again.said
    left = contents(root)
    if stage == "init" and whole:
        left.pop(".lock", None)  # left by the dead process: the next writer takes it over
    assert left == steps.after[stage]
    shutil.rmtree(root)
    return ended.status


@pytest.mark.parametrize("stage", ["init", *STAGES])
def test_killed_before_a_change_of_the_disk(
    steps: Steps, zygote: Zygote, stage: str, tmp_path: Path, tried: Callable[[str], None]
) -> None:
    root = steps.start(stage, tmp_path / "count")
    changes = zygote.run(Job(steps.arguments(stage, root), watched=str(tmp_path)))[0].changes
    for number in chosen(KILLS[stage], changes):
        at = tmp_path / str(number)
        status = survives(
            steps, zygote, stage, at, lambda command, n=int(number): Job(command, n, watched=str(tmp_path))
        )
        assert status == -signal.SIGKILL or number > changes - 2  # threads write in any order
        tried("kills")


@pytest.mark.parametrize("stage", ["init", *STAGES])
@pytest.mark.parametrize("by", [signal.SIGTERM] if TIMES == 1 else [signal.SIGTERM, signal.SIGKILL], ids=str)
def test_ended_at_any_moment(
    steps: Steps, zygote: Zygote, stage: str, by: int, tmp_path: Path, tried: Callable[[str], None]
) -> None:
    draw = np.random.default_rng(list(STAGES).index(stage) if stage in STAGES else 9)
    for number in range(max(1, round(MOMENTS * TIMES))):
        after = float(draw.uniform(0.002, 0.6))
        survives(steps, zygote, stage, tmp_path / str(number), lambda command, s=after: Job(command, after=s, by=by))
        tried("kills" if by == signal.SIGKILL else "terms")
