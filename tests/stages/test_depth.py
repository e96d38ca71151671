"""Depth maps as a product of a project: computed once, resumed, stamped, and how a fit uses them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.config import fingerprint, load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.depth_store import depth_file, read_depth
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.depth import MOST_SIDE, compute_depth, depth_stamp, resample, stored_shape
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.graph import Work
from omnitrack.stages.info import inspect_project
from omnitrack.synthetic import SyntheticScene

DISTANCES = np.array([2.0, 4.0, 8.0], np.float32)  # of pole, disc and background
WithMaps = Callable[..., Settings]


class Heard(Progress):
    """Records messages, and stops after some steps if requested."""

    def __init__(self, stop_after: int = 0) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self._left = stop_after

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        return self._Stopping(self) if self._left and name == "depth" else Task()

    class _Stopping(Task):
        def __init__(self, heard: Heard) -> None:
            self._heard = heard

        def advance(self, steps: int = 1, **values: Any) -> None:
            self._heard._left -= steps
            if self._heard._left == 0:
                raise KeyboardInterrupt


@pytest.fixture
def maps(scene: SyntheticScene) -> NDArray[np.float32]:
    """(T, H, W) exact distances."""
    return DISTANCES[np.stack([scene.depth_order(t) for t in range(scene.num_frames)])]


@pytest.fixture
def with_maps(tmp_path: Path, small_settings: Settings) -> WithMaps:
    """Return settings of a fit with depth maps, which are written to a folder."""

    def made(values: NDArray[np.floating], kind: str = "depth") -> Settings:
        folder = tmp_path / "maps"
        folder.mkdir(exist_ok=True)
        for t, one in enumerate(values):
            np.save(folder / f"{t}.npy", one)
        depth = replace(small_settings.depth, source="folder", path=str(folder), kind=kind)
        return replace(small_settings, depth=depth)

    return made


def test_maps_are_stored_once_and_kept_by_other_stages(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps
) -> None:
    settings = with_maps(maps)
    report = compute_depth(filtered_project, settings)
    assert (report.source, report.kind, report.frames, report.computed) == ("folder", "depth", 8, 8)
    assert report.size == (64, 48)
    found, kind = read_depth(filtered_project)
    assert kind == "depth"
    np.testing.assert_array_equal(found, maps)
    assert compute_depth(filtered_project, settings).computed == 0
    filter_flow(filtered_project, settings)
    compute_flow(filtered_project, settings, pairs=[(0, 7)])
    assert compute_depth(filtered_project, settings).computed == 0
    assert depth_file(filtered_project).stamp() == depth_stamp(filtered_project, settings)


def test_an_interrupted_run_is_taken_up_again(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps
) -> None:
    settings = with_maps(maps)
    with pytest.raises(KeyboardInterrupt):
        compute_depth(filtered_project, settings, Heard(stop_after=3))
    assert inspect_project(filtered_project).state("depth") == "unfinished"
    assert compute_depth(filtered_project, settings).computed == 5
    np.testing.assert_array_equal(read_depth(filtered_project)[0], maps)


def test_other_maps_or_another_kind_are_computed_again(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps
) -> None:
    first = depth_stamp(filtered_project, with_maps(maps))
    compute_depth(filtered_project, with_maps(maps))
    changed = maps.copy()
    changed[3, 0, 0] += 1
    assert compute_depth(filtered_project, with_maps(changed)).computed == 8
    assert compute_depth(filtered_project, with_maps(changed, "inverse")).kind == "inverse"
    assert depth_stamp(filtered_project, with_maps(changed)) != first
    assert depth_stamp(filtered_project, with_maps(maps)) == first


def test_settings_that_another_source_uses_do_not_count(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps
) -> None:
    settings = with_maps(maps)
    other = replace(settings, depth=replace(settings.depth, side=99, onnx=replace(settings.depth.onnx, multiple=32)))
    assert depth_stamp(filtered_project, settings) == depth_stamp(filtered_project, other)


@pytest.mark.parametrize(
    ("found", "size", "stored"),
    [
        ((480, 854), (854, 480), (180, 320)),  # bounded
        ((480, 854), (128, 96), (240, 320)),  # in the aspect ratio of the frames, whatever that of the maps
        ((12, 16), (854, 640), (12, 16)),  # not finer than the input
    ],
)
def test_stored_maps_are_bounded(found: tuple[int, int], size: tuple[int, int], stored: tuple[int, int]) -> None:
    assert stored_shape(found, size) == stored
    assert max(stored) <= MOST_SIDE


def test_resampling_takes_the_nearest_value() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(resample(values, (1, 2)), [[5, 7]])  # centres at (1.5, 1) and (1.5, 3) of 3 x 4
    np.testing.assert_array_equal(resample(values, (6, 8)), values.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(resample(values, (3, 4)), values)


def test_a_fit_records_its_maps_and_only_where_it_has_some(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps, small_settings: Settings
) -> None:
    fit_field(filtered_project, small_settings, "cpu")
    assert "depth" not in load_checkpoint(filtered_project).stamp["inputs"]
    settings, heard = with_maps(maps), Heard()
    fit_field(filtered_project, settings, "cpu", progress=heard)
    stamp = load_checkpoint(filtered_project).stamp
    assert stamp["inputs"]["depth"] == fingerprint(depth_stamp(filtered_project, settings))
    assert any("the depth prior is" in text for text in heard.notes + heard.warnings)
    with pytest.raises(OmnitrackError, match="was made from other data, settings or seed"):
        fit_field(filtered_project, with_maps(1 + maps), "cpu", resume=True)


def test_a_prior_upside_down_is_left_out_with_a_warning(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps, small_settings: Settings
) -> None:
    fit_field(filtered_project, small_settings, "cpu")
    without = load_checkpoint(filtered_project).state["field"]
    heard = Heard()
    fit_field(filtered_project, with_maps(maps, "inverse"), "cpu", progress=heard)
    wrong = load_checkpoint(filtered_project).state["field"]
    assert all(bool((wrong[name] == value).all()) for name, value in without.items())
    assert any("the depth prior is left out" in text for text in heard.warnings)


@pytest.mark.parametrize(
    "changes",
    [
        {"cadex": {"depth_start": "flat"}},
        {"method": "plain_2d"},
        {"method": "omnimotion", "omnimotion": {"depth_prior_weight": 0.0, "guided_share": 0.0}},
    ],
)
def test_fits_that_start_from_no_depth_compute_none(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps, changes: dict[str, Any]
) -> None:
    settings = with_maps(maps)
    fit = settings.fit
    for name, value in changes.items():
        fit = replace(fit, **{name: replace(getattr(fit, name), **value) if isinstance(value, dict) else value})
    assert depth_stamp(filtered_project, replace(settings, fit=fit)) is None
    assert compute_depth(filtered_project, replace(settings, fit=fit)).source == "none"
    assert not depth_file(filtered_project).path.exists()


def test_maps_that_say_nothing_are_refused(
    filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps
) -> None:
    with pytest.raises(OmnitrackError, match="has the same value everywhere"):
        compute_depth(filtered_project, with_maps(np.ones_like(maps)))
    spoilt = maps.copy()
    spoilt[2, :2, 0] = np.nan
    with pytest.raises(OmnitrackError, match="depth map of frame 2 has 2 of 3072 values that are not finite"):
        compute_depth(filtered_project, with_maps(spoilt))


def test_damaged_maps_say_so(filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps) -> None:
    compute_depth(filtered_project, with_maps(maps))
    with h5py.File(filtered_project.product_path("depth"), "a") as file:
        del file["000005/values"]
    with pytest.raises(OmnitrackError, match=r"the depth maps in .* cannot be read"):
        read_depth(filtered_project)


def test_info_shows_them(filtered_project: Project, maps: NDArray[np.float32], with_maps: WithMaps) -> None:
    assert "depth" not in [product.name for product in inspect_project(filtered_project).products]
    settings = with_maps(maps)
    named = f'[depth]\nsource = "folder"\npath = "{settings.depth.path}"\nkind = "depth"\n'
    filtered_project.settings_path.write_text(named, encoding="utf-8")
    assert inspect_project(filtered_project).state("depth") == "missing"
    fit_field(filtered_project, settings, "cpu")
    report = inspect_project(filtered_project)
    assert (report.state("depth"), report.state("fit")) == ("ready", "ready")
    assert next(product.bytes for product in report.products if product.name == "depth") > 0
    np.save(Path(settings.depth.path) / "0.npy", maps[0] + 1)
    report = inspect_project(filtered_project)
    assert (report.state("depth"), report.state("fit")) == ("stale", "stale")
    assert "omnitrack fit" in next(product.command for product in report.products if product.name == "depth")


@pytest.mark.parametrize(
    ("source", "path", "lacks"),
    [
        ("folder", "maps", "needs the package OpenEXR"),
        ("folder", "none", "none does not exist"),
        ("onnx", "a.onnx", "needs the package onnxruntime"),
    ],
)
def test_what_a_source_lacks_is_said_before_the_flow(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, path: str, lacks: str
) -> None:
    """A new project is brought up: it has no products after the error."""
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "maps").mkdir()
    for t in range(project.num_frames):
        (tmp_path / "maps" / f"{t}.exr").write_bytes(b"")
    settings = load_settings(overrides={"depth.source": source, "depth.path": str(tmp_path / path)})
    with pytest.raises(OmnitrackError, match=lacks) as caught:
        bring_up_to("fit", Work(project, settings))
    assert caught.value.hint
    assert not list(project.products_dir.glob("*.h5"))
