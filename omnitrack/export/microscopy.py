"""napari and TrackMate: tracks of spots in microscopy.

Convention:
    y down, (0, 0) at the centre of the first pixel, frames from 0 as in the stack; lengths in pixels, or in a unit with
    `Trajectories.scale` units per pixel. Pixels are square.

Source:
    napari, tracks layer: rows (track_id, t, y, x), https://napari.org/stable/howtos/layers/tracks.html; pixel
    centres are at integers. TrackMate: "How TrackMate XML files are structured", class TmXmlReader; spots are in
    physical units, (0, 0) at the centre of the first pixel (ImageJ's calibration).
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

import numpy as np

from omnitrack.export.contract import Trajectories

NAPARI_COLUMNS = "track_id,t,y,x,visible,confidence"
SPOT = (
    '      <Spot ID="%d" name="%d" QUALITY="%.4f" POSITION_T="%.6f" FRAME="%d" POSITION_X="%.6f" POSITION_Y="%.6f"'
    ' POSITION_Z="0.0" RADIUS="%.6f" VISIBILITY="1"/>\n'
)
EDGE = '      <Edge SPOT_SOURCE_ID="%d" SPOT_TARGET_ID="%d" LINK_COST="-1.0"/>\n'
RADIUS_PX = 2.5  # a spot needs a radius; this is TrackMate's default, 5 pixels across
_SPOT_FEATURES = (
    ("QUALITY", "Quality", "QUALITY", "false"),
    ("POSITION_X", "X", "POSITION", "false"),
    ("POSITION_Y", "Y", "POSITION", "false"),
    ("POSITION_Z", "Z", "POSITION", "false"),
    ("POSITION_T", "T", "TIME", "false"),
    ("FRAME", "Frame", "NONE", "true"),
    ("RADIUS", "Radius", "LENGTH", "false"),
    ("VISIBILITY", "Visibility", "NONE", "true"),
)
_EDGE_FEATURES = (
    ("SPOT_SOURCE_ID", "Source spot ID", "NONE", "true"),
    ("SPOT_TARGET_ID", "Target spot ID", "NONE", "true"),
    ("LINK_COST", "Link cost", "COST", "false"),
)
_TRACK_FEATURES = (("TRACK_ID", "Track ID", "NONE", "true"), ("NUMBER_SPOTS", "N spots", "NONE", "true"))


def napari(found: Trajectories) -> Iterator[str]:
    """Yield one row per track and frame, track by track; the first four columns fit `viewer.add_tracks`."""
    yield NAPARI_COLUMNS + "\n"
    for row in range(len(found)):
        written = found.written[row]
        values = np.column_stack(
            [
                np.full(written.sum(), row),
                found.numbers[written],
                found.points[row, written, ::-1],
                found.visible[row, written],
                found.confidence[row, written],
            ]
        )
        yield "%d,%d,%.4f,%.4f,%d,%.4f\n" * len(values) % tuple(values.ravel().tolist())


def trackmate(found: Trajectories) -> Iterator[str]:
    """Yield a model of spots and tracks; quality is confidence, 0 if occluded; edges bridge omitted frames."""
    ids = np.cumsum(found.written).reshape(found.written.shape) - 1
    physical = bool(found.fps)
    spatial, times = ("pixel" if found.unit == "px" else found.unit), ("sec" if physical else "frame")
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<TrackMate version="7.11.1">\n'
    yield f'  <Model spatialunits={quoteattr(spatial)} timeunits="{times}">\n    <FeatureDeclarations>\n'
    for kind, features in (("Spot", _SPOT_FEATURES), ("Edge", _EDGE_FEATURES), ("Track", _TRACK_FEATURES)):
        yield f"      <{kind}Features>\n"
        for key, name, dimension, whole in features:
            words = f'feature="{key}" name="{name}" shortname="{name}" dimension="{dimension}" isint="{whole}"'
            yield f"        <Feature {words}/>\n"
        yield f"      </{kind}Features>\n"
    yield f'    </FeatureDeclarations>\n    <AllSpots nspots="{int(found.written.sum())}">\n'
    radius = RADIUS_PX * found.scale
    for column, number in enumerate(found.numbers.tolist()):
        rows = np.flatnonzero(found.written[:, column])
        moment = found.seconds[column] if physical else float(number)
        spots = np.column_stack(
            [
                *(ids[rows, column], ids[rows, column], found.confidence[rows, column]),
                *(np.full(len(rows), moment), np.full(len(rows), number)),
                *(found.points[rows, column], np.full(len(rows), radius)),
            ]
        )
        yield f'      <SpotsInFrame frame="{number}">\n'
        yield SPOT * len(spots) % tuple(spots.ravel().tolist())
        yield "      </SpotsInFrame>\n"
    yield from _tracks(found, ids)
    width, height = found.size
    interval = f"{1 / found.fps:.9g}" if physical else "1.0"
    yield (
        f'  </Model>\n  <Settings>\n    <ImageData filename="" folder="" width="{width}" height="{height}" nslices="1" '
        f'nframes="{len(found.numbers)}" pixelwidth="{found.scale:.9g}" pixelheight="{found.scale:.9g}" '
        f'voxeldepth="1.0" timeinterval="{interval}"/>\n  </Settings>\n</TrackMate>\n'
    )


def _tracks(found: Trajectories, ids: np.ndarray) -> Iterator[str]:
    yield "    </AllSpots>\n    <AllTracks>\n"
    linked = np.flatnonzero(found.written.sum(1) > 1)  # a track has at least one edge
    for row in linked.tolist():
        own = ids[row, found.written[row]]
        words = f'name={quoteattr(found.names[row])} TRACK_ID="{row}" NUMBER_SPOTS="{len(own)}"'
        yield f"      <Track {words}>\n"
        edges = np.column_stack([own[:-1], own[1:]])
        yield EDGE * len(edges) % tuple(edges.ravel().tolist())
        yield "      </Track>\n"
    yield "    </AllTracks>\n    <FilteredTracks>\n"
    yield "".join(f'      <TrackID TRACK_ID="{row}"/>\n' for row in linked.tolist())
    yield "    </FilteredTracks>\n"
