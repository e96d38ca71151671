"""A project that is a directory with a description of its frames: enough for all that fails before reading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnitrack.cli.app import execute
from omnitrack.project.frames_meta import FramesMeta, write_meta


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command line: (exit status, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "100")
    for variable in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH"):
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = execute(list(arguments))
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "clip"
    (root / "frames").mkdir(parents=True)
    meta = FramesMeta(
        source="clip.mp4",
        count=12,
        fps=25.0,
        size=(64, 48),
        original_size=(128, 96),
        indices=list(range(12)),
        fingerprint="0123456789abcdef",
    )
    write_meta(root / "frames", meta)
    return root
