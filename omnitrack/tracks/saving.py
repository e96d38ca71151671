"""One name or suffix for every file that tracks can be written to: omnitrack's own formats and other programs'."""

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
        tracks: What to write.
        path: The file; None writes to standard output.
        format: A name; None goes by the suffix.
        options: Fields of `ExportOptions`; omnitrack's own formats keep everything and take none.

    Raises:
        OmnitrackError: A format nobody knows, what a format cannot do, or a file that cannot be written.
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
    """The export format, or the name of one of omnitrack's own, that a name or else a suffix says.

    Raises:
        OmnitrackError: Nobody knows it.
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
