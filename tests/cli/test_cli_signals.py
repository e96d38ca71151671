"""SIGTERM stops a command as Ctrl-C does, with a different exit status."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from omnitrack.cli.failures import Interrupted, Terminated, explain
from omnitrack.project.project import Project
from omnitrack.project.store import flow_file
from omnitrack.synthetic import translating_scene

SLOW = """
import sys, time
from omnitrack.correspondence.estimators.dis import DisEstimator
plain = DisEstimator.estimate
def slow(self, *arguments):
    print("at work", flush=True)
    time.sleep(0.2)
    return plain(self, *arguments)
DisEstimator.estimate = slow
sys.argv = ["omnitrack", *sys.argv[1:]]
from omnitrack.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("stopped", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (Interrupted(KeyboardInterrupt()), 130, "interrupted"),
        (Interrupted(Terminated()), 143, "stopped by SIGTERM"),
    ],
)
def test_each_has_its_status(stopped: BaseException, status: int, words: str) -> None:
    failure = explain(stopped, ["fit", "clip"], "clip/checkpoints/step_000007.pt")
    assert (failure.exit_status, failure.message) == (status, f"{words}; kept: clip/checkpoints/step_000007.pt")
    assert failure.hint == "go on with: omnitrack fit clip --resume"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_keeps_what_is_finished(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(translating_scene(num_frames=4).frames()):
        cv2.imwrite(str(tmp_path / "frames" / f"{t}.png"), frame)
    root = tmp_path / "clip"
    subprocess.run([sys.executable, "-m", "omnitrack", "init", tmp_path / "frames", root, "-q"], check=True)
    command = [sys.executable, "-c", SLOW, "flow", str(root), "-q", "--set", "flow.workers=1"]
    command += ["--set", "flow.descriptors.network=none"]  # which would have the estimator work before the first pair
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    for _ in range(6):  # the first source frame has at most four pairs
        assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in told
    assert f"omnitrack flow {root}" in told
    assert f"kept: what is finished of {root / 'products' / 'flow.h5'}" in told
    project = Project(root)
    assert flow_file(project).has_parts()
    assert not project.lock_path.exists()
