"""What a page shows: the frames of a project, on which points are placed, or existing tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from omnitrack.project.project import Project
from omnitrack.stages.export import OFFERED_DENSE, OfferedFormat, export_file, offered_formats
from omnitrack.tracks.files import FORMATS, save_tracks
from omnitrack.tracks.tracks import Tracks
from omnitrack.view.points import MAX_POINTS, Point, parse_points


class Clip(Protocol):
    """What a page shows, as the requests use it."""

    @property
    def name(self) -> str:
        """The page's title, and the prefix of the names of its files."""
        ...

    def formats(self) -> list[OfferedFormat]:
        """List the export formats: for tracks and, with a project, for the field's motion of every pixel."""
        ...

    def about(self) -> dict[str, Any]:
        """Return name, source, frames, fps, size, cuts, formats, most (points), fixed (no points can be placed)."""
        ...

    def picture(self, t: int) -> Path | bytes | None:
        """Return frame `t` as a PNG file or its content; None if there is no such frame."""
        ...

    def parse(self, raw: Any) -> tuple[Point, ...]:
        """Parse points from plain JSON values; raise an `OmnitrackError` if they are invalid."""
        ...

    def write(self, tracks: Tracks, names: Sequence[str], path: Path, format: str) -> None:
        """Write tracks to a file."""
        ...

    def write_dense(self, path: Path, format: str) -> None:
        """Write the field's motion of every pixel to a file."""
        ...


class ProjectClip:
    """The frames of a project; for the methods see `Clip`."""

    def __init__(self, project: Project, device: str = "auto") -> None:
        self._project, self._device = project, device

    @property
    def name(self) -> str:
        return self._project.root.resolve().name or "project"

    def formats(self) -> list[OfferedFormat]:
        return [*offered_formats(), *OFFERED_DENSE]

    def about(self) -> dict[str, Any]:
        meta = self._project.meta
        return about(self.name, meta.source, meta.count, meta.original_size, meta.fps, meta.cuts, self.formats())

    def picture(self, t: int) -> Path | None:
        path = self._project.frame_path(t) if t < self._project.num_frames else None
        return path if path is not None and path.is_file() else None

    def parse(self, raw: Any) -> tuple[Point, ...]:
        return parse_points(raw, self._project)

    def write(self, tracks: Tracks, names: Sequence[str], path: Path, format: str) -> None:
        if format in FORMATS:
            save_tracks(tracks, path, format)
        else:
            export_file(self._project, tracks, path, format, {"names": tuple(names)})

    def write_dense(self, path: Path, format: str) -> None:
        from omnitrack.stages.export_dense import export_dense_file  # imports torch

        export_dense_file(self._project, format, path, self._device)


def about(
    name: str,
    source: str,
    frames: int,
    size: tuple[int, int],
    fps: float,
    cuts: Sequence[int],
    formats: Sequence[OfferedFormat],
    fixed: bool = False,
) -> dict[str, Any]:
    """Return the values of `Clip.about`."""
    known = {"name": name, "source": source, "frames": frames, "size": size, "fps": fps, "cuts": list(cuts)}
    return {**known, "formats": [asdict(offered) for offered in formats], "most": MAX_POINTS, "fixed": fixed}
