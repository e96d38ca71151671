"""Layouts for napari, TrackMate, DeepLabCut, SLEAP and MATLAB, and what their own readers return."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose

from omnitrack.errors import OmnitrackError

Saved = Callable[..., Path]
Reader = Callable[[str], Any]


# --- napari -----------------------------------------------------------------------------------------------------
def test_napari(saved: Saved) -> None:
    lines = saved("tracks.csv", "napari").read_text().splitlines()
    assert lines[:3] == [
        "track_id,t,y,x,visible,confidence",
        "0,5,20.0000,10.0000,1,1.0000",
        "0,6,24.0000,13.0000,1,0.7500",
    ]
    assert lines[7] == "1,7,2.0000,0.0000,0,0.0000"
    assert len(saved("drop.csv", "napari", hidden="drop").read_text().splitlines()) == 8


def test_napari_in_micrometres(saved: Saved) -> None:
    rows = list(csv.reader(saved("um.csv", "napari", scale=0.5, unit="um").open()))
    assert rows[2][:4] == ["0", "6", "12.0000", "6.5000"]


def test_napari_reads_it(saved: Saved, reader: Reader) -> None:
    layers = reader("napari.layers")
    data = np.loadtxt(saved("tracks.csv", "napari"), delimiter=",", skiprows=1)
    layer = layers.Tracks(data[:, :4])
    assert_allclose(layer.data[layer.data[:, 0] == 0][:, 1:], [[5, 20, 10], [6, 24, 13], [7, 28, 16], [8, 32, 19]])


# --- TrackMate --------------------------------------------------------------------------------------------------
def test_trackmate(saved: Saved) -> None:
    """Read as TrackMate's TmXmlReader does: spots by ID, tracks as edges between them."""
    root = ET.parse(saved("tracks.xml", scale=0.5, unit="um", hidden="drop", names=("a & b", "c"))).getroot()
    model = root.find("Model")
    assert model is not None and model.attrib == {"spatialunits": "um", "timeunits": "sec"}
    spots = {int(spot.attrib["ID"]): spot.attrib for spot in model.iterfind("AllSpots/SpotsInFrame/Spot")}
    assert len(spots) == 7 and model.find("AllSpots").attrib == {"nspots": "7"}  # type: ignore[union-attr]
    tracks = list(model.iterfind("AllTracks/Track"))
    assert [(t.attrib["name"], t.attrib["NUMBER_SPOTS"]) for t in tracks] == [("a & b", "4"), ("c", "3")]
    edges = [(int(e.attrib["SPOT_SOURCE_ID"]), int(e.attrib["SPOT_TARGET_ID"])) for e in tracks[0]]
    path = [spots[edges[0][0]], *(spots[end] for _, end in edges)]
    places = [[float(spot[key]) for key in ("POSITION_T", "POSITION_X", "POSITION_Y", "QUALITY")] for spot in path]
    assert_allclose(places, [[0.5, 5, 10, 1], [0.6, 6.5, 12, 0.75], [0.7, 8, 14, 0.5], [0.8, 9.5, 16, 0.25]])
    gap = [spots[int(e.attrib["SPOT_TARGET_ID"])]["FRAME"] for e in tracks[1]]
    assert gap == ["6", "8"]  # a link spans the frame in which the point is occluded
    declared = {f.attrib["feature"] for f in model.iterfind("FeatureDeclarations/SpotFeatures/Feature")}
    assert set(spots[0]) - {"ID", "name"} == declared
    assert root.find("Settings/ImageData").attrib["pixelwidth"] == "0.5"  # type: ignore[union-attr]
    kept = [t.attrib["TRACK_ID"] for t in model.iterfind("FilteredTracks/TrackID")]
    assert kept == ["0", "1"]


def test_trackmate_marks_hidden_spots(saved: Saved) -> None:
    root = ET.parse(saved("tracks.xml")).getroot()
    quality = [spot.attrib["QUALITY"] for spot in root.iterfind("Model/AllSpots/SpotsInFrame[@frame='7']/Spot")]
    assert quality == ["0.5000", "0.0000"]


