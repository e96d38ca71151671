"""RAFT as an estimator: sizes, warm starts, batches, its cache, and its accuracy with real weights."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from shared_data import WEIGHTS, needs

from omnitrack.correspondence.estimators import get_estimator, open_estimator
from omnitrack.correspondence.estimators.contract import Clip, ClipEstimator
from omnitrack.correspondence.estimators.raft import RaftEstimator, RaftPairs
from omnitrack.correspondence.raft.checkpoints import load_network, original_names
from omnitrack.correspondence.raft.grid import Grid
from omnitrack.correspondence.raft.network import SMALL, RaftNetwork
from omnitrack.errors import OmnitrackError
from omnitrack.memory import BASE_BYTES, BATCH_SHARE
from omnitrack.project.project import Project
from omnitrack.settings import FlowSettings, RaftSettings
from omnitrack.stages.flow import flow_stamp
from omnitrack.synthetic import SyntheticScene, occluder_scene, translating_scene

REAL = WEIGHTS / "raft-small.pth"


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    state = RaftNetwork(SMALL).state_dict()
    state["head.second.weight"] *= 20  # flow of a few pixels
    path = tmp_path_factory.mktemp("weights") / "raft.pth"
    torch.save({theirs: state[ours] for ours, theirs in original_names(SMALL)}, path)
    return path


def clip_of(scene: SyntheticScene) -> Clip:
    return Clip(scene.frame, scene.num_frames, scene.size, scene.size)


def pairs_of(weights: Path, scene: SyntheticScene, memory_gb: float = 4.0, **changes: object) -> RaftPairs:
    settings = RaftSettings(weights=str(weights), side=128, iterations=2, half_precision=False)
    clip = replace(clip_of(scene), memory_gb=memory_gb)
    return RaftEstimator(replace(settings, **changes)).open(clip)  # type: ignore[arg-type]


def room_for(megabytes: float) -> float:
    """Return the `memory.max_gb` that leaves this much for what is computed at once."""
    return (BASE_BYTES + 1e6 * megabytes / BATCH_SHARE) / 1e9


SCENE = occluder_scene(size=(150, 120))


# --- the contract -----------------------------------------------------------------------------------------------
def test_it_is_registered_and_flow_is_of_the_frames_size(random_weights: Path) -> None:
    settings = FlowSettings(estimator="raft", raft=RaftSettings(weights=str(random_weights), side=128, iterations=1))
    assert isinstance(get_estimator("raft", settings), ClipEstimator)
    flow = open_estimator(settings, clip_of(SCENE)).estimate_pairs([(0, 1)], [None])[0].flow
    assert flow.shape == (120, 150, 2) and flow.dtype == np.float32 and np.isfinite(flow).all()
    assert flow.flags.c_contiguous and flow.std() > 0.1


def test_a_pair_does_not_depend_on_batch_cache_or_memory(random_weights: Path) -> None:
    wanted = [(0, 1), (0, 4), (3, 1)]
    start = np.full((120, 150, 2), 3, np.float32)
    initial = [None, start, start]
    alone = pairs_of(random_weights, SCENE, batch_pairs=1).estimate_pairs(wanted, initial)
    for changes in ({"batch_pairs": 3}, {"memory_gb": 0.0}, {"memory_gb": room_for(1.0), "side": 128}):
        others = pairs_of(random_weights, SCENE, **changes).estimate_pairs(wanted, initial)
        for mine, its in zip(alone, others, strict=True):
            assert np.abs(mine.flow - its.flow).max() < 2e-3, changes  # pixels


def test_the_batch_fits_the_memory(random_weights: Path) -> None:
    assert pairs_of(random_weights, SCENE).batch_pairs == 1
    assert pairs_of(random_weights, SCENE, batch_pairs=8).batch_pairs == 8
    # 16 x 20 cells (128 x 160 pixels), 8 zeros after each row: 320 x (8 + 16 x 28 + 8 x 18 + 4 x 13 + 2 x 10) x 4 bytes
    # a pair, 0.86 MB
    assert pairs_of(random_weights, SCENE, batch_pairs=8, memory_gb=room_for(2.0)).batch_pairs == 2
    assert pairs_of(random_weights, SCENE, batch_pairs=8, memory_gb=room_for(1.0)).batch_pairs == 1


def test_each_frame_is_encoded_once(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    scene = occluder_scene(size=(150, 120))
    clip = Clip(lambda t: encoded.append(t) or scene.frame(t), scene.num_frames, scene.size, scene.size)  # type: ignore[func-returns-value]
    settings = RaftSettings(weights=str(random_weights), side=128, iterations=1)
    RaftEstimator(settings).open(clip).estimate_pairs([(0, 1), (1, 0), (0, 2), (2, 1)], [None] * 4)
    assert sorted(encoded) == [0, 1, 2]


def test_threads_get_the_flow_that_one_gets(random_weights: Path) -> None:
    wanted = [(source, target) for source in range(3) for target in range(3) if source != target]
    alone = pairs_of(random_weights, SCENE).estimate_pairs(wanted, [None] * len(wanted))
    before = torch.get_num_threads()
    # Enough memory for one caller at a time, and for many.
    for megabytes in (1.0, 64.0):
        estimator = pairs_of(random_weights, SCENE, memory_gb=room_for(megabytes))
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda pair, e=estimator: e.estimate_pairs([pair], [None])[0], wanted))  # type: ignore[misc]
        assert all(np.abs(a.flow - b.flow).max() < 2e-3 for a, b in zip(alone, together, strict=True))
    assert torch.get_num_threads() == before


def test_the_stamp_of_flow_records_the_file_and_what_changes_the_result(random_weights: Path, tmp_path: Path) -> None:
    project = cast(
        Project, SimpleNamespace(meta=SimpleNamespace(fingerprint="frames"), size=(64, 48), shots=[range(8)])
    )
    raft = RaftSettings(weights=str(random_weights))

    def stamp(estimator: str = "raft", **changes: object) -> dict[str, Any]:
        return flow_stamp(project, FlowSettings(estimator=estimator, raft=replace(raft, **changes)))  # type: ignore[arg-type]

    copied = tmp_path / "other name.pth"
    copied.write_bytes(random_weights.read_bytes())
    assert stamp() == stamp(weights=str(copied)) == stamp(batch_pairs=3)
    assert stamp()["inputs"]["raft_weights"] == hashlib.sha256(copied.read_bytes()).hexdigest()
    assert stamp() != stamp(iterations=5) and stamp() != stamp(weights="small")
    assert stamp("dis") == stamp("dis", iterations=5) and stamp("dis")["inputs"] == {"frames": "frames"}
    far = FlowSettings(far_estimator="raft", raft=raft)
    assert flow_stamp(project, far)["inputs"]["raft_weights"] == stamp()["inputs"]["raft_weights"]


def test_an_unknown_name_of_weights_says_what_to_set() -> None:
    with pytest.raises(OmnitrackError, match=r"flow\.raft\.weights: 'smal' is neither a file nor") as caught:
        RaftEstimator(RaftSettings(weights="smal")).open(clip_of(SCENE))
    assert caught.value.hint == "did you mean small?"


# --- the raster -------------------------------------------------------------------------------------------------
def test_sizes() -> None:
    assert Grid.fit((854, 480), 480) == Grid((854, 480), (854, 480), (856, 480))
    assert Grid.fit((256, 256), 480) == Grid((256, 256), (480, 480), (480, 480))
    assert Grid.fit((320, 240), 480).inner_size == (640, 480)
    assert Grid.fit((1280, 720), 480).inner_size == (1280, 720)  # never shrunk


@pytest.mark.parametrize("size", [(150, 120), (256, 256), (131, 77)], ids=str)
def test_a_linear_flow_goes_to_the_cells_and_back(size: tuple[int, int]) -> None:
    grid = Grid.fit(size, 160)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    flow = np.stack([0.02 * x - 0.01 * y + 3, 0.03 * y - 1], -1)
    cells = grid.to_cells(flow)
    scale = np.array(grid.inner_size) / np.array(size)
    border = (np.array(grid.padded_size) - np.array(grid.inner_size)) // 2
    row, column = 7, 9  # a cell inside, at pixel (72, 56) of the network's raster
    at = (np.array([8 * column, 8 * row]) - border + 0.5) / scale - 0.5
    there = np.array([0.02 * at[0] - 0.01 * at[1] + 3, 0.03 * at[1] - 1]) * scale / 8
    np.testing.assert_allclose(cells[:, row, column], there, atol=1e-4)


def test_flow_of_the_raster_becomes_flow_of_the_frame() -> None:
    grid = Grid.fit((100, 80), 160)  # twice as large; no border
    y, x = np.mgrid[0:160, 0:200].astype(np.float32)
    flow = grid.to_frame(np.stack([0.1 * x, 0.2 * y], -1))
    # Pixel 10 of the frame covers pixels 20 and 21 of the raster: 0.1 x 20.5 there is half of that here.
    np.testing.assert_allclose(flow[10, 10], [0.1 * 20.5 / 2, 0.2 * 20.5 / 2], rtol=1e-5)


# --- real weights -----------------------------------------------------------------------------------------------
def end_point_error(estimator: RaftPairs, scene: SyntheticScene, pair: tuple[int, int], start: object = None) -> float:
    truth, visible = scene.flow(*pair)
    flow: NDArray[np.float32] = estimator.estimate_pairs([pair], [start])[0].flow  # type: ignore[list-item]
    return float(np.linalg.norm(flow - truth, axis=-1)[visible].mean())


@needs(REAL)
def test_the_published_checkpoint_is_read() -> None:
    network = load_network(REAL)
    assert network.architecture is SMALL and sum(value.numel() for value in network.parameters()) == 990_162


@needs(REAL)
def test_flow_of_a_known_scene() -> None:
    scene = translating_scene(size=(240, 192), velocity=(3.0, -2.0))
    assert end_point_error(pairs_of(REAL, scene, side=192, iterations=8), scene, (2, 4)) < 0.3
    scene = occluder_scene(size=(240, 192))
    for half in (False, True):
        estimator = pairs_of(REAL, scene, side=192, iterations=8, half_precision=half)
        assert end_point_error(estimator, scene, (2, 4)) < 0.3
        assert end_point_error(estimator, scene, (4, 2)) < 0.3


@needs(REAL)
def test_a_start_near_the_flow_saves_iterations() -> None:
    scene = translating_scene(size=(240, 192), velocity=(6.0, -4.0))
    truth = scene.flow(0, 3)[0]
    estimator = pairs_of(REAL, scene, side=192, iterations=1)
    assert end_point_error(estimator, scene, (0, 3), truth) < 0.5 * end_point_error(estimator, scene, (0, 3))
