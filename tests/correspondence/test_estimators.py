"""Flow estimators: DIS against known shifts at every size, and the registry with a plug-in that is really installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.estimators import FlowEstimator, get_estimator
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DisSettings, FlowSettings
from omnitrack.synthetic import occluder_scene

Clip = Callable[..., NDArray[np.uint8]]


def interior_error(flow: NDArray[np.float32], shift: tuple[float, float], margin: int) -> float:
    """Return the largest distance from the true shift, away from the border."""
    inner = flow[margin:-margin, margin:-margin] - np.array(shift)
    return float(np.linalg.norm(inner, axis=-1).max())


def test_dis_measures_a_known_shift(clip: NDArray[np.uint8]) -> None:
    flow = DisEstimator(DisSettings()).estimate(clip[0], clip[2])
    assert flow.shape == (48, 64, 2)
    assert flow.dtype == np.float32
    assert interior_error(flow, (4, 2), 10) < 0.1
    back = DisEstimator(DisSettings()).estimate(clip[2], clip[0])
    assert interior_error(back, (-4, -2), 10) < 0.1


@pytest.mark.parametrize("size", [(16, 16), (40, 30), (17, 90)])
def test_dis_measures_a_known_shift_in_frames_that_are_too_small_for_opencv(
    textured_clip: Clip, size: tuple[int, int]
) -> None:
    frames = textured_clip(2, size, (1, 0))
    flow = DisEstimator(DisSettings()).estimate(frames[0], frames[1])
    assert flow.shape == (size[1], size[0], 2)
    assert interior_error(flow, (1, 0), 4) < 0.2


@pytest.mark.parametrize("finest_scale", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (11, 11), (300, 7)])
def test_dis_answers_for_every_size(size: tuple[int, int], finest_scale: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    flow = DisEstimator(DisSettings(finest_scale=finest_scale)).estimate(frame, frame, np.ones((*frame.shape[:2], 2)))
    assert flow.shape == (size[1], size[0], 2)
    assert np.isfinite(flow).all()


def test_dis_is_finite_where_there_is_nothing_to_see() -> None:
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    assert np.isfinite(DisEstimator(DisSettings()).estimate(black, white)).all()


def test_dis_starts_from_the_guess_and_leaves_it_alone(textured_clip: Clip) -> None:
    frames = textured_clip(2, (64, 64), (19, 0))  # too far for an unaided search in a frame this small
    guess = np.broadcast_to(np.float32([18, 0]), (64, 64, 2))  # read-only
    search = DisEstimator(DisSettings())
    right_half = (slice(16, -16), slice(8, 32))
    unaided = np.median(search.estimate(*frames)[right_half][..., 0])
    aided = np.median(search.estimate(*frames, guess)[right_half][..., 0])
    assert abs(aided - 19) < 0.2 < abs(unaided - 19)


def test_dis_takes_the_better_of_a_guess_and_no_motion_pixel_by_pixel(textured_clip: Clip) -> None:
    source = textured_clip(1, (96, 96), (0, 0))[0]
    target = np.roll(source, 19, 1)  # too far to be found without a guess
    target[48:] = np.roll(source, -5, 1)[48:]  # near enough, but not near the guess
    truth = np.zeros((96, 96, 2), np.float32)
    truth[:48], truth[48:] = (19, 0), (-5, 0)
    guess = np.broadcast_to(np.float32([18, 0]), truth.shape)

    def wrong(two_starts: bool, initial: NDArray[np.float32] | None) -> float:
        flow = DisEstimator(DisSettings(side=96, two_starts=two_starts)).estimate(source, target, initial)
        return float((np.linalg.norm(flow - truth, axis=-1)[:, 12:72] > 1).mean())

    assert wrong(False, guess) > 0.4
    assert wrong(False, None) > 0.4
    assert wrong(True, guess) < 0.05


def test_dis_does_not_depend_on_threads_or_on_what_it_did_before(clip: NDArray[np.uint8]) -> None:
    threads = cv2.getNumThreads()
    big = [cv2.resize(frame, (320, 240)) for frame in clip[:3]]
    try:
        results = []
        for count in (1, 2, 7):
            cv2.setNumThreads(count)
            search = DisEstimator(DisSettings())
            search.estimate(big[2], big[0])
            results.append(search.estimate(big[0], big[1]))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("pair", [(1, 2), (1, 3)])
def test_dis_sees_more_of_small_frames_when_it_enlarges_them(pair: tuple[int, int]) -> None:
    """A disc with room for only nine patches of 8 px."""
    scene = occluder_scene((96, 64), 8)
    truth, visible = scene.flow(*pair)

    def error(side: int) -> float:
        flow = DisEstimator(DisSettings(side=side)).estimate(scene.frame(pair[0]), scene.frame(pair[1]))
        return float(np.linalg.norm(flow - truth, axis=-1)[visible].mean())

    assert error(480) < 0.9 * error(0)


def test_dis_enlarges_frames_at_most_twice_and_never_large_ones(clip: NDArray[np.uint8]) -> None:
    flows = {s: DisEstimator(DisSettings(side=s)).estimate(clip[0], clip[1]) for s in (0, 24, 48, 72, 96, 480)}
    for same, as_ in ((24, 0), (48, 0), (480, 96)):  # the shorter side of the clip has 48 px
        np.testing.assert_array_equal(flows[same], flows[as_])
    assert not np.array_equal(flows[72], flows[48]) and not np.array_equal(flows[96], flows[72])


def test_dis_settings_change_the_search(clip: NDArray[np.uint8]) -> None:
    plain = DisEstimator(DisSettings()).estimate(clip[0], clip[1])
    for settings in (
        DisSettings(finest_scale=1),
        DisSettings(patch_size=12),
        DisSettings(patch_stride=5),
        DisSettings(gradient_descent_iterations=2),
        DisSettings(variational_iterations=0),
    ):
        assert not np.array_equal(DisEstimator(settings).estimate(clip[0], clip[1]), plain), settings


def test_dis_refuses_patches_with_gaps_between_them() -> None:
    with pytest.raises(OmnitrackError, match="patch_stride"):
        DisEstimator(DisSettings(patch_size=8, patch_stride=9))


@pytest.mark.parametrize("settings", [DisSettings(finest_scale=6), DisSettings(patch_size=300)])
def test_dis_refuses_patches_of_half_a_frame(settings: DisSettings) -> None:
    with pytest.raises(OmnitrackError, match="too coarse"):
        DisEstimator(settings)


# --- the registry -----------------------------------------------------------------------------------------------
def test_dis_by_name_takes_its_settings() -> None:
    with pytest.raises(OmnitrackError, match="patch_stride"):
        get_estimator("dis", FlowSettings(dis=DisSettings(patch_stride=9)))
    assert isinstance(get_estimator("dis", FlowSettings()), FlowEstimator)


def install(monkeypatch: pytest.MonkeyPatch, path: Path, code: str) -> None:
    """Put a package that offers the estimator ``still`` on the path, laid out as pip does."""
    (path / "still_flow.py").write_text(code, encoding="utf-8")
    info = path / "still_flow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: still-flow\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[omnitrack.flow_estimators]\nstill = still_flow:Still\n", encoding="utf-8")
    monkeypatch.syspath_prepend(path)
    monkeypatch.delitem(__import__("sys").modules, "still_flow", raising=False)


def test_an_installed_plug_in_is_found_and_gets_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: NDArray[np.uint8]
) -> None:
    code = """
