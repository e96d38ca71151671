"""Chains of a whole frame are resumed where the grid's places were found again, and end where they slid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence import grid_correction
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chaining import ChainState
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.grid_correction import GridCorrection
from omnitrack.correspondence.raster import pixel_grid
from omnitrack.correspondence.recovery import Recovery
from omnitrack.synthetic import SyntheticScene, occluder_scene

SIZE, FRAMES, SOURCE = (128, 96), 16, 1
PIXELS = pixel_grid(SIZE, 3) + np.float32(0.3)
Exact = Callable[[SyntheticScene], FlowSource]


def corrected(
    scene: SyntheticScene, flows: FlowSource, pixels: NDArray[np.float32] = PIXELS, **options: int
) -> tuple[list[ChainState], list[ChainState]]:
    """The states in all frames by chains over single frames: plain, and corrected."""
    frames = scene.frames()
    recovery = Recovery(flows, BlurredFrames(frames.__getitem__, scene.size), len(frames), (1,), 2.0, **options)
    plain = recovery.chain(SOURCE, pixels, range(len(frames)), None)
    others = {t: state for t, state in enumerate(plain) if t != SOURCE}
    correction = GridCorrection(recovery, SOURCE, pixels, others)
    return plain, [plain[t] if t == SOURCE else correction.of(t, plain[t]) for t in range(len(frames))]


def of(states: list[ChainState], name: str, rows: NDArray[np.bool_]) -> NDArray[np.generic]:
    return np.stack([getattr(state, name)[rows] for state in states], 1)


def truth(scene: SyntheticScene, layer: int) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
    """Which points are on a layer, their positions and whether they are visible."""
    rows = scene.top_layer(SOURCE, PIXELS) == layer
    positions, seen = scene.tracks(np.column_stack([np.full(rows.sum(), SOURCE), PIXELS[rows]]))
    return rows, positions, seen


@pytest.fixture(scope="module")
def occluder() -> SyntheticScene:
    return occluder_scene(SIZE, FRAMES, speed=4.0)


@pytest.fixture(scope="module")
def of_all(occluder: SyntheticScene, exact_flows: Exact) -> tuple[list[ChainState], list[ChainState]]:
    """The states of all points: plain, and corrected."""
    return corrected(occluder, exact_flows(occluder))


def test_a_disc_is_found_again_behind_the_pole(
    occluder: SyntheticScene, of_all: tuple[list[ChainState], list[ChainState]]
) -> None:
    rows, positions, seen = truth(occluder, 1)
    plain, states = of_all
    visible, reliable = of(states, "visible", rows), of(states, "reliable", rows)
    past = seen & (seen[:, SOURCE:].cumprod(1)[:, -1] == 0)[:, None] & (np.arange(FRAMES) >= FRAMES - 2)
    assert past.sum() > 100  # visible again after the pole
    assert of(plain, "visible", rows)[past].mean() < 0.1
    assert visible[past].mean() > 0.6
    assert (reliable >= visible).all()
    found = of(states, "found_again", rows)
    assert np.linalg.norm(of(states, "pixels", rows) - positions, axis=-1)[found].max() < 2
    assert (visible & ~seen).mean() < 0.03


def test_what_slid_off_is_found_or_lost(
    occluder: SyntheticScene, exact_flows: Exact, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, positions, seen = truth(occluder, 1)
    frames = BlurredFrames(occluder.frames().__getitem__, SIZE)
    recovery = Recovery(exact_flows(occluder), frames, FRAMES, (1,), 2.0)
    plain = recovery.chain(SOURCE, PIXELS, range(FRAMES), None)
    correction = GridCorrection(recovery, SOURCE, PIXELS, dict(enumerate(plain)))
    t = SOURCE + 3
    slid = replace(plain[t], pixels=PIXELS, visible=np.ones(len(PIXELS), bool), reliable=np.ones(len(PIXELS), bool))
    after, there = correction.of(t, slid), seen[:, t]
    right = np.linalg.norm(after.pixels[rows] - positions[:, t], axis=-1) < 1
    assert right[there].mean() > 0.7 and after.found_again[rows][there].mean() > 0.7
    monkeypatch.setattr(grid_correction, "FOUND_ALIKE", 2.0)  # as if their positions were covered
    after = correction.of(t, slid)
    assert not after.found_again.any()
    assert (~after.visible[rows]).mean() > 0.3  # the others look alike where they slid to
    assert not after.reliable[~after.visible].any()  # nor are they occluded: where they are is unknown


def test_what_is_seen_in_every_frame_stays_as_it_is(exact_flows: Exact) -> None:
    still = occluder_scene(SIZE, 5, speed=0.0, turn=0.0)
    plain, states = corrected(still, exact_flows(still))
    for before, after in zip(plain, states, strict=True):
        for name in ("pixels", "visible", "reliable", "cost"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_beyond_reach_nothing_is_corrected(
    occluder: SyntheticScene, exact_flows: Exact, of_all: tuple[list[ChainState], list[ChainState]]
) -> None:
    near, reach = range(FRAMES - 3), FRAMES - 4 - SOURCE
    plain, everywhere = of_all
    _, within = corrected(occluder, exact_flows(occluder), reach_frames=reach)
    for t in range(FRAMES):
        expected = everywhere[t] if t in near else plain[t]
        np.testing.assert_array_equal(within[t].pixels, expected.pixels)
        np.testing.assert_array_equal(within[t].visible, expected.visible)
    assert any(state.found_again.any() for state in everywhere[near.stop :])


def test_a_point_does_not_depend_on_the_others(
    occluder: SyntheticScene, exact_flows: Exact, of_all: tuple[list[ChainState], list[ChainState]]
) -> None:
    part = np.flatnonzero(occluder.top_layer(SOURCE, PIXELS) == 1)[::7]
    _, alone = corrected(occluder, exact_flows(occluder), PIXELS[part])
    for whole, few in zip(of_all[1], alone, strict=True):
        np.testing.assert_array_equal(whole.visible[part], few.visible)
        np.testing.assert_allclose(whole.pixels[part], few.pixels, atol=1e-3)
