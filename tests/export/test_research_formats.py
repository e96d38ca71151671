"""Layouts for TAP-Vid, CoTracker, COLMAP and rerun, and what their own readers return."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.tapvid import load_tapvid
from omnitrack.tracks.array_files import read_arrays
from omnitrack.tracks.exporting import Footage
from omnitrack.tracks.layouts import KEYS, interpret, recognised
from omnitrack.tracks.tracks import Tracks

Saved = Callable[..., Path]
Reader = Callable[[str], Any]


# --- TAP-Vid ----------------------------------------------------------------------------------------------------
def test_tapvid(saved: Saved) -> None:
    found = pickle.loads(saved("truth.pkl").read_bytes())["video"]
    assert found["points"].dtype == np.float32 and found["points"].shape == (2, 4, 2)
    assert_allclose(found["points"][0, 0], [10.5 / 100, 20.5 / 50])
    assert found["occluded"].tolist() == [[False] * 4, [False, False, True, False]]


def test_tapvid_with_frames(straight_tracks: Tracks, tmp_path: Path) -> None:
    """With its frames, it is a dataset that `omnitrack eval` reads."""
    images = []
    for t in range(4):
        images.append(tmp_path / f"{t}.png")
        cv2.imwrite(str(images[-1]), np.full((50, 100, 3), 10 * t, np.uint8))
    footage = Footage(np.arange(4), None, (100, 50), 10.0, tuple(images))
    replace(straight_tracks, frames=np.arange(4)).save(tmp_path / "truth.pkl", footage=footage)
    (video,) = load_tapvid(tmp_path / "truth.pkl")
    assert video.name == "video" and video.size == (100, 50) and video.frames[3, 0, 0].tolist() == [30, 30, 30]
    assert_allclose(video.points * (100, 50) - 0.5, straight_tracks.tracks, atol=1e-4)
    assert (video.occluded == ~straight_tracks.visible).all()


def test_tapnet_metrics_read_it(saved: Saved, straight_tracks: Tracks, reader: Reader) -> None:
    metrics = reader("tapnet.tapvid.evaluation_datasets")
    found = pickle.loads(saved("truth.pkl").read_bytes())["video"]
    points, occluded = found["points"][None] * [100, 50], found["occluded"][None]
    queries = np.column_stack([[0, 1], straight_tracks.tracks[[0, 1], [0, 1], ::-1] + 0.5])[None]
    scores = metrics.compute_tapvid_metrics(queries, occluded, points, occluded, points, "first")
    assert scores["average_jaccard"] == pytest.approx(1)


def test_tapvid_cannot_leave_out(saved: Saved) -> None:
    with pytest.raises(OmnitrackError, match="tapvid cannot drop hidden points") as caught:
        saved("truth.pkl", hidden="drop")
    assert caught.value.hint == "choose --hidden mark or hold"


# --- CoTracker --------------------------------------------------------------------------------------------------
def test_cotracker(saved: Saved, straight_tracks: Tracks) -> None:
    with np.load(saved("theirs.npz", "cotracker")) as found:
        assert found["pred_tracks"].shape == (1, 4, 2, 2)
        assert_allclose(found["pred_tracks"][0, 1], [[13, 24], [0, 1]])
        assert found["pred_visibility"][0, :, 1].tolist() == [True, True, False, True]
        # t counts rows from the first: CoTracker has no other frame numbers
        assert_allclose(found["queries"], [[[0, 10, 20], [1, 0, 1]]])


def test_cotracker_is_read_as_another_trackers_file(saved: Saved, straight_tracks: Tracks) -> None:
    arrays = read_arrays(saved("theirs.npz", "cotracker"), KEYS)
    assert recognised(arrays) == "cotracker"
    reading = interpret(arrays, "cotracker", 4)
    assert_allclose(reading.positions, straight_tracks.tracks)
    assert (reading.visible == straight_tracks.visible).all()


# --- COLMAP -----------------------------------------------------------------------------------------------------
def test_colmap(saved: Saved) -> None:
    with sqlite3.connect(saved("scene.db")) as file:
        assert file.execute("SELECT model, width, height FROM cameras").fetchall() == [(2, 100, 50)]
        assert file.execute("SELECT name FROM images WHERE image_id = 4").fetchall() == [("000008.png",)]
        rows, columns, data = file.execute("SELECT rows, cols, data FROM keypoints WHERE image_id = 2").fetchone()
        assert (rows, columns) == (2, 2)
        assert_allclose(np.frombuffer(data, np.float32).reshape(2, 2), [[13.5, 24.5], [0.5, 1.5]])
        pairs = {number: (rows, data) for number, rows, _, data in file.execute("SELECT * FROM matches")}
    base = 2147483647
    assert set(pairs) == {base + 2, 2 * base + 3, 3 * base + 4, base + 3, 2 * base + 4}  # gaps of 1 and 2
    rows, data = pairs[2 * base + 4]
    assert np.frombuffer(data, np.uint32).reshape(rows, 2).tolist() == [[0, 0], [1, 1]]
    assert pairs[base + 3][0] == 1  # the second point is occluded in the third frame


def test_pycolmap_reads_it(saved: Saved, reader: Reader) -> None:
    pycolmap = reader("pycolmap")
    found = pycolmap.Database.open(str(saved("scene.db")))
    images = found.read_all_images()
    assert [image.name for image in images] == [f"{t:06d}.png" for t in range(5, 9)]
    assert_allclose(np.asarray(found.read_keypoints(2))[:, :2], [[13.5, 24.5], [0.5, 1.5]])
    assert found.read_matches(2, 4).tolist() == [[0, 0], [1, 1]]
    found.close()


# --- rerun ------------------------------------------------------------------------------------------------------
def test_rerun_reads_it(saved: Saved, reader: Reader) -> None:
    reader("rerun")
    recording = reader("rerun.chunk").RrdReader(str(saved("tracks.rrd")))
    chunks = [chunk.to_record_batch().to_pydict() for chunk in recording.stream() if chunk.entity_path == "/tracks"]
    frames = [frame for chunk in chunks for frame in chunk["frame"]]
    places = [np.array(row) for chunk in chunks for row in chunk["Points2D:positions"]]
    colours = [row for chunk in chunks for row in chunk["Points2D:colors"]]
    assert frames == [5, 6, 7, 8]
    assert_allclose(places[1], [[13.5, 24.5], [0.5, 1.5]])
    assert [len(set(row)) for row in colours] == [1, 1, 2, 1]  # the occluded point has another colour


def test_without_rerun(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    with pytest.raises(OmnitrackError, match="rerun-sdk, which is not installed"):
        saved("tracks.rrd")
