"""Several clips at once: the same bytes as one after another, also where a worker is killed in any stage."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import pytest
from contents import contents
from steps import SMALL, TIMES

from omnitrack.progress import SILENT, Progress
from omnitrack.stages.clips import Clip
from omnitrack.stages.run import RunReport
from omnitrack.stages.run_many import RunOptions, run_clip, run_many
from omnitrack.synthetic import occluder_scene
from omnitrack.workers.contract import Executor, Job, Share
from omnitrack.workers.here import Here
from omnitrack.workers.processes import Processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")
OPTIONS = RunOptions({**SMALL, "fit.steps": "4"}, grid="5@0")
STAGES = ("init", "flow", "filter", "fit", "query", "render")
CLIPS = ("left", "right")


class Killing(Progress):
    """Kills its own process when a stage has begun, unless a mark says that it has."""

    def __init__(self, stage: str, mark: Path) -> None:
        self._stage, self._mark = stage, mark

    def stage(self, name: str) -> AbstractContextManager[object]:
        if name == self._stage and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().stage(name)


def run_and_be_killed(
    video: str, root: Path, options: RunOptions, stage: str, mark: Path, device: str = "", progress: Progress = SILENT
) -> list[RunReport]:
    """`run_clip` in a process that is killed once."""
    return run_clip(video, root, options, "cpu", Killing(stage, mark))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("videos")
    for name, speed in zip(CLIPS, (2.0, 3.0), strict=True):
        (folder / name).mkdir()
        for t, frame in enumerate(occluder_scene((64, 48), 5, speed=speed).frames()):
            cv2.imwrite(str(folder / name / f"{t}.png"), frame)
    return {name: str(folder / name) for name in CLIPS}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, videos: dict[str, str]) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("alone")
    report = run_many([Clip(video, folder / name) for name, video in videos.items()], OPTIONS, Here("cpu"))
    assert (report.done, report.failed) == (len(videos), 0)
    return {name: contents(folder / name) for name in videos}


@pytest.fixture(params=["processes", "ray"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """Two workers."""
    if request.param == "processes":
        return Processes([Share(1, "cpu"), Share(1, "cpu")])
    pytest.importorskip("ray", reason="Ray is not installed")
    from omnitrack.workers.cluster import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    return Cluster("local", 2, "cpu")


def test_the_same_bytes_where_workers_are_killed(
    tmp_path: Path, videos: dict[str, str], undisturbed: dict[str, dict[str, str]], executor: Executor
) -> None:
    """In a run of all tests one is killed, in the fit; in a longer one, one in each stage so many times."""
    stages = ["fit"] if TIMES == 1 else [*STAGES] * max(1, round(TIMES))
    jobs = [Job("right", run_clip, (videos["right"], tmp_path / "right", OPTIONS))]
    for number, stage in enumerate(stages):
        root, mark = tmp_path / f"left{number}", tmp_path / f"{number}.mark"
        jobs.append(Job(root.name, run_and_be_killed, (videos["left"], root, OPTIONS, stage, mark)))
    for outcome in executor.run(jobs, SILENT, len(jobs)):
        if outcome.number == 0:
            assert (outcome.error, outcome.tries) == (None, 1)
            assert contents(tmp_path / "right") == undisturbed["right"]
        else:
            stage = stages[outcome.number - 1]
            assert (outcome.error, outcome.tries) == (None, 2)
            # what was finished is not done twice; query and render are short, and made anew
            assert outcome.result[0].kept == list(STAGES[:4])[: STAGES.index(stage)]
            assert contents(tmp_path / outcome.name) == undisturbed["left"]
