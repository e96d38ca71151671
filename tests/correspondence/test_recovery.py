"""Points that a chain has lost are found again by their company and by their appearance."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chaining import ChainState
from omnitrack.correspondence.company import NEAR, NONE, Seen, around, company
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.local_maps import fit_local_maps
from omnitrack.correspondence.raster import CoarseGrid
from omnitrack.correspondence.recovery import Recovery
from omnitrack.correspondence.warped_patches import UNLIKE, WarpedPatches
from omnitrack.settings import DisSettings
from omnitrack.synthetic import SyntheticScene, occluder_scene
from omnitrack.synthetic.scenes import drift
from omnitrack.synthetic.shapes import rectangle

SIZE = (128, 96)
FRAMES = 16
SLOWED_PX = 10.0  # around the occluder: the reach of patches


@pytest.fixture(scope="module")
def occluder() -> SyntheticScene:
    return occluder_scene(SIZE, FRAMES, speed=4.0)


class Sliding(FlowSource):
    """Exact flow, but slower near the pole, which stands still: as measured by patches that contain both."""

    def __init__(self, scene: SyntheticScene, exact: FlowSource) -> None:
        self.size, self._exact = scene.size, exact
        away = cv2.distanceTransform((scene.depth_order(0) != 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        self._speed = np.clip(away / SLOWED_PX, 0, 1).astype(np.float32)[..., None]

    def has(self, source: int, target: int) -> bool:
        return self._exact.has(source, target)

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        return self._speed * self._exact.flow(source, target)


class Measured(FlowSource):
    """Flow between frames by dense inverse search."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self.size, self._frames = frames.shape[2:0:-1], frames
        self._search = DisEstimator(DisSettings())
        self._known: dict[tuple[int, int], NDArray[np.float32]] = {}

    def has(self, source: int, target: int) -> bool:
        return source != target and {source, target} <= set(range(len(self._frames)))

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        if (source, target) not in self._known:
            self._known[source, target] = self._search.estimate(self._frames[source], self._frames[target])
        return self._known[source, target]


def clip(scene: SyntheticScene, exact_flows: type, gaps: tuple[int, ...] = (1,), **options: int) -> Recovery:
    frames = scene.frames()
    return Recovery(exact_flows(scene), BlurredFrames(frames.__getitem__, SIZE), scene.num_frames, gaps, 2.0, **options)


def in_all(states: list[ChainState], name: str) -> NDArray[np.generic]:
    return np.stack([getattr(state, name) for state in states], 1)


def test_what_passes_behind_a_pole_is_found_again(occluder: SyntheticScene, exact_flows: type) -> None:
    # With hops of one frame a chain never jumps over the pole: a point that is occluded once is lost for good.
    inner = CoarseGrid.of(SIZE).pixels
    inner = inner[np.linalg.norm(inner - np.array([34, 48]), axis=-1) < 14]  # the disc, 19 px in radius
    truth, seen = occluder.tracks(np.column_stack([np.zeros(len(inner)), inner + 0.3]))
    states = clip(occluder, exact_flows).follow(0, inner + np.float32(0.3))
    visible, found = in_all(states, "visible"), in_all(states, "found_again")
    error = np.linalg.norm(in_all(states, "pixels") - truth, axis=-1)
    plain = clip(occluder, exact_flows).chain(0, inner + np.float32(0.3), range(FRAMES), None)
    for t in (-2, -1):  # all of the disc is past the pole
        assert seen[:, t].all()
        assert visible[:, t].mean() > 0.8
        assert error[:, t][visible[:, t]].max() < 2
        assert found[:, t].mean() > 0.5
        assert in_all(plain, "visible")[:, t].mean() < 0.3
    assert (visible & ~seen).mean() < 0.03
    covered = in_all(states, "covered")
    assert covered[~seen].mean() > 0.8
    assert covered[seen].mean() < 0.05
    assert np.median(error[~seen]) < 0.5  # occluded, they are where their company predicts them ...
    assert np.median(np.linalg.norm(in_all(plain, "pixels") - truth, axis=-1)[~seen]) > 5  # ... not where a chain ends


