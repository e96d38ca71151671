"""Writing tracks in any format by its name or suffix: omnitrack's own formats and those of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.export.contract import ExportFormat
from omnitrack.export.formats import format_by_suffix, format_names, get_format
from omnitrack.tracks.exporting import ExportOptions, export_tracks
from omnitrack.tracks.files import FORMATS, save_tracks
from omnitrack.tracks.tracks import Tracks


def save_as(tracks: Tracks, path: Path | None, format: str | None, options: Mapping[str, Any]) -> None:
    """Write tracks in any format.

    Args:
        tracks: The tracks to write.
        path: The file; None writes to standard output.
        format: Name of the format; None for the suffix of `path`.
        options: Fields of `ExportOptions`; omnitrack's own formats accept only `footage`, which they ignore.

    Raises:
        OmnitrackError: The format is unknown or does not support an option, or the file cannot be written.
    """
    found = find_format(path, format)
    try:
        asked = ExportOptions(**options)
    except TypeError as error:
        known = ", ".join(ExportOptions.__dataclass_fields__)
        raise OmnitrackError(f"there is no such option of an export: {error}", f"there are {known}") from None
    if isinstance(found, ExportFormat):
        export_tracks(tracks, path, found, asked)
        return
    if asked != ExportOptions(footage=asked.footage):
        raise OmnitrackError(
            f"{found} keeps tracks as they are: it takes no other frame numbers, units or names",
            "leave these out, or choose another format: --as napari",
        )
    save_tracks(tracks, path, found)


def find_format(path: Path | None, name: str | None) -> ExportFormat | str:
    """Return the export format, or the name of an omnitrack format, for a name or else a suffix.

    Raises:
        OmnitrackError: The format is unknown.
    """
    if name is not None:
        return name if name in FORMATS else get_format(name)
    suffix = path.suffix.lower() if path else ""
    if suffix.lstrip(".") in FORMATS:
        return suffix.lstrip(".")
    found = format_by_suffix(suffix)
    if found is None:
        known = [*FORMATS, *format_names()]
        raise OmnitrackError(
            f"{path or 'standard output'} does not say the format", closest_hint(suffix, known, "name it with --as")
        )
    return found
