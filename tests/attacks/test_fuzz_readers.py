"""Every file of a project, damaged at random: its reader returns the same as before, or raises an OmnitrackError.

Each try damages one file, runs `inspect_project`, reads the file as the stages do, and restores it.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from damage import (
    BYTES,
    CHANGES,
    TENSORS,
    Damage,
    flip,
    lengthen,
    replace_array,
    replace_tensor,
    restore,
    zeros,
)
from steps import TIMES, Steps

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.depth_store import depth_file, read_depth, write_depth
from omnitrack.project.feature_store import FeatureStore, features_file, write_features
from omnitrack.project.filtered import read_statistics
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.groups import frame_name
from omnitrack.project.match_store import COLUMNS, matches_file, read_matches, write_matches
from omnitrack.project.project import Project
from omnitrack.project.renders import read_renders, record_render
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.fit import fit_field, load_field
from omnitrack.stages.info import inspect_project
from omnitrack.tracks.files import load_tracks, save_tracks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the project is made by processes that are forked")
CPU = torch.device("cpu")
MANY = 10**9


@pytest.fixture(scope="module")
def project(steps: Steps, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The clip as a project with every kind of file."""
    made = Project(shutil.copytree(steps.before["render"], tmp_path_factory.mktemp("whole") / "clip"))
    tracks = load_tracks(made.tracks_dir / "tracks.npz")
    for suffix in ("h5", "csv", "json"):
        save_tracks(tracks, made.tracks_dir / f"tracks.{suffix}")
    made.renders_dir.mkdir()
    (made.renders_dir / "overlay.mp4").write_bytes(b"a video")
    record_render(made, made.renders_dir / "overlay.mp4", {"inputs": {}, "settings": {"style": "tracks"}})
    random = np.random.default_rng(0)
    stamp = make_stamp({"frames": made.meta.fingerprint}, {"extractor": "x"})
    frames = range(made.num_frames)
    for file, write, value in (
        (features_file(made), write_features, lambda: random.standard_normal((3, 4, 5)).astype(np.float32)),
        (depth_file(made), partial(write_depth, kind="depth"), lambda: random.random((6, 8)).astype(np.float32)),
    ):
        parts = file.parts(stamp)
        for t in frames:
            parts.write(t, lambda part, t=t, write=write, value=value: write(part, t, value()))
        parts.merge(stamp, map(frame_name, frames))
    parts = matches_file(made).parts(stamp)
    for t in frames[:-1]:
        rows = random.uniform(0, 40, (5, len(COLUMNS))).astype(np.float32)
        rows[:, 0], rows[:, 3], rows[:, 6] = t, made.num_frames - 1, 0.5
        parts.write(t, lambda part, t=t, rows=rows: write_matches(part, t, rows))
    parts.merge(stamp, map(frame_name, frames[:-1]))
    return made


# --- what the stages read -----------------------------------------------------------------------------------------
def digest(*found: Any) -> str:
    """Return a digest of arrays and plain values, to the last bit."""
    total = hashlib.sha256()
    for part in found:
        values = part.numpy() if isinstance(part, torch.Tensor) else part
        is_array = isinstance(values, np.ndarray)
        total.update(values.tobytes() + str(values.shape).encode() if is_array else repr(part).encode())
    return total.hexdigest()


def flow(root: Path) -> str:
    with FlowStore(Project(root), cache_bytes=0) as flows:
        pairs = flows.pairs()
        return digest(pairs, *(flows.flow(*pair) for pair in pairs), *(flows.doubt(*pair) for pair in pairs))


def filtered(root: Path) -> str:
    statistics, sources, points = read_statistics(Project(root))
    data = read_correspondences(Project(root), CPU, MANY)
    arrays = data.targets, data.displacement, data.confidence, data.occluded, data.grid
    return digest(statistics, sources, points, data.unit_px, *arrays)


def features(root: Path) -> str:
    with FeatureStore(Project(root)) as store:
        return digest(store.stamp, *map(store.features, range(Project(root).num_frames)))


def matches(root: Path) -> str:
    return digest(read_matches(Project(root)))


def depth(root: Path) -> str:
    return digest(*read_depth(Project(root)))


def checkpoint(root: Path) -> str:
    found = load_checkpoint(Project(root))
    field = load_field(Project(root), "cpu").state_dict()
    moments = [value for state in found.state["optimizer"]["state"].values() for value in state.values()]
    return digest(found.stamp, found.state["step"], *field.values(), *moments)


