"""System errors on a file are distinguished from damage by every reader of a project's files."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnitrack.errors import UnavailableError
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.project import Project
from omnitrack.project.renders import index_damage
from omnitrack.stages.info import inspect_project
from omnitrack.tracks.files import load_tracks
from omnitrack.unavailable import unavailable

TOLD = {
    errno.EAGAIN: "in use by another program",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "cannot be read now: ",
    errno.ESTALE: "cannot be read now: ",
    errno.EMFILE: "cannot be read now: ",
}


@pytest.mark.parametrize("number", TOLD)
def test_what_is_said(number: int) -> None:
    error = unavailable(Path("clip/flow.h5"), OSError(number, "of the system"))
    assert error is not None and error.hint
    assert error.message.startswith("clip/flow.h5 ") and TOLD[number] in error.message


@pytest.mark.parametrize("error", [OSError("no errno"), OSError(errno.ENOENT, "gone"), ValueError("not hdf5")])
def test_what_may_be_damage(error: Exception) -> None:
    assert unavailable(Path("flow.h5"), error) is None


READERS: dict[str, Callable[[Project], object]] = {
    "frames/frames.json": lambda project: Project(project.root),
    "frames/000003.png": lambda project: project.frame(3),
    "checkpoints/step_000001.pt": load_checkpoint,
    "tracks/tracks.npz": lambda project: load_tracks(project.tracks_dir / "tracks.npz"),
    "tracks/tracks.csv": lambda project: load_tracks(project.tracks_dir / "tracks.csv"),
}


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Path, number: int) -> None:
    """Make the system refuse to open a file."""
    plain = io.open

    def opened(path: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(path, int) and Path(path) == refused:
            raise OSError(number, "of the system", str(path))
        return plain(path, *args, **options)

    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr("builtins.open", opened)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_no_reader_takes_it_for_damage(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    path = project.root / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    refuse(monkeypatch, path, number)
    with pytest.raises(UnavailableError, match=TOLD[number]):
        READERS[name](project)


def test_info_tells_it_apart(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.renders_dir.mkdir()
    project.renders_index_path.touch()
    project.tracks_dir.mkdir()
    (project.tracks_dir / "tracks.npz").touch()
    assert type(index_damage(project)) is not UnavailableError
    damaged = {product.name for product in inspect_project(project).products if product.state == "damaged"}
    assert damaged == {"renders/renders.json", "tracks/tracks.npz"}
    for path in (project.renders_index_path, project.tracks_dir / "tracks.npz", project.frame_path(0)):
        refuse(monkeypatch, path, errno.EIO)
    states = {product.name: product.state for product in inspect_project(project).products}
    assert {name: states[name] for name in (*damaged, "frames")} == dict.fromkeys((*damaged, "frames"), "in use")
