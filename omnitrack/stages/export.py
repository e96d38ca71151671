"""`omnitrack export`: write tracks of a project as files of other programs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.export.contract import ExportFormat
from omnitrack.export.formats import format_names, get_format
from omnitrack.project.project import Project
from omnitrack.stages.last_tracks import last_tracks
from omnitrack.stages.track_labels import names_of
from omnitrack.tracks.exporting import Footage
from omnitrack.tracks.files import FORMATS, load_tracks
from omnitrack.tracks.saving import find_format, save_as
from omnitrack.tracks.tracks import Tracks


@dataclass(frozen=True)
class ExportReport:
    """What `export_file` wrote.

    Attributes:
        format: Name of the format.
        output: The file; - is standard output.
        tracks: Number of tracks.
        frames: Number of frames.
        seconds: Wall time.
    """

    format: str
    output: str
    tracks: int
    frames: int
    seconds: float


def export_file(
    project: Project, tracks: Tracks | Path | None, output: Path | None, name: str | None, options: Mapping[str, object]
) -> ExportReport:
    """Write a file of tracks as another program reads it, with the frame numbers of the footage.

    Args:
        project: Maps the tracks' frames to frames of the footage.
        tracks: The tracks or their file; None uses those of the last query.
        output: The file; None writes to standard output.
        name: Name of the format; None chooses it by the suffix of `output`.
        options: Fields of `omnitrack.tracks.exporting.ExportOptions`; or, instead of its names, ``labels`` to name the
            tracks by, see `omnitrack.stages.track_labels.names_of`.

    Raises:
        OmnitrackError: No tracks, tracks of another video, unusable labels, an unknown format, or an option that the
            format does not support.
        UsageError: Neither a format nor a file, or both names and labels.
    """
    began = time.perf_counter()
    if output is None and name is None:
        raise UsageError("say what to write", f"for example: omnitrack export {project.root} -o tracks.nk")
    if options.get("names") and options.get("labels"):
        raise UsageError("--names and --labels both name the tracks", "give one of them")
    found = find_format(output, name)  # before the tracks are read
    where = str(tracks) if isinstance(tracks, Path) else "the tracks"
    if not isinstance(tracks, Tracks):
        tracks = last_tracks(project) if tracks is None else load_tracks(tracks)
    check_tracks_of(project, tracks, where)
    label = found.name if isinstance(found, ExportFormat) else found
    asked = {key: value for key, value in options.items() if key != "labels"} | {"footage": footage_of(project)}
    if options.get("labels") is not None:
        asked["names"] = tuple(names_of(str(options["labels"]), tracks))
    save_as(tracks, output, label, asked)
    seconds = time.perf_counter() - began
    return ExportReport(label, str(output or "-"), len(tracks), len(tracks.frames), seconds)


def check_tracks_of(project: Project, tracks: Tracks, what: str) -> None:
    """Raise an `OmnitrackError` that names `what` if tracks are of another video, as far as their metadata shows."""
    size = project.meta.original_size
    if tuple(tracks.size) not in (size, (0, 0)) or tracks.meta.get("frames") not in (None, project.meta.fingerprint):
        raise OmnitrackError(
            f"{what} cannot be of the video of project {project.root}",
            f"track points of this project: omnitrack query {project.root} --grid 20@0",
        )


@dataclass(frozen=True)
class OfferedFormat:
    """A format that tracks can be exported in: its name, the suffix of its files, and a description."""

    name: str
    suffix: str
    words: str


# Exports of the field that need no further options, as a menu describes them; a sequence is packed into one .zip file.
OFFERED_DENSE = (
    OfferedFormat("stmap", ".zip", "every pixel: STMap to frame 0, EXR (needs OpenEXR)"),
    OfferedFormat("motion-vectors", ".zip", "every pixel: motion vectors, EXR (needs OpenEXR)"),
    OfferedFormat("flo", ".zip", "every pixel: flow to the next frame, .flo"),
    OfferedFormat("kitti", ".zip", "every pixel: flow to the next frame, KITTI's 16-bit PNG"),
    OfferedFormat("camera", ".json", "camera motion as .json"),
    OfferedFormat("camera-nuke", ".nk", "camera motion as a Nuke Transform"),
)


def offered_formats() -> list[OfferedFormat]:
    """Return omnitrack's own formats, then those of other programs; formats that cannot be loaded are left out."""
    offered = [OfferedFormat(name, f".{name}", f"omnitrack's tracks as .{name}") for name in FORMATS]
    for name in format_names():
        with suppress(OmnitrackError):
            found = get_format(name)
            offered.append(OfferedFormat(name, found.suffix, found.text))
    return offered


def footage_of(project: Project) -> Footage:
    """Return where a project's frames are in the footage that other programs open."""
    meta = project.meta
    positions = np.array(meta.indices, np.int64)
    stride = int(np.median(np.diff(positions))) if len(positions) > 1 else 1
    return Footage(
        positions=positions,
        numbers=None if meta.numbers is None else np.array(meta.numbers, np.int64),
        size=meta.original_size,
        fps=meta.fps * stride,
        images=tuple(project.frame_path(index) for index in range(project.num_frames)),
    )


def parse_names(text: str | None) -> tuple[str, ...]:
    """Return names separated by commas, or one per line of the file that the text names; () for None.

    Raises:
        OmnitrackError: The file cannot be read.
    """
    if text is None:
        return ()
    path = Path(text)
    if not path.is_file():
        return tuple(name.strip() for name in text.split(","))
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise OmnitrackError(f"cannot read names from {path}: {error}", "give a text file, one name a line") from error
