"""The table of export formats: the built-in formats and those of installed packages.

Help and completion get the names without loading a format; a format's module is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.export.contract import DROP, HOLD, MARK, ExportFormat, Trajectories

ENTRY_POINTS = "omnitrack.export_formats"
EVERY = (MARK, DROP, HOLD)
ALL_THERE = (MARK, HOLD)  # for arrays with an entry for every point and frame
PICTURE = ("size",)
FILM = ("size", "fps")

_BUILT_IN = (
    ExportFormat(
        "after-effects",
        ".jsx",
        "After Effects script: named nulls with keyframes",
        "after_effects:script",
        hidden=EVERY,
        needs=FILM,
    ),
    ExportFormat(
        "ae-keyframes",
        ".txt",
        "After Effects keyframe data to paste, a block a track",
        "after_effects:keyframes",
        needs=FILM,
    ),
    ExportFormat(
        "nuke",
        ".nk",
        "Nuke Tracker4 node",
        "nuke:tracker",
        first_frame=1,
        series_numbers=True,
        hidden=EVERY,
        needs=PICTURE,
    ),
    ExportFormat(
        "nuke-cornerpin",
        ".nk",
        "Nuke CornerPin2D node of four points",
        "nuke:corner_pin",
        first_frame=1,
        series_numbers=True,
        count=4,
        needs=PICTURE,
    ),
    ExportFormat(
        "nuke-transform",
        ".nk",
        "Nuke Transform node: the tracks' common motion",
        "nuke:transform",
        first_frame=1,
        series_numbers=True,
        needs=PICTURE,
    ),
    ExportFormat(
        "blender",
        ".py",
        "Blender script: markers of the open movie clip",
        "blender:script",
        first_frame=1,
        hidden=EVERY,
        needs=PICTURE,
    ),
    ExportFormat(
        "usd",
        ".usda",
        "USD Points with time samples",
        "usd:points",
        first_frame=1,
        series_numbers=True,
        hidden=EVERY,
        needs=FILM,
    ),
    ExportFormat("napari", ".csv", "napari tracks: track_id,t,y,x", "microscopy:napari", hidden=EVERY, units=True),
    ExportFormat(
        "trackmate", ".xml", "TrackMate model", "microscopy:trackmate", hidden=EVERY, units=True, needs=PICTURE
    ),
    ExportFormat("deeplabcut", ".csv", "DeepLabCut table", "poses:deeplabcut", hidden=EVERY),
    ExportFormat("sleap", ".h5", "SLEAP analysis file", "poses:sleap", hidden=EVERY),
    ExportFormat("matlab", ".mat", "MATLAB matrices (needs scipy)", "matlab:matrices", 1, hidden=EVERY, units=True),
    ExportFormat(
        "tapvid", ".pkl", "TAP-Vid annotations", "research:tapvid", hidden=ALL_THERE, needs=PICTURE, images=True
    ),
    ExportFormat("cotracker", ".npz", "CoTracker arrays", "research:cotracker", hidden=ALL_THERE),
    ExportFormat(
        "colmap", ".db", "COLMAP database: keypoints and matches of every frame", "colmap:database", needs=PICTURE
    ),
    ExportFormat("rerun", ".rrd", "rerun recording (needs rerun-sdk)", "research:rerun", hidden=EVERY, needs=PICTURE),
)
# Exports that need a field: dense maps in one file per frame; the camera is a single file.
DENSE = {
    "stmap": ".exr",
    "motion-vectors": ".exr",
    "flo": ".flo",
    "kitti": ".png",
    "matte": ".png",
    "camera": ".json",
    "camera-nuke": ".nk",
}
BUILT_IN = {format.name: replace(format, write=f"omnitrack.export.{format.write}") for format in _BUILT_IN}


def get_format(name: str) -> ExportFormat:
    """Return the format called `name`.

    Raises:
        OmnitrackError: There is no such format, or it is a plug-in that cannot be loaded.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    plug_ins = _plug_ins()
    if name in plug_ins:
        return _load(plug_ins[name])
    raise OmnitrackError(f"there is no export format {name!r}", closest_hint(name, [*BUILT_IN, *plug_ins], "there is"))


def format_names() -> list[str]:
    """Return all names, those of installed packages last."""
    return [*BUILT_IN, *_plug_ins()]


def format_by_suffix(suffix: str) -> ExportFormat | None:
    """Return the first format whose files have this suffix; None if there is none."""
    for name in format_names():
        with suppress(OmnitrackError):  # a plug-in that cannot be loaded is skipped
            found = get_format(name)
            if found.suffix == suffix.lower():
                return found
    return None


def writer(format: ExportFormat) -> Callable[[Trajectories], Iterable[str | bytes]]:
    """Return the function that yields the content of a format's file."""
    if callable(format.write):
        return format.write
    module, _, name = format.write.partition(":")
    found: Callable[[Trajectories], Iterable[str | bytes]] = getattr(import_module(module), name)
    return found


def _plug_ins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _load(entry: EntryPoint) -> ExportFormat:
    hint = "repair or remove the package that offers it"
    try:
        found = entry.load()
    except Exception as error:  # a plug-in can fail in any way; the user needs its name
        raise OmnitrackError(
            f"the export format {entry.name!r} ({entry.value}) cannot be loaded: {error}", hint
        ) from error
    if not isinstance(found, ExportFormat):
        raise OmnitrackError(f"the export format {entry.name!r} ({entry.value}) is no ExportFormat", hint)
    return replace(found, name=entry.name)
