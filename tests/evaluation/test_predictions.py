"""Files of other trackers: every documented layout gives the same tracks, and errors explain files that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.predictions import load_prediction
from omnitrack.evaluation.tapvid import Queries
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

SIZE = (32, 16)
CORNER = np.array([0, 0.5, 0.5])  # from pixels with centres at integers to raster pixels, for rows (t, x, y)
FRAMES = np.array([0, 0, 5])


@pytest.fixture
def queries() -> Queries:
    points = np.random.default_rng(0).random((3, 7, 2))
    return Queries(FRAMES, points, np.zeros((3, 7), bool))


@pytest.fixture
def answer() -> tuple[NDArray, NDArray]:
    """Tracks (3, 7, 2) in pixels of `SIZE`, centres at integers, and visible (3, 7)."""
    random = np.random.default_rng(1)
    return random.random((3, 7, 2)) * SIZE, random.random((3, 7)) < 0.5


def check(directory: Path, asked: Queries, answer: tuple[NDArray, NDArray], **arrays: Any) -> None:
    np.savez(directory / "cat.npz", **arrays)
    tracks, visible = load_prediction(directory, "cat", asked)
    np.testing.assert_allclose(tracks, (answer[0] + 0.5) / SIZE, atol=1e-6)
    np.testing.assert_array_equal(visible, answer[1])


def test_rows_in_the_order_of_the_dataset(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    check(tmp_path, queries, answer, tracks=answer[0], visible=answer[1], size=SIZE)


def test_frames_first_with_a_batch_of_one(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    tracks, share = answer[0].transpose(1, 0, 2)[None], np.where(answer[1], 0.9, 0.1).T[None]
    check(tmp_path, queries, answer, tracks=tracks, visibility=share, size=np.array(SIZE, np.float32))


def test_raster_and_occluded(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    check(tmp_path, queries, answer, tracks=answer[0] + 0.5, occluded=~answer[1], size=SIZE, raster=True)


def test_queries_are_looked_up(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    order = [2, 0, 1, 2]  # another order, and one row too many
    asked = queries.pixels(SIZE)[order]
    asked[3, 0] = 6
    arrays = {"tracks": answer[0][order], "visible": answer[1][order], "size": SIZE}
    check(tmp_path, queries, answer, queries=asked, **arrays)
    raster = arrays | {"tracks": arrays["tracks"] + 0.5, "raster": True}
    check(tmp_path, queries, answer, queries=asked + CORNER, **raster)
    tapvid = asked[:, [0, 2, 1]] + CORNER  # (t, y, x), corner at 0
    check(tmp_path, queries, answer, query_points=tapvid[None], **arrays)


def test_nearest_of_two_close_queries(tmp_path: Path, answer: tuple) -> None:
    points = np.full((3, 7, 2), 0.5)
    points[1] += 0.01 / 256
    queries = Queries(FRAMES, points, np.zeros((3, 7), bool))
    asked = queries.pixels(SIZE)[[1, 0, 2]]
    swapped = (answer[0][[1, 0, 2]], answer[1][[1, 0, 2]])
    check(tmp_path, queries, answer, queries=asked, tracks=swapped[0], visible=swapped[1], size=SIZE)


def test_our_own_tracks(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    tracks = Tracks(
        queries=queries.pixels(SIZE).astype(np.float32),
        tracks=answer[0].astype(np.float32),
        visible=answer[1],
        confidence=np.ones((3, 7), np.float32),
        depth=np.ones((3, 7), np.float32),
        frames=np.arange(7),
        size=SIZE,
        fps=24.0,
    )
    save_tracks(tracks, tmp_path / "cat.npz")
    loaded, visible = load_prediction(tmp_path, "cat", queries)
    np.testing.assert_allclose(loaded, (answer[0] + 0.5) / SIZE, atol=1e-6)
    np.testing.assert_array_equal(visible, answer[1])


def test_a_name_with_a_slash(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    np.savez(tmp_path / "a%2Fb.npz", tracks=answer[0], visible=answer[1], size=SIZE)
    np.testing.assert_array_equal(load_prediction(tmp_path, "a/b", queries)[1], answer[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tracks": None}, "has no tracks; it holds visible, size"),
        ({"size": None}, "has no size"),
        ({"visible": None}, "has neither visible, visibility nor occluded"),
        ({"size": (32, 0)}, r"size that is not \(width, height\) in whole pixels: \[32, 0\]"),
        ({"size": 32}, "size that is not"),
        ({"tracks": np.zeros((2, 7, 2))}, r"tracks of shape \(2, 7, 2\) .* need \(3, 7, 2\) and \(3, 7\)"),
        ({"tracks": np.zeros((3, 7))}, r"tracks of shape \(3, 7\)"),
        ({"visible": np.zeros((7, 3), bool)}, r"visibility of shape \(7, 3\)"),
        ({"tracks": np.full((3, 7, 2), np.nan)}, r"tracks that are not finite \(NaN\)"),
        ({"visible": np.full((3, 7), np.nan)}, r"visible that are not finite"),
        ({"visible": np.full((3, 7), -2.5)}, r"visible outside \[0, 1\]"),
        ({"tracks": np.full((3, 7, 2), "x")}, "tracks of type <U1"),
        ({"frames": np.arange(6)}, "does not cover the video's frames 0 to 6"),
        ({"queries": np.zeros((3, 2))}, r"queries of shape \(3, 2\)"),
        ({"queries": np.full((3, 3), np.nan)}, "queries that are not finite"),
        ({"queries": np.zeros((3, 3))}, "lacks 3 of the dataset's 3 queries, the first at frame 0, pixel .* px .* off"),
        ({"queries": np.full((3, 3), 6.0)}, r"lacks 3 of .* pixel \(.*\)$"),
        (
            {"queries": np.zeros((0, 3)), "tracks": np.zeros((0, 7, 2)), "visible": np.zeros((0, 7))},
            "lacks 3 of the dataset's 3 queries",
        ),
    ],
)
def test_what_does_not_fit(
    tmp_path: Path, queries: Queries, answer: tuple, changes: dict[str, Any], message: str
) -> None:
    arrays: dict[str, Any] = {"tracks": answer[0], "visible": answer[1], "size": SIZE} | changes
    np.savez(tmp_path / "cat.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(OmnitrackError, match=rf"cat\.npz .*{message}"):
        load_prediction(tmp_path, "cat", queries)


def test_queries_off_by_half_a_pixel_are_not_found(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    asked = queries.pixels(SIZE) + CORNER
    np.savez(tmp_path / "cat.npz", tracks=answer[0], visible=answer[1], size=SIZE, queries=asked)
    with pytest.raises(OmnitrackError, match=r"its nearest is 8 px \(at 256x256\) off"):  # half of 1/16 of the height
        load_prediction(tmp_path, "cat", queries)


def test_missing_truncated_and_foreign_files(tmp_path: Path, queries: Queries, answer: tuple) -> None:
    with pytest.raises(OmnitrackError, match=r"there are no predictions at .*cat\.npz"):
        load_prediction(tmp_path, "cat", queries)
    path = tmp_path / "cat.npz"
    np.savez_compressed(path, tracks=answer[0], visible=answer[1], size=SIZE)
    whole = path.read_bytes()
    for data in (b"", b"PK", whole[:200], whole[:-30], whole[:100] + b"\0" * 60 + whole[160:], b"<html>"):
        path.write_bytes(data)
        with pytest.raises(OmnitrackError, match=r"cat\.npz is not a readable \.npz"):
            load_prediction(tmp_path, "cat", queries)
    np.savez(path, tracks=np.array([None, {}]), visible=answer[1], size=SIZE)
    with pytest.raises(OmnitrackError, match="not a readable"):
        load_prediction(tmp_path, "cat", queries)
    with path.open("wb") as file:
        np.save(file, answer[0])  # an .npy under another name
    with pytest.raises(OmnitrackError, match="not a readable"):
        load_prediction(tmp_path, "cat", queries)
