"""Flow corrected by descriptors, as an estimator: opened by its setting, with real weights, with a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from shared_data import WEIGHTS, needs

from omnitrack.correspondence.descriptors.alike import AlikeNetwork
from omnitrack.correspondence.descriptors.comparing import STEPS
from omnitrack.correspondence.descriptors.maps import CHANNELS, ClipDescriptors
from omnitrack.correspondence.descriptors.network import descriptor_network
from omnitrack.correspondence.estimators import open_estimator
from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair
from omnitrack.correspondence.estimators.corrected import Corrected
from omnitrack.correspondence.features.contract import unit_length
from omnitrack.errors import OmnitrackError
from omnitrack.settings import FEATURES, NO_DESCRIPTORS, PATCHES, DescriptorSettings, DisSettings, FlowSettings
from omnitrack.synthetic import occluder_scene

REAL = WEIGHTS / "alike-n.pth"
SCENE = occluder_scene(size=(96, 64))
CLIP = Clip(SCENE.frame, SCENE.num_frames, SCENE.size, SCENE.size)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alike.pth"
    state = AlikeNetwork((4, 8, 8, 12), 64).state_dict()
    for block in (1, 2, 3, 4):  # few channels respond at a position, so that positions differ
        state[f"block{block}.bn2.bias"] -= 0.1
        state[f"block{block}.bn2.running_var"] *= 0.01
    torch.save(state, path)
    return path


def settings(weights: Path, **changes: object) -> DescriptorSettings:
    small = DescriptorSettings("alike", str(weights), side=64, margin=0.0, least_gap=1)  # random weights tell little
    return replace(small, **changes)  # type: ignore[arg-type]


class Still:
    """An estimator that reports no motion, with a confidence or without."""

    batch_pairs, concurrent = 3, True

    def __init__(self, confidence: float | None = None) -> None:
        self._confidence = confidence

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        sure = None if self._confidence is None else np.full((64, 96), self._confidence, np.float32)
        return [FlowEstimate(np.zeros((64, 96, 2), np.float32), sure) for _ in pairs]


class Led(Still):
    """An estimator that measures the true flow, or repeats the guess that it is given."""

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        found = zip(pairs, initial, strict=True)
        return [FlowEstimate(SCENE.flow(*pair)[0].astype(np.float32) if led is None else led) for pair, led in found]


def test_the_setting_opens_it_around_any_estimator(random_weights: Path) -> None:
    flow = FlowSettings(surroundings=False, dis=DisSettings(side=0), descriptors=settings(random_weights))
    corrected = open_estimator(flow, CLIP)
    plain = open_estimator(replace(flow, descriptors=DescriptorSettings(NO_DESCRIPTORS)), CLIP)
    assert isinstance(corrected, Corrected) and not isinstance(plain, Corrected)
    assert (corrected.batch_pairs, corrected.concurrent) == (plain.batch_pairs, plain.concurrent)
    ours, theirs = (estimator.estimate_pairs([(0, 8)], [None])[0].flow for estimator in (corrected, plain))
    changed = (ours != theirs).any(-1)
    assert ours.shape == theirs.shape and 0 < changed.mean() < 1


def test_of_itself_only_dense_inverse_search_is_corrected() -> None:
    assert isinstance(open_estimator(FlowSettings(surroundings=False), CLIP), Corrected)
    for estimators in (FlowSettings(), FlowSettings(far_estimator="raft")):
        assert descriptor_network(estimators) == PATCHES
    for other in ("raft", "a plug-in"):
        assert descriptor_network(FlowSettings(other)) == NO_DESCRIPTORS
    for asked in (PATCHES, NO_DESCRIPTORS, "alike"):
        for estimator in ("dis", "raft"):
            flow = FlowSettings(estimator, descriptors=DescriptorSettings(asked))
            assert descriptor_network(flow) == asked


def test_features_that_tell_correct_dense_inverse_search() -> None:
    assert descriptor_network(FlowSettings(), "dinov2") == FEATURES
    assert descriptor_network(FlowSettings(), "xfeat") == descriptor_network(FlowSettings())
    assert descriptor_network(FlowSettings("raft"), "dinov2") == NO_DESCRIPTORS
    asked = FlowSettings(descriptors=DescriptorSettings(PATCHES))
    assert descriptor_network(asked, "dinov2") == PATCHES


def test_features_tell_apart_what_looks_the_same() -> None:
    """A wallpaper that moves by more than half its period: by appearance alone it moves the other way."""
    period, moved, (width, height) = 16, 10, CLIP.size
    tile = np.random.default_rng(0).integers(0, 255, (period, period, 3), np.uint8)
    wall = np.tile(tile, (height // period + 1, width // period + 3, 1))[:height]
    place = np.random.default_rng(1).normal(size=(height // 4, (width + moved) // 2, 6))
    cells = cv2.GaussianBlur(place, (0, 0), 2.0).astype(np.float32)
    frames = [wall[:, 2 * period - shift :][:, :width] for shift in (0, moved)]
    features = [unit_length(cells[:, (moved - shift) // 2 :][:, : width // 2]) for shift in (0, moved)]
    clip = Clip(frames.__getitem__, 2, CLIP.size, CLIP.size, features=features.__getitem__)
    found = {}
    for network in (PATCHES, FEATURES):
        wanted = DescriptorSettings(network, side=64, reach_px=48.0)
        flow = Corrected(Still(), wanted, clip).estimate_pairs([(0, 1)], [None])[0].flow
        found[network] = np.abs(flow - (moved, 0)).max(-1)[8:-8, 16:-24] < 1
    assert found[FEATURES].mean() > 0.9 > 0.1 > found[PATCHES].mean()


def test_after_features_patches_search_alone() -> None:
    cells = np.random.default_rng(0).normal(size=(SCENE.num_frames, 8, 12, 6)).astype(np.float32)
    clip = replace(CLIP, features=lambda t: unit_length(cells[t]))
    flow = FlowSettings(surroundings=False, dis=DisSettings(side=0), descriptors=DescriptorSettings(FEATURES, side=64))
    plain = open_estimator(replace(flow, descriptors=DescriptorSettings(NO_DESCRIPTORS)), clip)
    found = open_estimator(flow, clip).estimate_pairs([(0, 8)], [None])[0].flow
    with_features = Corrected(plain, flow.descriptors, clip)
    expected = Corrected(with_features, replace(flow.descriptors, network=PATCHES), clip)
    np.testing.assert_array_equal(found, expected.estimate_pairs([(0, 8)], [None])[0].flow)
    assert (found != with_features.estimate_pairs([(0, 8)], [None])[0].flow).any()


def test_features_have_to_be_there() -> None:
    with pytest.raises(OmnitrackError, match=r"flow\.descriptors\.network=features: there are no features") as failed:
        open_estimator(FlowSettings(descriptors=DescriptorSettings(FEATURES)), CLIP)
    assert "--set features.extractor=dinov2" in str(failed.value.hint)


def test_flow_with_a_confidence_stays(random_weights: Path) -> None:
    estimate = Corrected(Still(0.5), settings(random_weights), CLIP).estimate_pairs([(0, 8)], [None])[0]
    assert not estimate.flow.any() and estimate.confidence is not None
    assert Corrected(Still(), settings(random_weights), CLIP).estimate_pairs([(0, 8)], [None])[0].flow.any()


def test_a_pair_does_not_depend_on_the_others_or_on_memory(random_weights: Path) -> None:
    pairs: list[Pair] = [(0, 1), (4, 2), (0, 8)]
    together = Corrected(Still(), settings(random_weights), CLIP).estimate_pairs(pairs, [None] * 3)
    forgetful = Corrected(Still(), settings(random_weights), replace(CLIP, memory_gb=0.0))
    for pair, estimate in reversed(list(zip(pairs, together, strict=True))):
        assert np.array_equal(forgetful.estimate_pairs([pair], [None])[0].flow, estimate.flow)


def test_near_frames_may_be_left_alone(random_weights: Path) -> None:
    for least_gap, searched in ((8, True), (9, False)):
        corrected = Corrected(Still(), settings(random_weights, least_gap=least_gap), CLIP)
        assert corrected.estimate_pairs([(0, 8)], [None])[0].flow.any() == searched


@pytest.mark.parametrize("flow", [np.full((64, 96, 2), np.nan, np.float32), np.zeros((64, 96), np.float32)])
def test_what_is_no_flow_is_left_to_the_stage(flow: NDArray[np.float32]) -> None:
    class Broken(Still):
        def estimate_pairs(
            self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
        ) -> list[FlowEstimate]:
            return [FlowEstimate(flow) for _ in pairs]

    corrected = Corrected(Broken(), settings(REAL, network=PATCHES), CLIP)
    assert corrected.estimate_pairs([(0, 8)], [None])[0].flow is flow


def test_each_frame_is_described_once(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[int] = []
    original = ClipDescriptors._described

    def counted(self: ClipDescriptors, frame: int) -> torch.Tensor:
        described.append(frame)
        return original(self, frame)

    monkeypatch.setattr(ClipDescriptors, "_described", counted)
    Corrected(Still(), settings(random_weights), CLIP).estimate_pairs([(0, 1), (1, 0), (0, 2)], [None] * 3)
    assert sorted(described) == [0, 1, 2]


def test_missing_weights_are_named() -> None:
    with pytest.raises(OmnitrackError, match=r"flow\.descriptors\.weights: 'absent\.pth' is neither a file nor"):
        open_estimator(FlowSettings(descriptors=settings(Path("absent.pth"))), CLIP)


@pytest.mark.parametrize("network", [PATCHES, pytest.param("alike", marks=needs(REAL))])
def test_it_finds_the_motion(network: str) -> None:
    wanted = settings(REAL, network=network, side=256, margin=0.1, reach_px=24.0)
    corrected = Corrected(Led(), wanted, CLIP)
    found = corrected.estimate_pairs([(0, 1)], [np.zeros((64, 96, 2), np.float32)])[0].flow
    truth, seen = SCENE.flow(0, 1)
    moved = seen & (np.linalg.norm(truth, axis=-1) > 1)
    before, after = np.linalg.norm(truth, axis=-1)[moved], np.linalg.norm(found - truth, axis=-1)[moved]
    assert np.median(after) < np.median(before) / 2
    maps = corrected._descriptors.of(0).float() / STEPS
    assert maps.shape[1] == CHANNELS
    assert maps.norm(dim=1).max() < 1.02  # half a step in each of 32 channels is 0.022 at most
