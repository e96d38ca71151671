"""Tracks to every pixel: motions with a closed form are exact, edges stay sharp, confidence covers what is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.raster import pixel_grid
from omnitrack.correspondence.track_interpolation import follow_the_most, interpolate, nearest, prepare_source
from omnitrack.synthetic import occluder_scene

REACH = 12.0


def lattice(width: int, height: int, spacing: int) -> NDArray[np.float32]:
    y, x = np.mgrid[spacing // 2 : height : spacing, spacing // 2 : width : spacing]
    return np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)


def flow_of(
    positions: NDArray[np.float32],
    landed: NDArray[np.floating],
    sure: NDArray[np.floating] | None = None,
    frame: NDArray[np.uint8] | None = None,
    count: int = 8,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Interpolate in a grey frame of 256 x 256, whose pixels are those of the raster, unless another is given."""
    frame = np.full((256, 256, 3), 128, np.uint8) if frame is None else frame
    sure = np.ones(len(positions)) if sure is None else sure
    return interpolate(
        prepare_source(frame, positions, count), landed.astype(np.float32), sure.astype(np.float32), REACH
    )


def test_nearest_points_are_those_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    points, places = rng.random((50, 2), np.float32) * 30, rng.random((200, 2), np.float32) * 30
    found = nearest(points, places, 4)
    distance = np.linalg.norm(places[:, None] - points, axis=-1)
    np.testing.assert_array_equal(found.rows.T, distance.argsort(1)[:, :4])
    np.testing.assert_allclose(found.distance.T, np.sort(distance, 1)[:, :4], rtol=1e-4)
    few = nearest(points[:2], places, 4)
    assert np.isinf(few.distance[2:]).all() and np.isfinite(few.distance[:2]).all()


