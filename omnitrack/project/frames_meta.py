"""``frames/frames.json``: what the frames beside it are."""

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
CHECKSUM = "checksum"  # of all else in the file; one that an earlier version wrote has none
MOST_BYTES = 2**28  # of the file: ten million frames
MOST_SIDE = 2**20  # pixels, far above any video


@dataclass(frozen=True)
class FramesMeta:
    """What ``frames/frames.json`` says about the frames beside it.

    Attributes:
        source: The video as it was named to `init`.
        count: Number of frames T.
        fps: Frames per second of the project.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video, after its rotation, in pixels: the unit of every track.
        indices: The video's own frame index of each project frame.
        fingerprint: Hash over all pixels: what later products record as their input.
        format: Version of this layout.
        numbers: The number that each project frame has in the name of its image (1001 of ``shot.1001.png``), for
            exports that count frames as the series does; None where it has none, as in a video file.
        cuts: Project frames that a new shot begins at, in order; across them nothing is tracked.
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
    """Finish a project's frames: a directory without this file is not a project, so it is written last."""
    plain = {name: value for name, value in asdict(meta).items() if value is not None}
    if not meta.cuts:
        del plain["cuts"]  # most clips have none
    text = json.dumps({**plain, CHECKSUM: _checksum(plain)})
    (frames_dir / "frames.json").write_text(text + "\n", encoding="utf-8")


def read_meta(path: Path) -> FramesMeta:
    """What a file says of the frames beside it.

    Raises:
        DamagedError: It makes no sense.
        UnavailableError: It cannot be read now.
        OmnitrackError: It is of another format.
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
    """Raise a ValueError that says which names are missing, or are of nothing."""
    parts = fields(FramesMeta)
    missing = {part.name for part in parts if part.default is MISSING and part.default_factory is MISSING} - found
    if missing:
        raise ValueError(f"it does not say {', '.join(sorted(missing))}")
    unknown = found - {part.name for part in parts}
    if unknown:
        raise ValueError(f"it says {', '.join(sorted(unknown))}, which no frames have")


def _pair(value: Any, name: str) -> tuple[int, int]:
    """A size in pixels, checked."""
    if not isinstance(value, list) or len(value) != 2 or not all(_is_count(n) and n <= MOST_SIDE for n in value):
        raise ValueError(f"{name} is {value}")
    return value[0], value[1]


def _check(meta: FramesMeta) -> None:
    """Raise a ValueError that names what cannot be."""
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
