"""Several clips in parallel: the same bytes as one after another, even if a worker is killed in any stage."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import cv2
import pytest
from contents import contents
from steps import SMALL, TIMES

from omnitrack.errors import OmnitrackError
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
    """Kills its own process at the start of a stage, unless a mark shows that it has done so before."""

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
    """A normal test run kills one worker, in the fit; a longer one kills one in each stage, several times."""
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
            # finished stages are not run again, except query and render, which are short
            assert outcome.result[0].kept == list(STAGES[:4])[: STAGES.index(stage)]
            assert contents(tmp_path / outcome.name) == undisturbed["left"]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a cluster of one machine, and a function that kills all its processes."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(map(str, (Path(__file__).parents[2], Path(ray.__file__).parents[1])))
    )
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # for sockets, whose paths must be short
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        port, client = one.getsockname()[1], two.getsockname()[1]
    options = ["--head", "--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}"]
    options += ["--node-ip-address=127.0.0.1", f"--port={port}", f"--ray-client-server-port={client}"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
    subprocess.run(start, check=True, capture_output=True, timeout=120)

    def kill() -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # the process has ended in the meantime
                command = path.read_bytes()
                if folder.encode() in command or f":{port}".encode() in command:
                    os.kill(int(path.parent.name), signal.SIGKILL)

    yield f"ray://127.0.0.1:{client}", kill
    kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_head_that_is_killed_loses_nothing(
    tmp_path: Path, videos: dict[str, str], head: tuple[str, Callable[[], None]]
) -> None:
    from omnitrack.workers.cluster import Cluster

    address, kill = head
    options = RunOptions({**SMALL, "fit.steps": "300"}, grid="5@0")
    alone, root = (tmp_path / name / "left" for name in ("alone", "lost"))
    run_many([Clip(videos["left"], alone)], options, Here("cpu"))

    def kill_in_the_fit() -> None:
        while not list(root.glob("checkpoints/*.pt")):
            time.sleep(0.02)
        kill()

    threading.Thread(target=kill_in_the_fit, daemon=True).start()
    with pytest.raises(OmnitrackError, match=r"the cluster at .* is gone") as caught:
        run_many([Clip(videos["left"], root)], options, Cluster(address, 1, "cpu"))
    assert caught.value.hint == "what is finished is kept: type the same again"
    before = contents(root)
    assert "tracks/tracks.npz" not in before
    report = run_many([Clip(videos["left"], root)], options, Here("cpu"))
    assert (report.done, report.failed) == (1, 0)
    assert contents(root) == contents(alone)