# --- DeepLabCut -------------------------------------------------------------------------------------------------
def test_deeplabcut(saved: Saved) -> None:
    text = saved("poses.csv", "deeplabcut", names=("nose", "left,ear"), hidden="drop").read_text()
    assert text.splitlines()[:4] == [
        "scorer,omnitrack,omnitrack,omnitrack,omnitrack,omnitrack,omnitrack",
        'bodyparts,nose,nose,nose,"left,ear","left,ear","left,ear"',
        "coords,x,y,likelihood,x,y,likelihood",
        "5,10.0000,20.0000,1.0000,0.0000,0.0000,1.0000",
    ]
    assert text.splitlines()[5] == "7,16.0000,28.0000,0.5000,,,"


def test_movement_reads_deeplabcut(saved: Saved, reader: Reader) -> None:
    load_poses = reader("movement.io.load_poses")
    data = load_poses.from_dlc_file(saved("poses.csv", "deeplabcut", names=("nose", "ear")), fps=10)
    position = data.position.sel(keypoints="nose").values.reshape(4, 2)
    assert_allclose(position, [[10, 20], [13, 24], [16, 28], [19, 32]])
    assert_allclose(data.confidence.sel(keypoints="ear").values.ravel(), [1, 1, 0, 1])


# --- SLEAP ------------------------------------------------------------------------------------------------------
def test_sleap(saved: Saved) -> None:
    with h5py.File(saved("poses.h5", "sleap", names=("nose", "ear"), hidden="drop")) as file:
        assert file["tracks"].shape == (2, 2, 1, 9)  # tracks, x and y, nodes, frames 0 to 8
        assert_allclose(file["tracks"][0, :, 0, 5:], [[10, 13, 16, 19], [20, 24, 28, 32]])
        assert np.isnan(file["tracks"][..., :5]).all() and np.isnan(file["tracks"][1, :, 0, 7]).all()
        assert file["track_occupancy"][5:].tolist() == [[1, 1], [1, 1], [1, 0], [1, 1]]
        assert_allclose(file["point_scores"][0, 0, 5:], [1, 0.75, 0.5, 0.25])
        assert file["track_names"][:].tolist() == [b"nose", b"ear"] and file["node_names"][:].tolist() == [b"point"]


def test_movement_reads_sleap(saved: Saved, reader: Reader) -> None:
    load_poses = reader("movement.io.load_poses")
    data = load_poses.from_sleap_file(saved("poses.h5", "sleap", names=("nose", "ear")), fps=10)
    position = (
        data.position.sel(individuals="nose") if "individuals" in data.dims else data.position.sel(individual="nose")
    )
    assert_allclose(position.values.reshape(-1, 2)[5:], [[10, 20], [13, 24], [16, 28], [19, 32]])


# --- MATLAB -----------------------------------------------------------------------------------------------------
def test_matlab(saved: Saved, reader: Reader) -> None:
    found = reader("scipy.io").loadmat(saved("tracks.mat", names=("nose", "ear"), hidden="drop"))
    # MATLAB calls the centre of the first pixel (1, 1), and the first frame 1
    assert_allclose(found["x"], [[11, 14, 17, 20], [1, 1, np.nan, 1]])
    assert_allclose(found["y"][0], [21, 25, 29, 33])
    assert found["frame"].tolist() == [[6, 7, 8, 9]] and found["seconds"][0, 0] == pytest.approx(0.5)
    assert [name[0] for name in found["name"][:, 0]] == ["nose", "ear"]
    assert found["visible"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 1]] and found["unit"][0] == "px"


def test_matlab_in_micrometres(saved: Saved, reader: Reader) -> None:
    found = reader("scipy.io").loadmat(saved("tracks.mat", scale=0.5, unit="um"))
    assert_allclose(found["x"][0], [5, 6.5, 8, 9.5])
    assert found["unit"][0] == "um" and found["scale"][0, 0] == 0.5


def test_matlab_without_scipy(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(OmnitrackError, match="scipy, which is not installed") as caught:
        saved("tracks.mat")
    assert caught.value.hint == 'pip install "omnitrack-video[matlab]"'
