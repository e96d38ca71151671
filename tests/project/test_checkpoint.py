"""Checkpoints: complete or absent, read without running anything, and only into the project they belong to."""

from __future__ import annotations

import os
import pickle
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.project import checkpoint
from omnitrack.project.checkpoint import checkpoint_paths, load_checkpoint, newest_checkpoint, save_checkpoint
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project

STAMP = {"format": 1, "inputs": {"filter": "abc", "seed": 0}, "settings": {"steps": 100}}


def state(step: int, size: int = 10) -> dict[str, Any]:
    return {
        "step": step,
        "field": {"depth.maps": torch.arange(float(size)) + step},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.5, "params": [0]}]},
        "generator": torch.get_rng_state(),
    }


def names(project: Project) -> list[str]:
    return sorted(path.name for path in project.checkpoints_dir.iterdir())


def age(path: Path, seconds: float) -> None:
    """Make a file appear as if it had been written that long ago."""
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - seconds))


def test_round_trip(project: Project) -> None:
    path = save_checkpoint(project, STAMP, 12.5, state(25))
    assert path == project.checkpoints_dir / "step_000025.pt"
    found = load_checkpoint(project)
    assert (found.path, found.stamp, found.seconds) == (path, STAMP, 12.5)
    assert found.state.keys() == state(25).keys()
    assert found.state["step"] == 25
    assert torch.equal(found.state["field"]["depth.maps"], torch.arange(10.0) + 25)
    assert torch.equal(found.state["optimizer"]["state"][0]["step"], torch.tensor(3.0))
    assert found.state["optimizer"]["param_groups"] == [{"lr": 0.5, "params": [0]}]
    assert found.state["generator"].dtype == torch.uint8


def test_settings_of_an_earlier_version_are_called_as_they_are_now(project: Project) -> None:
    save_checkpoint(project, {**STAMP, "settings": {"steps": 100, "data_mb": 360}}, 12.5, state(25))
    assert load_checkpoint(project).stamp["settings"] == {"steps": 100, "correspondences": 60_000_000}


def test_the_newest_two_are_kept(project: Project) -> None:
    for step in (25, 50, 75, 100):
        save_checkpoint(project, STAMP, 1.0, state(step))
    assert names(project) == ["step_000075.pt", "step_000100.pt"]
    assert load_checkpoint(project).state["step"] == 100


def test_the_one_just_written_is_kept_and_read_even_beside_later_steps_of_an_earlier_fit(project: Project) -> None:
    for step in (1475, 1500):
        age(save_checkpoint(project, STAMP, 1.0, state(step)), 60)
    save_checkpoint(project, STAMP, 1.0, state(25))
    assert names(project) == ["step_000025.pt", "step_001500.pt"]
    assert load_checkpoint(project).state["step"] == 25


def test_a_checkpoint_of_its_choice(project: Project) -> None:
    for step in (25, 50):
        save_checkpoint(project, STAMP, 1.0, state(step))
    assert load_checkpoint(project, project.checkpoints_dir / "step_000025.pt").state["step"] == 25


def test_no_checkpoint_yet(project: Project) -> None:
    assert newest_checkpoint(project) is None
    assert checkpoint_paths(project) == []
    with pytest.raises(OmnitrackError, match="has no fitted field yet"):
        load_checkpoint(project)


