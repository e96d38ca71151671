"""Positions of the points in an exported file, read by its documented layout, and by the programs that it is for.

Every function takes a file that contains all points of its tracks, and the frame's size, and returns (N, T, 2) pixels
(x, y) of the video, y down, centres at integers.
"""

from __future__ import annotations

import json
import pickle
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.floating]
Size = tuple[int, int]


def from_corner(places: Any) -> Places:
    """Convert from (0, 0) at the top left corner."""
    return np.asarray(places, float) - 0.5


def from_below(places: Any, size: Size) -> Places:
    """Convert from (0, 0) at the bottom left corner, y up."""
    return np.asarray(places, float) * [1, -1] + [-0.5, size[1] - 0.5]


# --- the parts of layouts ---------------------------------------------------------------------------------------
def added_nulls(text: str) -> list[tuple[str, list[int], list[float], list[int], list[int]]]:
    """The calls of `add` in a script: name, frames, x and y in turn, frames where the opacity changes, opacities."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  add(")]
    return [tuple(json.loads(f"[{line.removeprefix('add(').removesuffix(');')}]")) for line in lines]


def tcl(text: str) -> list[Any]:
    """Return the words of a Tcl list, braces as nested lists: how Nuke reads a script."""
    words: list[Any] = []
    stack = [words]
    for token in re.findall(r'"(?:\\.|[^"\\])*"|[{}]|[^\s{}]+', text):
        if token == "{":
            stack.append([])
            stack[-2].append(stack[-1])
        elif token == "}":
            stack.pop()
        else:
            stack[-1].append(re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token)
    assert len(stack) == 1, "braces do not match"
    return words


def keys(curve: list[str]) -> dict[int, float]:
    """Return frames and values of ``{curve x1 2.5 x2 3}``."""
    assert curve[0] == "curve"
    found: dict[int, float] = {}
    for word in curve[1:]:
        if word.startswith("x"):
            frame = int(word[1:])
        elif word != "K":
            found[frame] = float(word)
    return found


def knobs(path: Path) -> tuple[str, dict[str, Any]]:
    """Return class and knobs of the only node in a script."""
    name, body = tcl(path.read_text())
    return name, dict(zip(body[::2], body[1::2], strict=True))


def added_markers(text: str) -> dict[str, list[tuple[int, float, float, int]]]:
    """Return the calls of `add` in a Blender script: (frame, x, y, hidden) of each marker."""
    found = {}
    for line in text.splitlines():
        if line.startswith("add("):
            name, markers = eval(line.removeprefix("add"))  # written by omnitrack
            found[name] = markers
    return found


# --- whole files, by their layout -------------------------------------------------------------------------------
def _after_effects(path: Path, size: Size) -> Places:
    return from_corner([np.reshape(xy, (-1, 2)) for _, _, xy, _, _ in added_nulls(path.read_text())])


def _keyframes(path: Path, size: Size) -> Places:
    blocks = path.read_text().split("Z pixels\t\n")[1:]
    rows = [[line.split()[1:3] for line in block.partition("\n\n")[0].splitlines()] for block in blocks]
    return from_corner(np.array(rows, float))


def _nuke(path: Path, size: Size) -> Places:
    rows = knobs(path)[1]["tracks"][2]
    return from_below([list(zip(keys(row[2]).values(), keys(row[3]).values(), strict=True)) for row in rows], size)


def _blender(path: Path, size: Size) -> Places:
    found = [np.array(markers)[:, 1:3] for markers in added_markers(path.read_text()).values()]
    return from_below(np.array(found) * size, size)


def _usd(path: Path, size: Size) -> Places:
    block = path.read_text().partition("points.timeSamples = {")[2].partition("}")[0]
    frames = [re.findall(r"\(([-\d.]+), ([-\d.]+), 0\)", line) for line in block.strip().splitlines()]
    return from_below(np.array(frames, float).swapaxes(0, 1), size)


def _napari(path: Path, size: Size) -> Places:
    rows = np.loadtxt(path, delimiter=",", skiprows=1)
    return rows[:, [3, 2]].reshape(len(np.unique(rows[:, 0])), -1, 2)


def _trackmate(path: Path, size: Size) -> Places:
    root = ET.parse(path).getroot()
    spots = {spot.attrib["ID"]: spot.attrib for spot in root.iter("Spot")}
    tracks = []
    for track in root.iter("Track"):
        edges = [edge.attrib for edge in track]
        path_of = [edges[0]["SPOT_SOURCE_ID"], *(edge["SPOT_TARGET_ID"] for edge in edges)]
        tracks.append([[spots[key]["POSITION_X"], spots[key]["POSITION_Y"]] for key in path_of])
    return np.array(tracks, float)


def _deeplabcut(path: Path, size: Size) -> Places:
    rows = np.loadtxt(path, delimiter=",", skiprows=3)[:, 1:]
    return rows.reshape(len(rows), -1, 3)[..., :2].swapaxes(0, 1)


def _sleap(path: Path, size: Size) -> Places:
    import h5py

    with h5py.File(path) as file:
        return np.asarray(file["tracks"][:, :, 0].swapaxes(1, 2))


def _tapvid(path: Path, size: Size) -> Places:
    return from_corner(pickle.loads(path.read_bytes())["video"]["points"].astype(float) * size)


def _cotracker(path: Path, size: Size) -> Places:
    with np.load(path) as found:
        return np.asarray(found["pred_tracks"][0].swapaxes(0, 1))


def _colmap(path: Path, size: Size) -> Places:
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT data FROM keypoints ORDER BY image_id").fetchall()
    return from_corner(np.stack([np.frombuffer(row, np.float32).reshape(-1, 2) for (row,) in rows], 1))


def _matlab(path: Path, size: Size) -> Places:
    from scipy.io import loadmat

    found = loadmat(path)
    return np.dstack([found["x"], found["y"]]) - 1  # MATLAB counts from 1


def _rerun(path: Path, size: Size) -> Places:
    from rerun.chunk import RrdReader

    chunks = [
        chunk.to_record_batch().to_pydict() for chunk in RrdReader(str(path)).stream() if chunk.entity_path == "/tracks"
    ]
    return from_corner(np.stack([np.array(row) for chunk in chunks for row in chunk["Points2D:positions"]], 1))


# --- by the programs themselves ---------------------------------------------------------------------------------
READ_BLENDER = """
import bpy, json, runpy, sys
clip = bpy.data.movieclips.load(sys.argv[1])
runpy.run_path(sys.argv[2])
tracks = {t.name: [(m.frame, *m.co, m.mute) for m in t.markers] for t in clip.tracking.tracks}
print("FOUND" + json.dumps(tracks))
"""


def blender_markers(script: Path, size: Size) -> dict[str, list[tuple[int, float, float, bool]]]:
    """Return the markers that Blender (the module bpy, in its own process) has after running a script."""
    picture = script.with_name("clip.png")
    cv2.imwrite(str(picture), np.zeros((size[1], size[0], 3), np.uint8))
    command = [sys.executable, "-W", "ignore", "-c", READ_BLENDER, str(picture), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named 'bpy'" in done.stderr:
        raise ImportError("bpy")
    assert "FOUND" in done.stdout, done.stderr
    found: dict[str, list[tuple[int, float, float, bool]]]
    found = json.loads(done.stdout.partition("FOUND")[2].splitlines()[0])
    return found


def _by_blender(path: Path, size: Size) -> Places:
    markers = np.array(list(blender_markers(path, size).values()), float)
    return from_below(markers[..., 1:3] * size, size)


def _by_usd(path: Path, size: Size) -> Places:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(path))
    points = UsdGeom.Points(stage.GetDefaultPrim()).GetPointsAttr()
    return from_below(np.stack([np.array(points.Get(time))[:, :2] for time in points.GetTimeSamples()], 1), size)


def _by_napari(path: Path, size: Size) -> Places:
    from napari.layers import Tracks

    layer = Tracks(np.loadtxt(path, delimiter=",", skiprows=1)[:, :4])
    return np.stack([layer.data[layer.data[:, 0] == row][:, [3, 2]] for row in np.unique(layer.data[:, 0])])


def _by_movement(path: Path, size: Size) -> Places:
    from movement.io import load_poses

    load = load_poses.from_sleap_file if path.suffix == ".h5" else load_poses.from_dlc_file
    position = load(
        path, fps=10
    ).position.values  # axes: time, x and y, then body parts and animals, one of which has a length of one
    return position.reshape(len(position), 2, -1).transpose(2, 0, 1)


def _by_pycolmap(path: Path, size: Size) -> Places:
    import pycolmap

    found = pycolmap.Database.open(str(path))
    count = len(found.read_all_images())
    places = [np.asarray(found.read_keypoints(image + 1))[:, :2] for image in range(count)]
    found.close()
    return from_corner(np.stack(places, 1))


def _by_layout(name: str) -> Callable[[Path, Size], Places]:
    def read(path: Path, size: Size) -> Places:
        from omnitrack.tracks.array_files import read_arrays
        from omnitrack.tracks.layouts import KEYS, interpret

        arrays = read_arrays(path, KEYS)
        return interpret(arrays, name, arrays["pred_tracks"].shape[1]).positions

    return read


Reader = Callable[[Path, Size], Places]
# For each format, its readers by name; the program itself comes last.
READERS: dict[str, list[tuple[str, Reader]]] = {
    "after-effects": [("layout", _after_effects)],
    "ae-keyframes": [("layout", _keyframes)],
    "nuke": [("layout", _nuke)],
    "blender": [("layout", _blender), ("Blender", _by_blender)],
    "usd": [("layout", _usd), ("OpenUSD", _by_usd)],
    "napari": [("layout", _napari), ("napari", _by_napari)],
    "trackmate": [("layout", _trackmate)],
    "deeplabcut": [("layout", _deeplabcut), ("movement", _by_movement)],
    "sleap": [("layout", _sleap), ("movement", _by_movement)],
    "matlab": [("scipy", _matlab)],
    "tapvid": [("layout", _tapvid)],
    "cotracker": [("layout", _cotracker), ("omnitrack", _by_layout("cotracker"))],
    "colmap": [("layout", _colmap), ("pycolmap", _by_pycolmap)],
    "rerun": [("rerun", _rerun)],
}
