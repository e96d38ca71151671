"""Tracks as supervision, end to end: saved tracks, flow from them, filter; and re-import of omnitrack's own tracks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.correspondence.raster import inside
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.info import inspect_project
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.products import Product
from omnitrack.stages.query import query_tracks
from omnitrack.synthetic import SyntheticScene
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

MODEL = (256, 256)


@pytest.fixture(scope="module")
def unmatched_root(tmp_path_factory: pytest.TempPathFactory, scene: SyntheticScene) -> Path:
    root = tmp_path_factory.mktemp("unmatched") / "clip"
    init_from_frames(scene.frames(), root, Settings(), 12.0, "scene")
    return root


@pytest.fixture(scope="module")
def exact(scene: SyntheticScene) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The scene's tracks (N, T, 2) from a grid in three frames, and where they are visible."""
    y, x = np.mgrid[1 : scene.size[1] : 4, 1 : scene.size[0] : 4]
    queries = [np.column_stack([np.full(x.size, t), x.ravel(), y.ravel()]) for t in (0, 4, 7)]
    return scene.tracks(np.concatenate(queries))


def save_as(
    path: Path, layout: str, positions: NDArray[np.float32], seen: NDArray[np.bool_], size: Any
) -> dict[str, Any]:
    """Write tracks as a tracker would; return the settings that its file needs."""
    raster, resized = positions + 0.5, (positions + 0.5) * np.array(MODEL) / size
    frames_first, seen_first = positions.transpose(1, 0, 2)[None], seen.T[None]
    sure = np.where(seen, 6.0, -6.0)
    model = {"width": MODEL[0], "height": MODEL[1]}
    if layout == "cotracker":
        np.savez(path, pred_tracks=frames_first, pred_visibility=seen_first)
    elif layout == "tapir":
        np.savez(path, tracks=resized, occlusion=-sure, expected_dist=-sure)
        return model
    elif layout == "tapnext":
        yx = torch.as_tensor(resized.transpose(1, 0, 2)[None, ..., ::-1].copy())
        torch.save({"tracks": yx, "visible_logits": torch.as_tensor(sure.T[None, ..., None].copy())}, path)
        return model
    elif layout == "trackon":
        hidden_as_zero = (raster * seen[..., None]).transpose(1, 0, 2)[None]
        torch.save(
            {"pred_trajectory": torch.as_tensor(hidden_as_zero), "pred_visibility": torch.as_tensor(seen_first)}, path
        )
    else:
        rest = [np.zeros((len(seen), 3), np.float32), positions, seen, seen.astype(np.float32)]
        save_tracks(Tracks(*rest, seen.astype(np.float32), np.arange(seen.shape[1]), size, 12.0), path)
    return {}


def use_tracks(settings: Settings, path: Path, **flow: Any) -> Settings:
    overrides = {"estimator": "tracks", "tracks.path": str(path), **flow}
    flow_settings = {f"flow.{key}": value for key, value in overrides.items()}
    return load_settings(base=settings, overrides={**flow_settings, "filter.grid_points": 200})


def judge(project: Project, scene: SyntheticScene) -> tuple[NDArray[Any], float, float]:
    """Return errors in pixels of accepted visible points; the accepted shares of visible and of occluded points."""
    data = read_correspondences(project, torch.device("cpu"), 10**9)
    grid = data.grid.numpy()
    errors, seen, hidden = [], [], []
    for source in range(scene.num_frames):
        tracks, visible = scene.tracks(np.column_stack([np.full(len(grid), source), grid]))
        for k, target in enumerate(data.targets[source].tolist()):
            landed = grid + data.displacement[source, k].numpy() * data.unit_px
            believed = ((data.confidence[source, k] > 0) & ~data.occluded[source, k]).numpy()
            there = visible[:, target]
            errors.append(np.linalg.norm(landed - tracks[:, target], axis=-1)[believed & there])
            seen.append(believed[there])
            hidden.append(believed[~there & inside(tracks[:, target], scene.size)])
    return np.concatenate(errors), float(np.concatenate(seen).mean()), float(np.concatenate(hidden).mean())