def test_nothing_is_looked_for_beyond_reach(occluder: SyntheticScene, exact_flows: type) -> None:
    points = np.array([[44.1, 50.0], [30.0, 48.0]], np.float32)
    everywhere = clip(occluder, exact_flows).follow(0, points)
    found = in_all(everywhere, "found_again")
    first = int(found.any(0).argmax())
    assert found[:, first:].any(0).all()
    within = clip(occluder, exact_flows, reach_frames=first + 1).follow(0, points)
    for t in range(first + 2):
        np.testing.assert_array_equal(within[t].pixels, everywhere[t].pixels)
        np.testing.assert_array_equal(within[t].found_again, everywhere[t].found_again)
    assert not any(state.found_again.any() for state in within[first + 2 :])
    still_followed = found[:, first]  # followed from there by exact flow
    assert all(state.visible[still_followed].all() for state in within[first + 2 :])
    lost = clip(occluder, exact_flows, reach_frames=first - 1).follow(0, points)
    assert not in_all(lost, "visible")[still_followed, first:].any()


def test_no_answer_depends_on_the_others(occluder: SyntheticScene, exact_flows: type) -> None:
    points = np.array([[34.3, 48.2], [44.1, 50.0], [5.0, 5.0], [100.0, 60.0]], np.float32)
    together = clip(occluder, exact_flows).follow(0, points)
    recovery = clip(occluder, exact_flows)
    for row in (2, 0, 3, 1):
        alone = recovery.follow(0, points[row : row + 1])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a.pixels[row], b.pixels[0], atol=1e-3)
            assert a.visible[row] == b.visible[0]


def test_without_a_loss_a_chain_stays_as_it_is(exact_flows: type) -> None:
    still = occluder_scene(SIZE, 5, speed=0.0, turn=0.0)
    points = np.array([[20.0, 20.0], [100.0, 70.0]], np.float32)
    recovery = clip(still, exact_flows)
    plain = recovery.chain(2, points, range(still.num_frames), None)
    for with_it, without in zip(recovery.follow(2, points), plain, strict=True):
        np.testing.assert_array_equal(with_it.pixels, without.pixels)
        np.testing.assert_array_equal(with_it.visible, without.visible)
        assert not with_it.found_again.any()


def test_a_local_map_is_that_of_the_majority() -> None:
    rng = np.random.default_rng(0)
    true = np.array([[0.9, -0.3], [0.3, 0.9]], np.float32)
    offsets = rng.uniform(-20, 20, (1, 30, 2)).astype(np.float32)
    places = offsets @ true.T + np.float32([50, 40])
    places[0, :9] += np.float32([25, 0])  # these slid onto another object
    fitted = fit_local_maps(
        offsets, places, np.ones((1, 30), np.float32), np.eye(2, dtype=np.float32)[None], (256, 256)
    )
    np.testing.assert_allclose(fitted.places[0], [50, 40], atol=0.5)
    np.testing.assert_allclose(fitted.maps[0], true, atol=0.05)
    assert (fitted.residual[0, 9:] < 1).all() and (fitted.residual[0, :9] > 10).all()
    assert fitted.sane.all()


def test_what_moves_apart_is_no_company() -> None:
    grid = CoarseGrid.of(SIZE)
    count = len(grid.pixels)
    moved = np.where((grid.pixels[:, 0] < 64)[:, None], np.float32([0, 0]), np.float32([8, 0]))
    places = np.stack([grid.pixels, grid.pixels + moved], 1)
    seen = Seen(places, np.ones((count, 2), bool))
    point = Seen(np.array([[[62, 48], [62, 48]]], np.float32), np.ones((1, 2), bool))
    found = company(0, point, seen, NEAR, SIZE)[0]
    beside = around(point.pixels[:, 0], SIZE, NEAR)[0]
    kept = found[found != NONE]
    assert 0 < len(kept) < len(beside)
    assert (grid.pixels[kept, 0] < 64).all()
    assert (grid.pixels[np.setdiff1d(beside, kept), 0] >= 64).all()


def test_what_is_carried_off_later_stays_company() -> None:
    grid, source, carried_off = CoarseGrid.of(SIZE), 6, 9  # 3 frames later, a place beside the point slides
    frames = np.arange(13)
    moving = grid.pixels[:, None] + (frames - source)[:, None] * np.float32([3, 0])
    beside = int(around(np.float32([[62, 48]]), SIZE, NEAR)[0, 1])
    moving[beside, carried_off:] = moving[beside, carried_off - 1]
    seen = Seen(moving.astype(np.float32), np.ones((len(grid.pixels), 13), bool))
    point = Seen((np.float32([62, 48]) + (frames - source)[:, None] * np.float32([3, 0]))[None], np.ones((1, 13), bool))
    assert beside in company(source, point, seen, NEAR, SIZE)[0]
    moving[beside, 7:] = moving[beside, 6]  # a place that leaves at once belongs to another object
    assert beside not in company(source, point, Seen(moving.astype(np.float32), seen.visible), NEAR, SIZE)[0]