import numpy as np
class Still:
    def __init__(self, settings):
        self.settings = settings
    def estimate(self, source, target, initial=None):
        return np.zeros((*source.shape[:2], 2), np.float32)
"""
    install(monkeypatch, tmp_path, code)
    settings = FlowSettings(pairs="window:3")
    estimator = get_estimator("still", settings)
    assert estimator.settings is settings  # type: ignore[attr-defined]
    assert not estimator.estimate(clip[0], clip[1]).any()


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import not_installed_anywhere", "not_installed_anywhere"),
        ("class Still:\n    def __init__(self, settings):\n        raise ValueError('no weights')", "no weights"),
        ("class Still:\n    def __init__(self, settings):\n        pass", "no method estimate"),
    ],
)
def test_a_broken_plug_in_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, cause: str) -> None:
    install(monkeypatch, tmp_path, code)
    with pytest.raises(OmnitrackError) as caught:
        get_estimator("still", FlowSettings())
    assert "'still'" in caught.value.message
    assert cause in caught.value.message


def test_an_unknown_estimator_is_answered_with_a_guess_and_the_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "")
    with pytest.raises(OmnitrackError) as caught:
        get_estimator("diss", FlowSettings())
    assert "'diss'" in caught.value.message
    assert "did you mean dis?" in (caught.value.hint or "")
    assert "dis, raft, still" in (caught.value.hint or "")
    with pytest.raises(OmnitrackError) as caught:
        get_estimator("zzzzzz", FlowSettings())
    assert "did you mean" not in (caught.value.hint or "")
