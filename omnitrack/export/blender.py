"""Blender: a script that sets the markers of the open movie clip.

Convention:
    A marker's `co` is a fraction of the frame, (0, 0) at its bottom left corner, y up; pixel centres are at half
    pixels. Clip frames count from 1, whatever the numbers of the images. Pixels are square. Blender moves a marker
    outside of the frame to the frame's edge; points outside are occluded, so their markers are disabled.

Source:
    Blender manual, Movie Clip > Tracking > Track; Python API, bpy.types.MovieTrackingMarker.co, .mute and
    MovieTrackingMarkers.insert_frame, https://docs.blender.org/api/current/. Half pixels: blenkernel, function
    tracking_get_marker_coords_for_tracking, which subtracts 0.5 for libmv, whose pixel centres are integers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnitrack.export.contract import Trajectories

HEAD = '''"""Tracks of omnitrack: open the clip ({width} x {height}) in a Movie Clip editor, then run this text."""
import bpy


def open_clip():
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    clips = [area.spaces.active.clip for area in areas if area.type == "CLIP_EDITOR"]
    return next((clip for clip in [*clips, *bpy.data.movieclips] if clip), None)


def add(name, markers):
    """Markers are (clip frame, x, y, 1 where it is hidden); a hidden one is disabled."""
    track = clip.tracking.tracks.new(name=name, frame=markers[0][0])
    for frame, x, y, hidden in markers:
        track.markers.insert_frame(frame, co=(x, y)).mute = bool(hidden)


clip = open_clip()
if clip is None:
    raise SystemExit("open the movie clip first")
'''


def script(found: Trajectories) -> Iterator[str]:
    """Yield a script that creates one track per point; markers of occluded points are disabled.

    Where occluded points are left out, one disabled marker ends each run: Blender would hold the last position.
    """
    width, height = found.size
    yield HEAD.format(width=width, height=height)
    places = found.upward / (width, height)
    for row, name in enumerate(found.names):
        written, hidden = _with_ends(found.written[row], found.visible[row])
        if not written.any():
            continue
        last = np.maximum.accumulate(np.where(found.written[row], np.arange(len(written)), 0))
        markers = np.column_stack([found.numbers, places[row, last], hidden])[written]
        rows = "(%d,%.7f,%.7f,%d)," * len(markers) % tuple(markers.ravel().tolist())
        yield f"add({json.dumps(name, ensure_ascii=False)}, [{rows}])\n"


def _with_ends(written: NDArray[np.bool_], visible: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the frames with a marker and those with a disabled one; the first frame after a written run is in both."""
    ends = np.append(False, written[:-1] & ~written[1:])
    return written | ends, ~visible | ends