def refused(project: Project, path: Path) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        load_checkpoint(project)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert f"omnitrack fit {project.root}" in (caught.value.hint or "")
    return caught.value


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_checkpoint_cannot_run_anything(project: Project, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    path = save_checkpoint(project, STAMP, 1.0, {**state(25), "extra": Malicious(evidence)})
    torch.load(path, weights_only=False)
    assert evidence.exists(), "the file is as malicious as it should be"
    evidence.unlink()
    assert "is not a checkpoint that can be read" in refused(project, path).message
    assert not evidence.exists()


def test_a_plain_pickle_cannot_run_anything(project: Project, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    path = project.checkpoints_dir / "step_000025.pt"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(Malicious(evidence)))
    refused(project, path)
    assert not evidence.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated(project: Project, share: float) -> None:
    path = save_checkpoint(project, STAMP, 1.0, state(25, 5000))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    error = refused(project, path)
    assert "is not a checkpoint that can be read" in error.message
    assert "remove it" in (error.hint or "")


def test_flipped_bits_do_not_pass(project: Project) -> None:
    path = save_checkpoint(project, STAMP, 1.0, state(25, 5000))
    content = bytearray(path.read_bytes())
    start = content.find(torch.arange(25.0, 60.0).numpy().tobytes())
    assert start > 0
    content[start + 2] ^= 0xFF
    path.write_bytes(bytes(content))
    refused(project, path)


@pytest.mark.parametrize(
    "foreign",
    [
        {"state_dict": {"weight": torch.zeros(3)}},
        torch.zeros(3),
        [1, 2],
        "text",
        None,
        {"omnitrack_checkpoint": 1},
        {"omnitrack_checkpoint": 1, "frames": None},
    ],
    ids=["state dict", "tensor", "list", "text", "none", "nothing but the format", "no state"],
)
def test_a_foreign_file(project: Project, foreign: object) -> None:
    path = project.checkpoints_dir / "step_000025.pt"
    path.parent.mkdir()
    if isinstance(foreign, dict) and "frames" in foreign:
        foreign["frames"] = project.meta.fingerprint
    torch.save(foreign, path)
    refused(project, path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04", os.urandom(500)], ids=["empty", "text", "zip", "noise"]
)
def test_not_a_torch_file_at_all(project: Project, content: bytes) -> None:
    path = project.checkpoints_dir / "step_000025.pt"
    path.parent.mkdir()
    path.write_bytes(content)
    refused(project, path)


@pytest.mark.parametrize("left", [[50, 75], []])
def test_a_fit_that_runs_meanwhile(project: Project, monkeypatch: pytest.MonkeyPatch, left: list[int]) -> None:
    """A fit removes the newest checkpoint between our finding and our reading it."""
    paths = {step: save_checkpoint(project, STAMP, 1.0, state(step)) for step in (25, 50)}
    plain = checkpoint.read_torch_file

    def late(path: Path) -> dict[str, Any]:
        monkeypatch.setattr(checkpoint, "read_torch_file", plain)
        for old in paths.values():
            old.unlink()
        for step in left:
            save_checkpoint(project, STAMP, 1.0, state(step))
        if left:
            path.unlink()
        return plain(path)

    monkeypatch.setattr(checkpoint, "read_torch_file", late)
    if left:
        assert load_checkpoint(project).state["step"] == 75
    else:
        with pytest.raises(OmnitrackError, match="has no fitted field yet"):
            load_checkpoint(project)


def test_a_checkpoint_that_was_named_and_is_gone(project: Project) -> None:
    save_checkpoint(project, STAMP, 1.0, state(25))
    with pytest.raises(DamagedError, match=r"step_000050.pt is not a checkpoint that can be read: .*No such file"):
        load_checkpoint(project, project.checkpoints_dir / "step_000050.pt")


def test_another_format(project: Project) -> None:
    path = save_checkpoint(project, STAMP, 1.0, state(25))
    content = torch.load(path, weights_only=True)
    torch.save({**content, "omnitrack_checkpoint": 99}, path)
    error = refused(project, path)
    assert "has format 99, this omnitrack reads format 3" in error.message
    assert "update omnitrack" in (error.hint or "")


def test_other_frames(project: Project) -> None:
    path = save_checkpoint(project, STAMP, 1.0, state(25))
    write_meta(project.frames_dir, replace(project.meta, fingerprint="another"))
    assert "was fitted to other frames" in refused(Project(project.root), path).message


def test_a_full_disk_leaves_the_checkpoints_that_are_there(project: Project) -> None:
    for step in (25, 50):
        save_checkpoint(project, STAMP, 1.0, state(step))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # Python ignores the signal: writing more is an error
    try:
        with pytest.raises(OmnitrackError, match=r"cannot write .*step_000075.pt") as caught:
            save_checkpoint(project, STAMP, 1.0, state(75, 50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free some space" in (caught.value.hint or "")
    assert names(project) == ["step_000025.pt", "step_000050.pt"]
    assert load_checkpoint(project).state["step"] == 50


def test_a_write_that_is_killed_leaves_what_was_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle, and then saved again: the half-written file has another name and is never read."""
    save_checkpoint(project, STAMP, 1.0, state(25))

    def killed(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(project, STAMP, 1.0, state(25))
    assert load_checkpoint(project).state["step"] == 25
    half = project.checkpoints_dir / ".step_000050.1.part.pt"
    half.write_bytes(b"half")
    assert [path.name for path in checkpoint_paths(project)] == ["step_000025.pt"]


def test_without_a_fit_the_hint_is_the_first_step_that_is_missing(project: Project) -> None:
    project.products_dir.mkdir(exist_ok=True)
    for there, command in ((None, "flow"), ("flow", "filter"), ("filtered", "fit")):
        if there:
            project.product_path(there).touch()
        with pytest.raises(OmnitrackError, match="no fitted field yet") as caught:
            load_checkpoint(project)
        assert str(caught.value.hint).endswith(f"omnitrack {command} {project.root}")
