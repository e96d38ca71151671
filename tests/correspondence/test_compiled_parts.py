"""The compiled parts of flow and filter against their references; and the fallback if a part is not available."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence import blank_areas
from omnitrack.correspondence.appearance import FramePatches, similarity
from omnitrack.correspondence.blank_areas import recursive
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.company import Motions, moved_together
from omnitrack.correspondence.compiled import trouble
from omnitrack.correspondence.descriptors.comparing import TorchComparing, in_steps
from omnitrack.correspondence.descriptors.search import DescriptorSearch
from omnitrack.correspondence.local_maps import fit
from omnitrack.correspondence.warped_patches import weighted_similarity
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.doctor import examine
from omnitrack.stages.flow import compute_flow

numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is the extra fast")
without_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is not None, reason="numba is there")
SIZE, MAP_SIZE = (96, 64), (120, 80)


def maps(seed: int) -> torch.Tensor:
    """Smooth descriptors (h * w, C) of a frame, some of them short, as in blank areas."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 16, 20, 30, generator=random)
    smooth = F.normalize(F.interpolate(coarse, size=MAP_SIZE[::-1], mode="bicubic")[0].flatten(1).T, dim=1)
    return in_steps(smooth * torch.rand(len(smooth), 1, generator=random).sqrt())


