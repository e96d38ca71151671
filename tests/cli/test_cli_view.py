"""`omnitrack view` on the command line: what it refuses, what it prints, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_package_is_named_with_its_command(
    cli: Run, project: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    status, out, error = cli("view", str(project))
    assert status == 1 and out == ""
    assert f"error: this needs the package {package}" in error
    assert 'hint: pip install "omnitrack-video[view]"' in error


def test_frames_of_a_project_are_chosen_already(cli: Run, project: Path) -> None:
    status, _, error = cli("view", str(project), "--max-size", "64")
    assert status == 2 and f"--max-size chooses frames of a video, and {project} is a project" in error


def test_what_is_no_clip_is_named(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("view", "gone.mp4"), ("view",)):
        status, out, error = cli(*words)
        assert status == 1 and out == "" and error.startswith("error: ") and "hint: " in error
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to catch")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_video_becomes_a_project_with_a_page(video_file: Path, tmp_path: Path, number: int, status: int) -> None:
    command = [sys.executable, "-m", "omnitrack", "view", str(video_file), "--json", "--no-browser", "--end", "5"]
    pipe = subprocess.PIPE
    process: subprocess.Popen[str] = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    try:
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
        told: dict[str, Any] = json.loads(said)
        assert told["project"] == video_file.stem and told["url"].startswith("http://127.0.0.1:")
        with urllib.request.urlopen(told["url"] + "project", timeout=60) as answer:
            assert json.load(answer)["frames"] == 5
    finally:
        process.send_signal(number)
        _, error = process.communicate(timeout=120)
    assert process.returncode == status and "Traceback" not in error, error
    root = tmp_path / video_file.stem
    assert not (root / ".lock").exists() and not list(root.glob(".view*"))
