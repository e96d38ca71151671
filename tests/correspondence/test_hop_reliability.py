"""The clip's other hops tell how reliable a hop is: the wrong one is detected, whether it is long or short."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.hop_evidence import NAMES, HopEvidence
from omnitrack.correspondence.hop_reliability import (
    MOST_LOG_ODDS,
    STEPS_PER_UNIT,
    HopRegressor,
    decode_log_odds,
    encode_log_odds,
    hop_regressor,
)
from omnitrack.correspondence.raster import CoarseGrid
from omnitrack.synthetic import SyntheticScene, translating_scene
from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.scene import Layer
from omnitrack.synthetic.shapes import Ellipse, Plane
from omnitrack.synthetic.texture import mottled, paint
from omnitrack.units import raster_scale

SIZE, FRAMES, GAPS = (160, 128), 18, (1, 2, 4, 8, 16)
PAN = np.array([-2.0, 0.5], np.float32)  # of the background, pixels per frame
CENTRE, RADIUS = np.array([80.0, 64.0]), 26.0
Lie = Callable[[int, int, NDArray[np.float32]], NDArray[np.float32]]


@pytest.fixture(scope="module")
def kept_in_view() -> SyntheticScene:
    """A disc that stands still in a view that pans: its background races past."""
    rngs = [np.random.default_rng(seed) for seed in (3, 4)]
    disc = Layer(
        "disc",
        Ellipse(RADIUS, RADIUS),
        paint(-RADIUS, -RADIUS, RADIUS, RADIUS, mottled((0.8, 0.5, 0.3), 0.25, rngs[0])),
        lambda t: Similarity(*CENTRE),
    )
    ground = paint(-60, -60, 260, 200, mottled((0.35, 0.5, 0.4), 0.25, rngs[1]))
    return SyntheticScene(
        SIZE, FRAMES, [disc, Layer("ground", Plane(), ground, lambda t: Similarity(*(PAN * t).tolist()))]
    )


class Lying(FlowSource):
    """The exact flow of a scene over gaps of powers of two, falsified consistently in both directions."""

    def __init__(self, scene: SyntheticScene, lie: Lie) -> None:
        self.size, self._scene, self._lie = scene.size, scene, lie
        self._known: dict[tuple[int, int], NDArray[np.float32]] = {}

    def has(self, source: int, target: int) -> bool:
        return abs(target - source) in GAPS and {source, target} <= set(range(FRAMES))

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        if (source, target) not in self._known:
            exact, _ = self._scene.flow(source, target)
            self._known[source, target] = self._lie(source, target, exact)
        return self._known[source, target]


def disc_mask(reach: float = RADIUS) -> NDArray[np.bool_]:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.asarray(np.hypot(x - CENTRE[0], y - CENTRE[1]) < reach)


def probability_wrong(flows: FlowSource, scene: SyntheticScene, source: int) -> dict[int, NDArray[np.float32]]:
    """Return, for each forward gap, the probability (rows, columns) that the hop from `source` is wrong."""
    evidence = HopEvidence(flows, FRAMES, BlurredFrames(scene.frame, scene.size))

    def targets(frame: int) -> list[int]:
        return [t for t in range(FRAMES) if flows.has(frame, t)]

    found = evidence.of(source, targets(source), evidence.shares(targets))
    shape = evidence.grid.shape
    odds = {t - source: hop_regressor().log_odds(values).reshape(shape) for t, values in found.items() if t > source}
    return {gap: 1 / (1 + np.exp(-values)) for gap, values in odds.items()}


def on_disc(scene: SyntheticScene, reach: float) -> NDArray[np.bool_]:
    places = CoarseGrid.of(scene.size)
    return np.asarray(np.linalg.norm(places.pixels - CENTRE, axis=-1) < reach).reshape(places.shape)


def off_disc(scene: SyntheticScene, gap: int) -> NDArray[np.bool_]:
    """Return the places on the ground that stay in the frame and uncovered over a gap."""
    places = CoarseGrid.of(scene.size)
    there = places.pixels + PAN * gap
    clear = [np.linalg.norm(at - CENTRE, axis=-1) > RADIUS + 12 for at in (places.pixels, there)]
    inner = np.all((there > 12) & (there < np.array(SIZE) - 12) & (places.pixels > 12), axis=-1)
    return np.asarray(clear[0] & clear[1] & inner).reshape(places.shape)


def test_exact_hops_are_believed(kept_in_view: SyntheticScene) -> None:
    wrong = probability_wrong(Lying(kept_in_view, lambda s, t, exact: exact), kept_in_view, 4)
    for gap in (1, 2, 4, 8):
        assert np.median(wrong[gap][on_disc(kept_in_view, RADIUS - 8)]) < 0.2
        assert np.median(wrong[gap][off_disc(kept_in_view, gap)]) < 0.2


def test_a_gap_that_lies_everywhere_is_found_out(kept_in_view: SyntheticScene) -> None:
    """Over four frames the flow finds 12 px too little motion, everywhere and both ways: no cycle check detects it."""

    def lie(source: int, target: int, exact: NDArray[np.float32]) -> NDArray[np.float32]:
        return exact + np.float32((12 * np.sign(target - source), 0)) if abs(target - source) == 4 else exact

    flows = Lying(kept_in_view, lie)
    places = CoarseGrid.of(SIZE)
    error = take_hop(flows, 4, 8, places.pixels).cycle_error.reshape(places.shape)
    assert np.median(error[off_disc(kept_in_view, 4)]) < 0.1, "the lie is consistent"
    wrong = probability_wrong(flows, kept_in_view, 4)
    assert np.median(wrong[4][off_disc(kept_in_view, 4)]) > 0.8
    for gap in (1, 2, 8):
        assert np.median(wrong[gap][off_disc(kept_in_view, gap)]) < 0.3


def test_a_gap_that_lies_in_one_place_is_believed_elsewhere(kept_in_view: SyntheticScene) -> None:
    """Over eight frames the disc is mistaken for the ground behind it; everything else is exact."""
    mask = disc_mask()[..., None]

    def lie(source: int, target: int, exact: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(mask, PAN * (target - source), exact) if abs(target - source) == 8 else exact

    wrong = probability_wrong(Lying(kept_in_view, lie), kept_in_view, 4)
    assert np.median(wrong[8][on_disc(kept_in_view, RADIUS - 6)]) > 0.8
    assert np.median(wrong[8][off_disc(kept_in_view, 8)]) < 0.3
    assert np.median(wrong[4][on_disc(kept_in_view, RADIUS - 8)]) < 0.3


def test_a_long_hop_is_believed_where_adjacent_flow_lies(kept_in_view: SyntheticScene) -> None:
    """Between adjacent frames the ground carries the disc along; over four frames and more it stands still."""
    mask = disc_mask(RADIUS + 10)[..., None]

    def lie(source: int, target: int, exact: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(mask, PAN * (target - source), exact) if abs(target - source) == 1 else exact

    wrong = probability_wrong(Lying(kept_in_view, lie), kept_in_view, 4)
    inner = on_disc(kept_in_view, RADIUS - 6)
    for gap in (4, 8):
        assert np.median(wrong[gap][inner]) < 0.5, f"the hop over {gap} frames is right"
        assert np.median(wrong[1][inner]) > np.median(wrong[gap][inner]) - 0.2


def test_evidence_of_a_translation_is_known_in_closed_form(exact_flows: type) -> None:
    scene = translating_scene((3.0, -1.5), (128, 128), 6)
    evidence = HopEvidence(exact_flows(scene), 6, BlurredFrames(scene.frame, scene.size))
    scale = raster_scale(scene.size)
    values = evidence.of(1, [2, 3, 5], {4: (0.25, 0.5)})
    inner = np.all(np.abs(evidence.grid.pixels - 64) < 32, axis=-1)
    columns = dict(zip(NAMES, values[5][inner].T, strict=True))
    length = np.hypot(3.0, 1.5) / scale
    expected = {
        "gap": 2.0,
        "cycle": np.log(0.05),
        "double_cycle": np.log(0.05),
        "speed": np.log(length + 0.1),
        "displacement": np.log(4 * length + 0.5),
        "unlike_first_step": np.log(0.1),
        "unlike_last_step": np.log(0.1),
        "gradient_here": np.log(0.1),
        "gradient_there": np.log(0.1),
        "steps_there": 1.0,
        "steps_distance": np.log(0.3),
        "halves_there": 1.0,
        "halves_distance": np.log(0.3),
        "halves_error": np.log(0.05),
        "beyond_there": 0.0,
        "beyond_distance": 0.0,
        "contradicted": 0.25,
        "inconsistent": 0.5,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(columns[name], value, atol=2e-3, err_msg=name)
    assert (columns["likeness"] > 0.95).all()


def test_evidence_does_not_depend_on_what_else_is_asked(exact_flows: type) -> None:
    scene = translating_scene((1.0, 0.5), (96, 64), 6)
    evidence = HopEvidence(exact_flows(scene), 6, BlurredFrames(scene.frame, scene.size))
    together = evidence.of(2, [0, 1, 3, 4], {})
    assert sorted(together) == [0, 1, 3, 4]
    np.testing.assert_array_equal(evidence.of(2, [1, 0], {})[0], together[0])


def test_nothing_is_said_of_hops_without_a_way_back(exact_flows: type) -> None:
    scene = translating_scene((1.0, 0.5), (96, 64), 4)
    evidence = HopEvidence(exact_flows(scene, {(0, 1), (1, 0), (0, 2)}), 4, BlurredFrames(scene.frame, scene.size))
    assert sorted(evidence.of(0, [1, 2], {})) == [1]


def test_the_regressor_is_a_plain_perceptron() -> None:
    rng = np.random.default_rng(0)
    shapes = {"weight0": (3, 2), "bias0": (3,), "weight1": (1, 3), "bias1": (1,)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    regressor = HopRegressor.from_arrays({"mean": np.array([1, 2]), "deviation": np.array([2, 0.8]), **arrays})
    evidence = 0.4 * rng.normal(size=(5, 2))
    for row, found in zip(evidence, regressor.log_odds(evidence.astype(np.float32)), strict=True):
        hidden = [
            max(0.0, w @ ((row - [1, 2]) / [2, 0.8]) + b)
            for w, b in zip(arrays["weight0"], arrays["bias0"], strict=True)
        ]
        assert found == pytest.approx(float(arrays["weight1"][0] @ hidden + arrays["bias1"][0]), abs=1e-5)


def test_the_packaged_weights_fit_the_evidence() -> None:
    regressor = hop_regressor()
    assert regressor.mean.shape == regressor.deviation.shape == (len(NAMES),)
    assert 5_000 <= sum(w.size + b.size for w, b in regressor.layers) <= 20_000
    wild = np.full((3, len(NAMES)), 1e6, np.float32)
    assert np.abs(regressor.log_odds(wild)).max() <= MOST_LOG_ODDS


def test_log_odds_are_stored_within_half_a_step() -> None:
    values = np.linspace(-MOST_LOG_ODDS, MOST_LOG_ODDS, 101, dtype=np.float32)
    np.testing.assert_allclose(decode_log_odds(encode_log_odds(values)), values, atol=0.5 / STEPS_PER_UNIT + 1e-6)