@pytest.mark.parametrize("layout", ["cotracker", "tapir", "tapnext", "trackon", "omnitrack"])
def test_from_a_file_of_tracks_to_correspondences(
    layout: str,
    tmp_path: Path,
    unmatched_root: Path,
    scene: SyntheticScene,
    exact: tuple[NDArray[np.float32], NDArray[np.bool_]],
    small_settings: Settings,
) -> None:
    project = Project(shutil.copytree(unmatched_root, tmp_path / "clip"))
    path = tmp_path / f"tracks.{'pt' if layout in ('tapnext', 'trackon') else 'npz'}"
    more = save_as(path, layout, *exact, scene.size)
    settings = use_tracks(small_settings, path, **{f"tracks.{key}": value for key, value in more.items()})
    compute_flow(project, settings)
    filter_flow(project, settings)
    errors, seen, hidden = judge(project, scene)
    assert np.quantile(errors, 0.95) < 0.1
    assert (errors < 1).mean() > 0.985
    assert seen > 0.9
    assert hidden < 0.1


def test_dis_near_and_tracks_far(
    tmp_path: Path,
    unmatched_root: Path,
    scene: SyntheticScene,
    exact: tuple[NDArray[np.float32], NDArray[np.bool_]],
    small_settings: Settings,
) -> None:
    project = Project(shutil.copytree(unmatched_root, tmp_path / "clip"))
    save_as(tmp_path / "tracks.npz", "cotracker", *exact, scene.size)
    mixed = use_tracks(small_settings, tmp_path / "tracks.npz", estimator="dis", far_estimator="tracks", far_gap=2)
    compute_flow(project, mixed)
    with FlowStore(project) as store:
        assert store.confidence(0, 1) is None and store.confidence(0, 2) is not None
    filter_flow(project, mixed)
    errors, seen, _ = judge(project, scene)
    assert np.quantile(errors, 0.95) < 0.5
    assert seen > 0.9


def test_other_tracks_in_the_file_make_the_flow_stale(
    tmp_path: Path,
    unmatched_root: Path,
    scene: SyntheticScene,
    exact: tuple[NDArray[np.float32], NDArray[np.bool_]],
    small_settings: Settings,
) -> None:
    project = Project(shutil.copytree(unmatched_root, tmp_path / "clip"))
    path = tmp_path / "tracks.npz"
    save_as(path, "cotracker", *exact, scene.size)
    settings = use_tracks(small_settings, path, pairs="window:1")
    named = f'[flow]\nestimator = "tracks"\npairs = "window:1"\n[flow.tracks]\npath = "{path}"\n'
    project.settings_path.write_text(named)

    def flow_of_project() -> Product:
        return next(product for product in inspect_project(project).products if product.name == "flow")

    compute_flow(project, settings)
    assert flow_of_project().state == "ready"
    assert compute_flow(project, settings).computed == 0
    save_as(path, "cotracker", exact[0] + 0.25, exact[1], scene.size)
    assert (flow_of_project().state, flow_of_project().reason) == ("stale", "made from other tracks")
    assert compute_flow(project, settings).computed == 14
    assert flow_of_project().state == "ready"


def test_our_own_tracks_in_again(
    tmp_path: Path, filtered_project: Project, unmatched_root: Path, small_settings: Settings
) -> None:
    """Export and import agree: where a queried point is visible in two frames, the flow at it leads to its position."""
    fit_field(filtered_project, load_settings(base=small_settings, overrides={"fit.steps": 3}), device="cpu")
    y, x = np.mgrid[4:48:10, 4:64:10]
    queries = np.column_stack([np.zeros(x.size), x.ravel(), y.ravel()]).astype(np.float32)
    tracks = query_tracks(filtered_project, queries, small_settings, device="cpu")
    save_tracks(tracks, tmp_path / "tracks.npz")
    project = Project(shutil.copytree(unmatched_root, tmp_path / "clip"))
    compute_flow(project, use_tracks(small_settings, tmp_path / "tracks.npz", pairs="window:2"))
    with FlowStore(project) as store:
        flow, confidence = store.flow(0, 2), store.confidence(0, 2)
    both = tracks.visible[:, 0] & tracks.visible[:, 2]
    column, row = queries[both, 1:].astype(int).T
    moved = tracks.tracks[both, 2] - tracks.tracks[both, 0]
    off = np.linalg.norm(flow[row, column] - moved, axis=-1)
    assert np.median(off) < 0.1 and np.quantile(off, 0.9) < 0.5
    assert confidence is not None and np.median(confidence[row, column]) > 0.5