def test_one_track_moves_all_and_is_believed_near_it() -> None:
    """By hand: confidence 2^-(d / 12)^4: 1 at the track, 2^(-1/16) at half the reach, 1/2 at the reach, 0 at twice."""
    flow, confidence = flow_of(np.array([[100, 120]], np.float32), np.array([[103.5, 118.0]]))
    np.testing.assert_allclose(flow, np.broadcast_to([3.5, -2.0], flow.shape), atol=1e-4)
    found = [confidence[120, 100 + d] for d in (0, 6, 12, 24, 40)]
    np.testing.assert_allclose(found, [1, 2 ** (-1 / 16), 0.5, 0, 0], atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_shift_is_exact_whatever_the_tracks(count: int) -> None:
    positions = (np.random.default_rng(0).random((60, 2)) * 256).astype(np.float32)
    flow, confidence = flow_of(positions, positions + np.array([4.25, -1.5]), count=count)
    np.testing.assert_allclose(flow, np.broadcast_to([4.25, -1.5], flow.shape), atol=1e-3)
    x, y = np.rint(positions).astype(int).T
    inner = (x > 8) & (x < 248) & (y > 8) & (y < 248)
    assert confidence[y[inner], x[inner]].min() > 0.99


def test_turning_and_zooming_are_exact_between_the_tracks() -> None:
    """A turn by 20 degrees and a zoom by 1.1 about the middle of the frame, from tracks 16 px apart."""
    turn = 1.1 * np.array([[np.cos(0.35), -np.sin(0.35)], [np.sin(0.35), np.cos(0.35)]])
    positions = lattice(256, 256, 16)
    flow, confidence = flow_of(positions, (positions - 128) @ turn.T + 128)
    pixels = np.stack(np.meshgrid(np.arange(256.0), np.arange(256.0)), -1)
    truth = (pixels - 128) @ turn.T + 128 - pixels
    inner = np.s_[40:-40, 40:-40]
    assert np.abs(flow - truth)[inner].max() < 0.1
    assert np.median(np.abs(flow - truth)[inner]) < 0.01
    landed = pixels + truth
    assert confidence[inner][((landed > 0) & (landed < 255)).all(-1)[inner]].min() > 0.57, "2^-(11.3 / 12)^4"


def test_a_track_at_every_pixel_is_taken_as_it_is() -> None:
    """A turn by 20 degrees: at each pixel the flow is that of its own track, up to the mean over the nearest ones."""
    turn = np.array([[np.cos(0.35), -np.sin(0.35)], [np.sin(0.35), np.cos(0.35)]])
    positions = pixel_grid((64, 64))
    landed = (positions - 32) @ turn.T + 32
    flow, confidence = flow_of(positions, landed, frame=np.zeros((64, 64, 3), np.uint8))
    error = np.linalg.norm(flow.reshape(-1, 2) - (landed - positions), axis=-1).reshape(64, 64)
    assert error[2:-2, 2:-2].max() < 0.02
    assert error.max() < 0.2
    assert confidence[20:44, 20:44].min() > 0.9


def two_halves() -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """A red half that moves by 6 px beside a blue half at rest: frame, tracks 8 px apart, their motion."""
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[:, :128, 0], frame[:, 128:, 2] = 200, 200
    positions = lattice(256, 256, 8)
    return frame, positions, np.where(positions[:, :1] < 128, [[0, 6]], [[0, 0]]).astype(np.float32)


def test_an_edge_belongs_to_one_side_or_the_other() -> None:
    frame, positions, motion = two_halves()
    flow, _ = flow_of(positions, positions + motion, frame=frame)
    np.testing.assert_allclose(flow[:, :126, 1], 6, atol=0.1)
    np.testing.assert_allclose(flow[:, 130:, 1], 0, atol=0.1)
    between = (flow[..., 1] > 0.5) & (flow[..., 1] < 5.5)
    assert not between.any()
    grey, _ = flow_of(positions, positions + motion)  # without colours, the edge is only as exact as the tracks
    assert np.abs(grey[:, :118, 1] - 6).max() < 0.5 and np.abs(grey[:, 138:, 1]).max() < 0.5


def test_where_the_tracks_are_hidden_nothing_is_believed() -> None:
    frame, positions, motion = two_halves()
    hidden = positions[:, 0] < 128
    landed = np.where(hidden[:, None], np.nan, positions + motion)
    flow, confidence = flow_of(positions, landed, ~hidden, frame)
    assert np.isfinite(flow).all()
    assert confidence[:, :110].max() == 0
    assert confidence[:, :126].max() < 0.2
    assert confidence[8:-8, 140:-8].min() > 0.96, "2^-(5.7 / 12)^4"


def test_the_trackers_own_confidence_counts() -> None:
    positions = lattice(256, 256, 8)
    _, confidence = flow_of(positions, positions, np.full(len(positions), 0.7))
    np.testing.assert_allclose(confidence[positions[:, 1].astype(int), positions[:, 0].astype(int)], 0.7, atol=1e-3)


def test_what_leaves_the_frame_is_not_believed() -> None:
    positions = lattice(256, 256, 8)
    seen = positions[:, 0] < 236  # as a tracker would report: those that are still inside after moving by 20 px
    _, confidence = flow_of(positions, positions + np.array([20, 0]), seen)
    assert confidence[:, 236:].max() == 0
    assert confidence[:, :220].min() > 0.9


def test_no_track_near_is_no_confidence_and_no_track_seen_is_no_flow() -> None:
    positions = lattice(64, 256, 8)
    flow, confidence = flow_of(positions, positions + 1)
    assert confidence[:, 60 + 24 :].max() == 0
    flow, confidence = flow_of(positions, positions + 1, np.zeros(len(positions)))
    assert not flow.any() and not confidence.any()


def test_the_largest_group_leads() -> None:
    """Weights .3 + .3 vote for 0, .4 for 10: the two win, although the one is the heaviest. By hand: the mean is 4 px
    off, support at a distance of 10 px is 1 / (1 + 41.4)^2 = 0.00056, so the share is 0.6 + 0.4 * 0.00056."""
    x = np.array([[0, 0], [0, 1], [10, 0.5]], np.float32)
    y = np.zeros_like(x)
    weight = np.array([[0.3, 0.5], [0.3, 0.5], [0.4, 0.0]], np.float32)
    flow, share = follow_the_most(x, y, weight, agree_px=1.0)
    assert flow[0, 0] == pytest.approx(0.4 * 0.00056 * 10 / 0.6, rel=0.05)
    assert share[0] == pytest.approx(0.60022, abs=1e-4)
    # two that are 1 px apart support each other by half: the first leads a group of (0.5 + 0.5 / 2) of the weight
    assert share[1] == pytest.approx(0.75, abs=1e-3)
    assert flow[1, 0] == pytest.approx(0.25 / 0.75, abs=1e-3)
    flow, share = follow_the_most(x[:, :1], y[:, :1], np.zeros((3, 1), np.float32), 1.0)
    assert not flow.any() and not share.any()


def test_of_a_scene_with_occlusion_nearly_all_that_is_believed_is_right() -> None:
    """A turning disc behind a pole, tracks 4 px apart from three frames, over 1, 4 and 8 frames: against exact flow."""
    scene = occluder_scene()
    spots = lattice(*scene.size, 4)
    queries = [np.column_stack([np.full(len(spots), t), spots]) for t in (0, 5, 15)]
    tracks, visible = scene.tracks(np.concatenate(queries))
    errors, hidden, found = [], [], []
    for target in (6, 9, 13):
        rows = visible[:, 5]
        source = prepare_source(scene.frame(5), tracks[rows, 5], 8)
        flow, confidence = interpolate(source, tracks[rows, target], visible[rows, target].astype(np.float32), REACH)
        truth, seen = scene.flow(5, target)
        believed = confidence >= 0.5
        errors.append(np.linalg.norm(flow - truth, axis=-1)[believed & seen])
        hidden.append(believed[~seen])
        found.append(believed[seen])
    error = np.concatenate(errors)
    assert np.median(error) < 0.02
    assert (error < 1).mean() > 0.99
    assert np.concatenate(found).mean() > 0.95
    assert np.concatenate(hidden).mean() < 0.15