def searched(comparing: object, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Return the corrected flow of some pairs, from a start that is near and from one that leads off the frame."""
    monkeypatch.setattr("omnitrack.correspondence.descriptors.search.comparing_on", lambda kind: comparing)
    search = DescriptorSearch(SIZE, MAP_SIZE, 1 << 17, 8.0, 0.05)
    flows = [np.full((SIZE[1], SIZE[0], 2), start, np.float32) for start in ((0.3, -1.2), (60.0, 30.0))]
    return [search.correct(maps(0), maps(seed), flow) for seed, flow in enumerate(flows)]


@numba
def test_the_search_is_that_of_torch_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnitrack.correspondence.compiled.descriptors import CompiledComparing

    ours, reference = (searched(part, monkeypatch) for part in (CompiledComparing(), TorchComparing()))
    assert (ours[1] != (60.0, 30.0)).any(), "something was found"
    for a, b in zip(ours, reference, strict=True):
        np.testing.assert_array_equal(a, b)


@numba
@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 7, 3), (64, 48, 6)])
def test_the_recursive_filter_is_that_of_numpy_to_the_bit(shape: tuple[int, int, int]) -> None:
    from omnitrack.correspondence.compiled.areas import recursive as ours

    random = np.random.default_rng(0)
    data, kept = random.normal(size=shape).astype(np.float32), random.random((*shape[:2], 1), np.float32)
    before = data.copy()
    for values, shares in ((data, kept), (data.swapaxes(0, 1), kept.swapaxes(0, 1))):
        np.testing.assert_array_equal(ours(values, shares), recursive(values, shares))
    np.testing.assert_array_equal(data, before)


@numba
def test_patches_are_compared_as_by_numpy_to_the_bit() -> None:
    from omnitrack.correspondence.compiled.patches import similarity as ours

    frames = np.random.default_rng(0).integers(0, 256, (2, SIZE[1], SIZE[0], 3)).astype(np.uint8)
    frames[:, :, :40] //= 64  # nearly without texture
    points = np.random.default_rng(1).uniform(-5, 100, (500, 2)).astype(np.float32)
    compare = FramePatches(BlurredFrames(frames.__getitem__, SIZE))
    patches = compare.patches(0, points)
    for frame in range(2):
        samples = compare.samples(frame, points)
        for tint in (False, True):
            np.testing.assert_array_equal(ours(patches, samples, tint), similarity(patches, samples, tint))
    assert len(ours(patches[slice(0)], samples[:0])) == 0


@numba
def test_warped_patches_are_compared_as_by_numpy_to_the_bit() -> None:
    from omnitrack.correspondence.compiled.patches import weighted_similarity as ours

    random = np.random.default_rng(0)
    weights = np.arange(49, dtype=np.int32)
    first, other = random.integers(0, 256, (2, 300, 49, 3)).astype(np.uint8)
    extremes = np.stack([np.zeros((49, 3), np.uint8), np.full((49, 3), 255, np.uint8)])
    for a, b in ((first, other), (first, first), (first, first // 2 + 20), (extremes, extremes[::-1])):
        np.testing.assert_array_equal(ours(weights, a, b), weighted_similarity(weights, a, b))
    assert (weighted_similarity(weights, first, first) == 1).all()
    assert len(ours(weights, first[:0], other[:0])) == 0


@numba
@pytest.mark.parametrize("count", [1, 25, 64])
def test_local_maps_are_fitted_as_by_numpy_to_the_bit(count: int) -> None:
    from omnitrack.correspondence.compiled.local_maps import fit as ours

    random = np.random.default_rng(count)
    offsets = random.uniform(-200, 200, (80, count, 2)).astype(np.float32)
    places = (offsets + 900 + random.normal(0, 5, offsets.shape)).astype(np.float32)
    weights = (random.random((80, count)) < np.linspace(0, 1, 80)[:, None]).astype(np.float32)
    prior = random.normal(0, 1, (80, 2, 2)).astype(np.float32)
    for found, expected in zip(
        *(fitted(offsets, places, weights, prior, 77.3, np.array([512.0, 256.0])) for fitted in (ours, fit)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@numba
@pytest.mark.parametrize("frames", [1, 12])
def test_motions_are_compared_as_by_numpy_to_the_bit(frames: int) -> None:
    from omnitrack.correspondence.compiled.company import moved_together as ours

    random = np.random.default_rng(frames)
    points, grid = (
        Motions(
            random.uniform(0, 40, (count, 2)).astype(np.float32),
            random.normal(0, 1, (count, frames, 2)).astype(np.float32),
            random.random((count, frames)) < 0.7,
        )
        for count in (60, 200)
    )
    index, gaps = random.integers(-1, 200, (60, 361)), 1 + np.arange(frames) // 2
    found, expected = (moved(index, points, grid, gaps, np.float32(1.9)) for moved in (ours, moved_together))
    np.testing.assert_array_equal(found, expected)
    assert 0.05 < found.mean() < 0.95


def test_a_local_map_does_not_depend_on_the_points_beside() -> None:
    random = np.random.default_rng(0)
    offsets = random.uniform(-60, 60, (50, 30, 2)).astype(np.float32)
    places = (offsets + 100 + random.normal(0, 5, offsets.shape)).astype(np.float32)
    weights, prior = random.random((50, 30)).astype(np.float32), np.zeros((50, 2, 2), np.float32)
    together = fit(offsets, places, weights, prior, 256.0, np.array([512.0, 256.0]))
    for row in range(50):
        one = slice(row, row + 1)
        alone = fit(offsets[one], places[one], weights[one], prior[one], 256.0, np.array([512.0, 256.0]))
        for all_of_them, this in zip(together, alone, strict=True):
            np.testing.assert_array_equal(all_of_them[one], this)


@numba
def test_a_part_that_differs_is_not_used() -> None:
    def tried(agree: bool) -> CompiledPart:
        module = "omnitrack.correspondence.compiled.areas"
        return CompiledPart(recursive, module, "recursive", lambda part, reference: agree)

    assert tried(False).fastest is recursive
    assert tried(False).trouble == "omnitrack.correspondence.compiled.areas.recursive differs from its reference"
    assert tried(True).fastest is not recursive
    assert not tried(True).trouble


@numba
@pytest.mark.parametrize("module", ["omnitrack.correspondence.compiled.absent", "omnitrack.correspondence.compiled"])
def test_a_part_that_fails_is_not_used(module: str) -> None:
    part = CompiledPart(recursive, module, "absent", lambda part, reference: True)
    assert part.fastest is recursive
    assert "absent failed: " in part.trouble


@numba
def test_all_parts_are_used_here() -> None:
    assert not trouble()


@numba
def test_flow_and_doctor_say_what_is_not_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blank_areas, "RECURSIVE", CompiledPart(recursive, "numba", "absent", lambda *_: True))
    heard: list[str] = []
    listener = Progress()
    monkeypatch.setattr(listener, "warn", heard.append)
    compute_flow(project, Settings(), listener)
    assert any("flow is slower than it could be: numba.absent failed" in text for text in heard)
    assert "numba.absent failed" in examine().devices["cpu"]


@without_numba
def test_without_numba_the_reference_works() -> None:
    part = CompiledPart(recursive, "omnitrack.correspondence.compiled.areas", "recursive", lambda *_: True)
    assert part.fastest is recursive
    assert not part.trouble