def resumed(root: Path) -> None:
    project = Project(root)
    fit_field(project, load_settings(project.settings_path), device="cpu", resume=True)


def meta(root: Path) -> str:
    return digest(Project(root).meta)


def frame(root: Path) -> str:
    return digest(Project(root).frame(3))


def tracks(root: Path, suffix: str) -> str:
    found = load_tracks(root / "tracks" / f"tracks.{suffix}")
    return digest(found.queries, found.tracks, found.visible, found.confidence, found.frames, found.size)


def settings_of(root: Path) -> Settings:
    return load_settings(Project(root).settings_path)


Read = Callable[[Path], object]
# File, its reader, and whether it has a checksum. A file that users may edit has none: it is read, or refused.
PRODUCTS: list[tuple[str, Read]] = [
    ("products/flow.h5", flow),
    ("products/hops.h5", flow),
    ("products/filtered.h5", filtered),
    ("products/features.h5", features),
    ("products/matches.h5", matches),
    ("products/depth.h5", depth),
]
NEWEST = "checkpoints/step_000012.pt"
FILES: list[tuple[str, Read, bool]] = [
    *((name, read, True) for name, read in PRODUCTS),
    (NEWEST, checkpoint, True),
    ("frames/frames.json", meta, True),
    ("frames/000003.png", frame, True),
    *((f"tracks/tracks.{suffix}", partial(tracks, suffix=suffix), False) for suffix in ("npz", "h5", "csv", "json")),
    ("omnitrack.toml", settings_of, False),
    ("renders/renders.json", lambda root: read_renders(Project(root)), False),
]
MORE = [lengthen, zeros, flip, flip]  # for files that have a checksum
ANY_ROWS = ("a row more", "a row less")  # a frame may have any number of matches
NO_PROJECT = (meta, settings_of)  # without what these read there is no project


@pytest.fixture(scope="module")
def copy(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to damage; `restore` repairs it."""
    return Path(shutil.copytree(project.root, tmp_path_factory.mktemp("damaged") / "clip"))


def look(root: Path, read: Read) -> None:
    """Check that info reports damage and continues."""
    try:
        inspect_project(Project(root))
    except OmnitrackError:
        assert read in NO_PROJECT


@pytest.mark.parametrize(("name", "read", "exact"), FILES, ids=[name for name, _, _ in FILES])
def test_random_damage(
    project: Project, copy: Path, name: str, read: Read, exact: bool, tried: Callable[[str], None]
) -> None:
    random = np.random.default_rng(len(name))
    damages: list[Damage] = [*BYTES, *(MORE if exact else [])]
    restore(copy, name, project.root)
    expected = read(copy)
    for damage in damages * max(1, round(TIMES / 2)):
        damage(restore(copy, name, project.root), random)
        look(copy, read)
        try:
            found = read(copy)
        except OmnitrackError as error:
            assert error.hint
        else:
            assert not exact or found == expected, damage.__name__
        tried("damaged files, read")
    restore(copy, name, project.root)


def arrays_of(path: Path) -> list[str]:
    """Return the names of the arrays in the first group of a product."""
    with h5py.File(path) as file:
        first = next(iter(file))
        return [f"{first}/{name}" for name in file[first]]


@pytest.mark.parametrize(("name", "read"), PRODUCTS, ids=[name for name, _ in PRODUCTS])
def test_arrays_of_another_shape_or_type(
    project: Project, copy: Path, name: str, read: Read, tried: Callable[[str], None]
) -> None:
    random = np.random.default_rng(len(name))
    for array in arrays_of(project.root / name):
        changes = [change for change in CHANGES if read is not matches or change not in ANY_ROWS]
        for change in random.permutation(changes)[: max(1, round(2 * TIMES))]:
            replace_array(restore(copy, name, project.root), array, CHANGES[change])
            look(copy, read)
            with pytest.raises(OmnitrackError) as caught:
                read(copy)
            assert caught.value.hint
            tried("damaged files, read")
    restore(copy, name, project.root)


def test_tensors_of_another_shape_or_type(steps: Steps, tmp_path: Path, tried: Callable[[str], None]) -> None:
    whole, random = steps.before["render"], np.random.default_rng(3)
    root = Path(shutil.copytree(whole, tmp_path / "clip"))
    for change in list(TENSORS) * max(1, round(TIMES)):
        replace_tensor(restore(root, NEWEST, whole), change, random)
        look(root, checkpoint)
        with pytest.raises(OmnitrackError) as caught:
            resumed(root)
        assert f"omnitrack fit {root}" in (caught.value.hint or "")
        tried("damaged files, read")