def test_a_chain_that_slid_onto_what_covers_it_is_hidden(exact_flows: type) -> None:
    scene = occluder_scene(SIZE, 28, speed=2.0)
    inner = CoarseGrid.of(SIZE).pixels
    inner = inner[np.linalg.norm(inner - np.array([37, 48]), axis=-1) < 14] + np.float32(0.3)
    _, seen = scene.tracks(np.column_stack([np.zeros(len(inner)), inner]))
    frames = BlurredFrames(scene.frames().__getitem__, SIZE)
    recovery = Recovery(Sliding(scene, exact_flows(scene)), frames, scene.num_frames, (1,), 2.0)
    plain, states = recovery.chain(0, inner, range(scene.num_frames), None), recovery.follow(0, inner)

    def false(states: list[ChainState]) -> float:
        return (in_all(states, "visible") & ~seen).sum() / (~seen).sum()

    assert false(plain) > 0.9  # all of them stick to the pole
    assert false(states) < 0.6


def test_what_is_found_had_not_been_seen_elsewhere(occluder: SyntheticScene) -> None:
    # With measured flow over several gaps, chains slide onto the pole and look consistent there.
    frames = occluder.frames()
    inner = CoarseGrid.of(SIZE).pixels
    inner = inner[occluder.top_layer(0, inner) == 1]
    _, seen = occluder.tracks(np.column_stack([np.zeros(len(inner)), inner]))
    recovery = Recovery(Measured(frames), BlurredFrames(frames.__getitem__, SIZE), FRAMES, (1, 2, 4, 8), 2.0)
    states = recovery.follow(0, inner)
    visible, found = in_all(states, "visible"), in_all(states, "found_again")
    newly = found[:, 1:] & ~found[:, :-1]
    assert newly.sum() > 50
    assert not (newly & visible[:, :-1] & ~seen[:, :-1]).any()
    assert (visible & ~seen).sum() < 0.15 * (~seen).sum()


def test_company_that_had_parted_says_nothing(exact_flows: type) -> None:
    # A badge in front of a disc, at rest around the source frame. The disc sets off, then the badge changes colour.
    pole, disc, ground = occluder_scene(SIZE, FRAMES, speed=4.0).layers
    badge = replace(pole, shape=rectangle(-4, -4, 4, 4), motion=drift(34, 48, 0, 0))
    later = replace(disc, motion=lambda t: disc.motion(max(0, t - 7)))
    scene = SyntheticScene(SIZE, FRAMES, [badge, later, ground])
    frames = scene.frames()
    frames[11:, 44:52, 30:38] = np.random.default_rng(0).integers(0, 255, (8, 8, 3))
    points = np.array([[34.3, 48.2]], np.float32)
    states = Recovery(exact_flows(scene), BlurredFrames(frames.__getitem__, SIZE), FRAMES, (1,), 2.0).follow(0, points)
    assert in_all(states, "visible").all()
    np.testing.assert_allclose(in_all(states, "pixels")[0], points.repeat(FRAMES, 0), atol=1e-3)


def test_a_place_is_not_its_own_company() -> None:
    grid = CoarseGrid.of(SIZE)
    assert NONE in around(grid.pixels[100:101], SIZE, NEAR)
    assert 100 not in around(grid.pixels[100:101], SIZE, NEAR)


def test_looks_turn_with_the_map(occluder: SyntheticScene) -> None:
    frame = occluder.frame(0)
    turned = np.ascontiguousarray(np.rot90(frame, -1))  # pixel (x, y) moves to (H - 1 - y, x)
    quarter = np.array([[[0, -1], [1, 0]]], np.float32)
    here, there = np.array([[34, 48]], np.float32), np.array([[96 - 1 - 48, 34]], np.float32)
    look = WarpedPatches(BlurredFrames(lambda t: frame, SIZE)).patches(0, here)
    patches = WarpedPatches(BlurredFrames(lambda t: turned, SIZE[::-1]))
    assert patches.compare(look, patches.patches(0, there, quarter))[0] > 0.98
    assert patches.compare(look, patches.patches(0, there))[0] < 0.8
    assert patches.compare(look, look + 40)[0] == UNLIKE
