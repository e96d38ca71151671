"""`fit_field`: killed at any time, it resumes as if nothing had happened, and every failure is named."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.optimize import engine
from omnitrack.optimize.methods import METHODS, get_method
from omnitrack.progress import Progress, Task
from omnitrack.project.checkpoint import checkpoint_paths, load_checkpoint
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages import fit as fit_stage
from omnitrack.stages.fit import FitReport, fit_field, load_field, settings_of
from omnitrack.stages.graph import Work, wanted_stamps

REPORT_EVERY = 5  # instead of 25: these fits have 15 steps


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "REPORT_EVERY", REPORT_EVERY)


def with_fit(settings: Settings, **changes: Any) -> Settings:
    return replace(settings, fit=replace(settings.fit, **changes))


@pytest.fixture(scope="module", params=["cadex", "omnimotion"])
def settings(small_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Settings of each published method, with a checkpoint at every report."""
    shape = load_settings(overrides={"fit.method": request.param}).fit.omnimotion  # a method has its own defaults
    small = small_settings.fit.omnimotion
    shape = replace(small, tracked_samples=shape.tracked_samples)
    return with_fit(small_settings, method=request.param, omnimotion=shape, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, filtered_root: Path, settings: Settings) -> Project:
    """A project with an uninterrupted fit; must not be changed."""
    project = Project(shutil.copytree(filtered_root, tmp_path_factory.mktemp("whole") / "clip"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "REPORT_EVERY", REPORT_EVERY)
        fit_field(project, settings, device="cpu")
    return project


class Recorder(Progress):
    """Records messages, and presses Ctrl-C at a report."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.tasks: list[tuple[int, int]] = []
        self.steps: list[int] = []
        self._interrupt_at = interrupt_at

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        self.tasks.append((total, done))
        recorder = self

        class Recording(Task):
            def advance(self, steps: int = 1, **values: float | str) -> None:
                recorder.steps.append(steps)
                if len(recorder.steps) == recorder._interrupt_at:
                    raise KeyboardInterrupt

        return Recording()


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, (dict, list, tuple)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{name}.{key}")
    else:
        yield name, value


def assert_same_result(project: Project, other: Project) -> None:
    """Compare bit for bit: field, optimiser, sampler and random numbers; and the metrics except for the speed."""
    ours, theirs = load_checkpoint(project), load_checkpoint(other)
    assert ours.stamp == theirs.stamp
    left, right = dict(leaves(ours.state)), dict(leaves(theirs.state))
    assert left.keys() == right.keys()
    assert sum(isinstance(value, torch.Tensor) for value in left.values()) > 100
    for name, value in left.items():
        same = torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        assert same, name
    assert metrics(project) == metrics(other)


def metrics(project: Project) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in project.metrics_path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "steps_per_second"} for line in lines]


# --- the result -------------------------------------------------------------------------------------------------
def test_report_metrics_and_checkpoints(filtered_project: Project, settings: Settings) -> None:
    progress = Recorder()
    report = fit_field(filtered_project, settings, device="cpu", progress=progress)
    found = metrics(filtered_project)
    assert [look["step"] for look in found] == [5, 10, 15]
    assert not any(look["rolled_back"] for look in found)
    assert report == FitReport(
        method=settings.fit.method,
        steps=15,
        resumed_from=0,
        seconds=report.seconds,
        loss=found[-1]["losses"]["loss"],
        error_px=found[-1]["error_px"],
        rollbacks=0,
        device="cpu",
        checkpoint=str(filtered_project.checkpoints_dir / "step_000015.pt"),
    )
    assert report.seconds > 0
    assert math.isfinite(report.loss)
    assert [path.name for path in checkpoint_paths(filtered_project)] == ["step_000010.pt", "step_000015.pt"]
    assert progress.tasks == [(15, 0)]
    assert progress.steps == [5, 5, 5]
    assert load_checkpoint(filtered_project).stamp == wanted_stamps(Work(filtered_project, settings))["fit"]


def test_checkpoints_are_as_far_apart_as_asked(filtered_project: Project, small_settings: Settings) -> None:
    fit_field(filtered_project, with_fit(small_settings, checkpoint_seconds=1e6), device="cpu")
    assert [path.name for path in checkpoint_paths(filtered_project)] == ["step_000015.pt"]


def test_the_saved_field_is_the_fitted_one(whole: Project, settings: Settings) -> None:
    field = load_field(whole, device="cpu")
    state = load_checkpoint(whole).state["field"]
    assert field.num_frames == 8
    assert field.depth_map(3).shape == (48, 64)
    if settings.fit.method == "cadex":
        assert field.occlusion_tolerance == settings.fit.cadex.occlusion_tolerance
        np.testing.assert_array_equal(field.depth_map(3)[::2, ::2], state["depth.maps"][3].numpy())
    else:
        assert field.shape.samples == settings.fit.omnimotion.samples
        np.testing.assert_array_equal(field.volume.network.out.bias.detach(), state["volume.network.out.bias"])
    found = field.track(2, np.array([[10.0, 20], [40, 30]]), [0, 2, 5])
    assert found.pixels.shape == (2, 3, 2)
    np.testing.assert_allclose(found.pixels[:, 1], [[10, 20], [40, 30]], atol=1e-3)


def test_a_stamp_gives_its_settings_back(whole: Project, settings: Settings) -> None:
    stamp = load_checkpoint(whole).stamp
    assert set(METHODS) & set(stamp["settings"]) == {settings.fit.method}, "its own method's table only"
    found = settings_of(stamp)
    not_in_it: dict[str, Any] = {"checkpoint_seconds": 0.0, "matches": settings.fit.matches}  # it had no matches
    not_in_it |= {name: getattr(settings.fit, name) for name in METHODS if name != settings.fit.method}
    assert replace(found, **not_in_it) == settings.fit


def test_correspondences_take_as_much_memory_as_the_settings_allow(
    filtered_project: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = fit_stage.read_correspondences

    def spy(project: Project, device: torch.device, most: int) -> Any:
        asked.append(read(project, device, min(most, 3_000)))
        held = asked[-1].displacement.nbytes + asked[-1].confidence.nbytes + asked[-1].occluded.nbytes
        assert held <= 6 * 3_000
        assert most * 6 <= 2_000_000 < (most + 1) * 6
        return asked[-1]

    monkeypatch.setattr(fit_stage, "read_correspondences", spy)
    fit_field(filtered_project, with_fit(small_settings, correspondences=333_333), device="cpu")
    assert asked[0].sources.tolist() == list(range(8)), "a frame too few has no depth of its own"
    assert load_field(filtered_project, device="cpu").depth_map(7).shape == (48, 64)


def test_the_seed_makes_the_result(
    filtered_project: Project, filtered_root: Path, settings: Settings, whole: Project, tmp_path: Path
) -> None:
    fit_field(filtered_project, settings, device="cpu", seed=0)
    assert_same_result(filtered_project, whole)
    other = Project(shutil.copytree(filtered_root, tmp_path / "other"))
    fit_field(other, settings, device="cpu", seed=1)
    weights = [load_checkpoint(p).state["field"]["warp.layers.0.last.weight"] for p in (other, whole)]
    assert not torch.equal(*weights)


# --- interrupted and resumed ------------------------------------------------------------------------------------
@pytest.mark.parametrize("look", [1, 2])
def test_interrupted_and_resumed_is_as_if_nothing_had_happened(
    filtered_project: Project, settings: Settings, whole: Project, look: int
) -> None:
    lazy = with_fit(settings, checkpoint_seconds=1e6)  # so that only Ctrl-C saves
    progress = Recorder(interrupt_at=look)
    with pytest.raises(KeyboardInterrupt):
        fit_field(filtered_project, lazy, device="cpu", progress=progress)
    step = REPORT_EVERY * look
    assert [path.name for path in checkpoint_paths(filtered_project)] == [f"step_{step:06d}.pt"]
    assert any(f"saved the fit at step {step}" in note for note in progress.notes)

    again = Recorder()
    before = load_checkpoint(filtered_project).seconds
    report = fit_field(filtered_project, settings, device="cpu", resume=True, progress=again)
    assert report.resumed_from == step
    assert report.seconds > before
    assert again.tasks == [(15, step)]
    assert again.notes == [f"resuming at step {step}"]
    assert_same_result(filtered_project, whole)


KILLED = """
import os, signal, sys
from omnitrack.config import load_settings
from omnitrack.optimize import engine
from omnitrack.progress import Progress, Task
from omnitrack.project.project import Project
from omnitrack.stages.fit import fit_field

engine.REPORT_EVERY = 5

class Dying(Progress, Task):
    looks = 0

    def task(self, *arguments, **named):
        return self

    def advance(self, steps=1, **values):
        self.looks += 1
        if self.looks == 3:  # after the checkpoint of the second look, before that of the third
            os.kill(os.getpid(), signal.SIGKILL)

project = Project(sys.argv[1])
fit_field(project, load_settings(project.settings_path), device="cpu", progress=Dying())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_and_resumed_is_as_if_nothing_had_happened(
    filtered_project: Project, settings: Settings, whole: Project
) -> None:
    text = filtered_project.settings_path.read_text(encoding="utf-8")
    assert "checkpoint_seconds" in text
    text = text.replace('#method = "cadex"', f'method = "{settings.fit.method}"')
    text = text.replace("#checkpoint_seconds = 30.0", "checkpoint_seconds = 0.0")
    for name in ("learning_rate_decay", "second_moment_steps"):  # whose defaults differ between methods
        text = text.replace(f"#{name} =", f"{name} =")
    filtered_project.settings_path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(filtered_project.root)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert load_checkpoint(filtered_project).state["step"] == 10
    report = fit_field(filtered_project, settings, device="cpu", resume=True)
    assert report.resumed_from == 10
    assert_same_result(filtered_project, whole)


def test_metrics_that_are_newer_than_the_checkpoint_or_cut_short_are_written_again(
    filtered_project: Project, settings: Settings, whole: Project
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_field(filtered_project, settings, device="cpu", progress=Recorder(interrupt_at=1))
    with filtered_project.metrics_path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": 10, "losses": {}}) + '\n{"step": 15, "lo')
    fit_field(filtered_project, settings, device="cpu", resume=True)
    assert metrics(filtered_project) == metrics(whole)


def test_without_resume_a_fit_starts_over(filtered_project: Project, settings: Settings, whole: Project) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_field(filtered_project, settings, device="cpu", progress=Recorder(interrupt_at=2))
    assert fit_field(filtered_project, settings, device="cpu").resumed_from == 0
    assert_same_result(filtered_project, whole)


def test_resume_without_a_checkpoint_starts_at_the_beginning(
    filtered_project: Project, settings: Settings, whole: Project
) -> None:
    progress = Recorder()
    report = fit_field(filtered_project, settings, device="cpu", resume=True, progress=progress)
    assert report.resumed_from == 0
    assert "no checkpoint to resume from" in progress.notes[0]
    assert_same_result(filtered_project, whole)


def test_resuming_a_finished_fit_changes_nothing(whole: Project, settings: Settings, tmp_path: Path) -> None:
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    report = fit_field(project, settings, device="cpu", resume=True)
    assert report.resumed_from == report.steps == 15
    assert_same_result(project, whole)


@pytest.mark.parametrize(
    ("changes", "seed"), [({"steps": 20}, 0), ({"outlier_px": 1.0}, 0), ({}, 1)], ids=["steps", "outliers", "seed"]
)
def test_resume_with_anything_else_is_refused(
    whole: Project, settings: Settings, tmp_path: Path, changes: dict[str, Any], seed: int
) -> None:
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    with pytest.raises(OmnitrackError, match="other data, settings or seed") as caught:
        fit_field(project, with_fit(settings, **changes), device="cpu", seed=seed, resume=True)
    assert "without --resume" in (caught.value.hint or "")
    assert_same_result(project, whole)


def test_steps_that_are_not_finite_are_reported(
    filtered_project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = settings.fit.method
    losses, calls = get_method(name).losses, []

    def poisoned(*arguments: Any) -> Any:
        terms, errors = losses(*arguments)
        calls.extend([1] * torch.is_grad_enabled())  # not of a report
        return {term: value * (math.nan if len(calls) == 7 else 1) for term, value in terms.items()}, errors

    monkeypatch.setitem(METHODS, name, replace(get_method(name), losses=poisoned))
    progress = Recorder()
    report = fit_field(filtered_project, settings, device="cpu", progress=progress)
    assert report.rollbacks == 1
    assert math.isfinite(report.loss)
    assert progress.warnings == ["not finite before step 10: back to step 5 with half the step"]
    assert sum(progress.steps) == 15
    assert [look["step"] for look in metrics(filtered_project)] == [5, 10, 15]


# --- how bad input fails ----------------------------------------------------------------------------------------
def test_no_gpu(filtered_project: Project, settings: Settings) -> None:
    for name in ["cuda:99"] if torch.cuda.is_available() else ["cuda", "cuda:0", "cuda:99"]:
        with pytest.raises(OmnitrackError, match=f"device {name} is not there") as caught:
            fit_field(filtered_project, settings, device=name)
        assert "--device cpu" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["gpu", "cuda:-1", "cuda:x", "meta", "mps", ""])
def test_no_such_device(filtered_project: Project, settings: Settings, name: str) -> None:
    with pytest.raises(OmnitrackError, match=f"there is no device called '{name}'") as caught:
        fit_field(filtered_project, settings, device=name)
    assert caught.value.hint == "use auto, cpu, cuda or cuda:N"


def test_nothing_filtered(matched_project: Project, settings: Settings) -> None:
    with pytest.raises(OmnitrackError, match="has not been filtered yet") as caught:
        fit_field(matched_project, settings, device="cpu")
    assert "omnitrack filter" in (caught.value.hint or "")


def test_no_flow(project: Project, settings: Settings) -> None:
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        fit_field(project, settings, device="cpu")


def test_nothing_believed(filtered_project: Project, settings: Settings) -> None:
    with h5py.File(filtered_project.product_path("filtered"), "r+") as file:
        for group in file.values():
            group["confidence"][...] = 0
    with pytest.raises(OmnitrackError, match=r"no correspondence .* is trusted") as caught:
        fit_field(filtered_project, settings, device="cpu")
    assert "filter" in (caught.value.hint or "")


def test_no_field_yet(filtered_project: Project) -> None:
    with pytest.raises(OmnitrackError, match="has no fitted field yet"):
        load_field(filtered_project, device="cpu")


def damaged(whole: Project, tmp_path: Path) -> Project:
    """Return a project whose newest checkpoint is truncated to half its length."""
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    path = project.checkpoints_dir / "step_000015.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return project


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_left(
    whole: Project, settings: Settings, tmp_path: Path
) -> None:
    project = damaged(whole, tmp_path)
    for use in (
        lambda: load_field(project, device="cpu"),
        lambda: fit_field(project, settings, device="cpu", resume=True),
    ):
        with pytest.raises(OmnitrackError, match=r"step_000015.pt is not a checkpoint that can be read") as caught:
            use()
        assert "remove it; an older one is used then" in (caught.value.hint or "")
    (project.checkpoints_dir / "step_000015.pt").unlink()
    assert fit_field(project, settings, device="cpu", resume=True).resumed_from == 10
    assert_same_result(project, whole)


def test_a_checkpoint_of_other_frames(whole: Project, tmp_path: Path) -> None:
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    write_meta(project.frames_dir, replace(project.meta, fingerprint="another"))
    with pytest.raises(OmnitrackError, match="other frames"):
        load_field(Project(project.root), device="cpu")


@pytest.mark.parametrize("damage", ["a tensor is gone", "another shape", "no field"])
def test_a_checkpoint_that_holds_another_field(whole: Project, settings: Settings, tmp_path: Path, damage: str) -> None:
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    path = project.checkpoints_dir / "step_000015.pt"
    content = torch.load(path, weights_only=True)
    if damage == "a tensor is gone":
        del content["state"]["field"]["warp.layers.0.last.weight"]
    elif damage == "another shape":
        content["state"]["field"]["warp.layers.0.last.weight"] = torch.zeros(1, 2)
    else:
        del content["state"]["field"]
    torch.save(content, path)
    with pytest.raises(OmnitrackError, match=f"does not hold a field of method {settings.fit.method}") as caught:
        load_field(project, device="cpu")
    assert "fit again" in (caught.value.hint or "")
    with pytest.raises(OmnitrackError, match=f"does not hold a fit of method {settings.fit.method}") as caught:
        fit_field(project, settings, device="cpu", resume=True)
    assert caught.value.hint == f"start again without --resume: omnitrack fit {project.root}"


def test_another_methods_settings_do_not_refuse_a_resume(whole: Project, settings: Settings, tmp_path: Path) -> None:
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    other = "omnimotion" if settings.fit.method == "cadex" else "cadex"
    table = replace(getattr(settings.fit, other), learning_rate=0.5)
    report = fit_field(project, with_fit(settings, **{other: table}), device="cpu", resume=True)
    assert report.resumed_from == 15


def test_a_log_that_makes_no_sense_stops_no_fit(whole: Project, settings: Settings, tmp_path: Path) -> None:
    """Lines that are truncated, not JSON, or without a step are dropped; the others stay."""
    project = Project(shutil.copytree(whole.root, tmp_path / "copy"))
    newest = checkpoint_paths(project)[-1]
    newest.unlink()
    kept = project.metrics_path.read_text(encoding="utf-8").splitlines()
    bad = ['{"step": 5', "nonsense", '{"loss": 1}', "[]", '{"step": null}', "\x00\x00"]
    project.metrics_path.write_text("\n".join([*kept[:2], *bad, ""]), encoding="utf-8")
    fit_field(project, settings, device="cpu", resume=True)
    assert [look["step"] for look in metrics(project)] == [5, 10, 15]
