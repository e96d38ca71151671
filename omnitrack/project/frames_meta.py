"""``frames/frames.json``: metadata of the frames beside it."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.unavailable import unavailable

FORMAT = 1
CHECKSUM = "checksum"  # of all else in the file; files of earlier versions have none
MOST_BYTES = 2**28  # of the file: ten million frames
MOST_SIDE = 2**20  # pixels, far above any video


@dataclass(frozen=True)
class FramesMeta:
    """Metadata of a project's frames, as in ``frames/frames.json``.

    Attributes:
        source: The video as given to `init`.
        count: Number of frames T.
        fps: Frames per second of the project.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video in pixels, after its rotation; tracks are in these pixels.
        indices: The video's own frame index of each project frame.
        fingerprint: Hash over all pixels, which later products record as their input.
        format: Version of this layout.
        numbers: The number of each project frame in the name of its image (1001 of ``shot.1001.png``), for exports that
            number frames like the image sequence; None if there are no numbers, as in a video file.
        cuts: Project frames at which a new shot begins, in order; nothing is tracked across them.
    """

    source: str
    count: int
    fps: float
    size: tuple[int, int]
    original_size: tuple[int, int]
    indices: list[int]
    fingerprint: str
    format: int = FORMAT
    numbers: list[int] | None = None
    cuts: list[int] = field(default_factory=list)


def write_meta(frames_dir: Path, meta: FramesMeta) -> None:
    """Write the metadata of a project's frames, after the frames: a directory without this file is not a project."""
    plain = {name: value for name, value in asdict(meta).items() if value is not None}
    if not meta.cuts:
        del plain["cuts"]  # most clips have none
    text = json.dumps({**plain, CHECKSUM: _checksum(plain)})
    (frames_dir / "frames.json").write_text(text + "\n", encoding="utf-8")


def read_meta(path: Path) -> FramesMeta:
    """Read a file with the metadata of the frames beside it.

    Raises:
        DamagedError: The file is missing or its content is invalid.
        UnavailableError: The file cannot be read now.
        OmnitrackError: The file has another format.
    """
    hint = "make the project again: omnitrack init VIDEO PROJECT"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it is no JSON object")
        if (found := raw.get("format")) != FORMAT:
            message = f"{path} has format {found}, this omnitrack reads format {FORMAT}"
            raise OmnitrackError(message, f"update omnitrack, or {hint}")
        if raw.pop(CHECKSUM, None) not in (None, _checksum(raw)):
            raise ValueError("it does not match its checksum")
        _check_names(set(raw))
        sizes = {name: _pair(raw[name], name) for name in ("size", "original_size")}
        meta = FramesMeta(**{**raw, **sizes})
        _check(meta)
        return meta
    except (OSError, ValueError, RecursionError) as error:
        raise unavailable(path, error) or DamagedError(f"{path} is damaged: {error}", hint) from error


def _checksum(plain: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(plain, sort_keys=True).encode())


def _check_names(found: set[str]) -> None:
    """Raise a ValueError that lists missing or unknown names."""
    parts = fields(FramesMeta)
    missing = {part.name for part in parts if part.default is MISSING and part.default_factory is MISSING} - found
    if missing:
        raise ValueError(f"it does not say {', '.join(sorted(missing))}")
    unknown = found - {part.name for part in parts}
    if unknown:
        raise ValueError(f"it says {', '.join(sorted(unknown))}, which no frames have")


def _pair(value: Any, name: str) -> tuple[int, int]:
    """Return a size in pixels, checked."""
    if not isinstance(value, list) or len(value) != 2 or not all(_is_count(n) and n <= MOST_SIDE for n in value):
        raise ValueError(f"{name} is {value}")
    return value[0], value[1]


def _check(meta: FramesMeta) -> None:
    """Raise a ValueError that names an invalid value."""
    if not _is_count(meta.count) or not isinstance(meta.indices, list) or len(meta.indices) != meta.count:
        raise ValueError(f"count is {meta.count}, not the number of its indices")
    last = -1
    for index in meta.indices:
        if type(index) is not int or index <= last:
            raise ValueError(f"index {index} comes after {last}")
        last = index
    if isinstance(meta.fps, bool) or not isinstance(meta.fps, (int, float)) or not 0 < meta.fps < math.inf:
        raise ValueError(f"fps is {meta.fps}")
    if meta.numbers is not None and (
        not isinstance(meta.numbers, list)
        or len(meta.numbers) != meta.count
        or any(type(number) is not int for number in meta.numbers)
    ):
        raise ValueError("its numbers are not one of each frame")
    if not isinstance(meta.cuts, list) or any(type(cut) is not int for cut in meta.cuts):
        raise ValueError("its cuts are no list of frames")
    if [0, *meta.cuts, meta.count] != sorted({0, *meta.cuts, meta.count}):
        raise ValueError(f"cuts before frames {meta.cuts}, of {meta.count}")
    if not isinstance(meta.source, str) or not isinstance(meta.fingerprint, str) or not meta.fingerprint:
        raise ValueError("source and fingerprint are no texts")


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0
