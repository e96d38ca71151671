"""Reading and writing tracks as .npz, .csv, .json and .h5, all with the same names inside.

npz    arrays `queries`, `tracks`, `visible`, `confidence`, `depth`, `frames`, `pins`, `size`, `fps`, and `meta` as JSON
       text.
h5     the same arrays as chunked, compressed datasets; `format`, `size`, `fps` and `meta` are attributes of the file.
json   one object with the same names, arrays as nested lists, one track per line; an unknown depth is null.
csv    columns `track,frame,x,y,visible,confidence,query_frame,query_x,query_y,time_s,pinned`, one row per track and
       frame, four decimals; `pinned` is 1 if the track was placed manually. Only the first six are required:
       without the others the query is the first visible row. The format does not store the depth (read back as NaN),
       the size and the fps (read back as 0), and pins in frames that are left out.

npz, json and h5 keep every float32 exactly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError
from omnitrack.foreign_hdf5 import foreign_array
from omnitrack.hdf5_file import open_hdf5
from omnitrack.limits import content_limit
from omnitrack.numpy_file import read_npz
from omnitrack.tracks.text_files import read_csv, read_json, write_csv, write_json
from omnitrack.tracks.tracks import Tracks
from omnitrack.unavailable import unavailable

H5_FORMAT = "omnitrack-tracks-1"
ARRAYS = ("queries", "tracks", "visible", "confidence", "depth", "frames", "pins")
FACTS = ("size", "fps", "meta")
# Approximate number of elements in a compressed chunk of an .h5: whole tracks, so that a block of tracks is one read.
H5_CHUNK_ELEMENTS = 1 << 18
LARGEST = 1 << 31  # of a frame's index, and of a side in pixels


def save_tracks(tracks: Tracks, path: Path | None, format: str | None = None) -> None:
    """Write tracks to a file that is either complete or absent, or to standard output.

    Args:
        tracks: N tracks over T frames.
        path: The file; missing parents are created. None writes to standard output.
        format: npz, csv, json or h5; None for the suffix of `path`, or csv on standard output.

    Raises:
        OmnitrackError: The format is unknown, the arrays do not fit together, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tracks.csv"
        >>> one = np.ones((1, 2), np.float32)
        >>> rows = np.zeros((1, 3), np.float32), np.array([[[0, 0], [1.5, 2]]], np.float32)
        >>> save_tracks(Tracks(*rows, one > 0, one, one, np.arange(2), (64, 48), 25.0), path)
        >>> load_tracks(path).tracks[0, 1].tolist()
        [1.5, 2.0]
    """
    name = output_format(path, format)
    check_tracks(tracks, "the tracks to write")
    if path is not None:
        with atomic_path(path) as part:
            if name == "h5":
                _write_h5(tracks, part)
            else:
                with part.open("wb") as file:
                    _WRITERS[name](tracks, file)
    else:
        sys.stdout.flush()
        _WRITERS[name](tracks, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def output_format(path: Path | None, format: str | None = None) -> str:
    """Return the format that `save_tracks` will write, to detect a wrong name before the work is done.

    Args:
        path: As for `save_tracks`.
        format: As for `save_tracks`.

    Raises:
        OmnitrackError: The format is unknown or cannot go to standard output, or the path is a directory.

    Example:
        >>> output_format(Path("tracks.h5"))
        'h5'
    """
    name = _format_of(path, format)
    if path is None and name == "h5":
        raise OmnitrackError("h5 cannot go to standard output", "name a file: -o tracks.h5")
    if path is None and name == "npz" and sys.stdout.isatty():
        raise OmnitrackError("npz is binary and standard output is a terminal", "name a file: -o tracks.npz")
    if path is not None and path.is_dir():
        raise OmnitrackError(f"cannot write {path}: it is a directory", "name a file inside it")
    return name


def load_tracks(path: str | Path) -> Tracks:
    """Read tracks that were written by `save_tracks` or another tracker.

    Only `queries`, `tracks` and `visible` are required in an npz, json or h5. The defaults: `confidence` is the
    visibility (0 or 1), `depth` is NaN, `frames` are 0..T-1, `pins` are empty, and `size` and `fps` are 0.

    Args:
        path: A .npz, .csv, .json or .h5 file.

    Raises:
        OmnitrackError: The file is missing, truncated, damaged or foreign, or has wrong shapes or non-finite numbers.

    Example: see `save_tracks`; here with a file of arrays from another program.
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.npz"
        >>> np.savez(path, queries=np.zeros((1, 3)), tracks=np.zeros((1, 2, 2)), visible=np.ones((1, 2), bool))
        >>> load_tracks(path).confidence.tolist()
        [[1.0, 1.0]]
    """
    return _build(_read(Path(path)), str(path))


def load_meta(path: Path) -> dict[str, object]:
    """Read the provenance of a file's tracks (`Tracks.meta`); for .npz and .h5 without reading the tracks.

    Raises:
        OmnitrackError: The file is damaged, or not a file of tracks.
    """
    return _meta(_read(path, ("meta",)), str(path))


def check_tracks(tracks: Tracks, where: str) -> None:
    """Raise an `OmnitrackError` that names `where` unless all shapes agree and all numbers except depths are finite."""
    count, length = len(tracks.queries), len(tracks.frames)
    expected = {
        "queries": (count, 3),
        "tracks": (count, length, 2),
        "visible": (count, length),
        "confidence": (count, length),
        "depth": (count, length),
        "frames": (length,),
        "pins": (len(tracks.pins), 4),
    }
    for key, shape in expected.items():
        found = np.shape(getattr(tracks, key))
        if found != shape:
            raise OmnitrackError(
                f"{where}: {key} has shape {found} where {count} tracks over {length} frames need {shape}",
                "each of the arrays has one row per track",
            )
    if length and (tracks.frames[0] < 0 or (np.diff(tracks.frames) <= 0).any()):
        raise OmnitrackError(f"{where}: frames must be indices from 0 that increase")
    if not 0 <= tracks.fps < np.inf:
        raise OmnitrackError(f"{where}: {tracks.fps:g} frames per second is not a rate", "0 where it is not known")
    pinned = tracks.pins[:, 0]
    if not (np.isfinite(tracks.pins).all() and ((pinned >= 0) & (pinned < count) & (pinned % 1 == 0)).all()):
        raise OmnitrackError(f"{where}: pins are rows (track, t, x, y) of the {count} tracks, all finite")
    for key in ("tracks", "queries", "confidence"):
        values = getattr(tracks, key)
        bad = ~np.isfinite(values).reshape(count, -1).all(axis=1) if count else np.zeros(0, bool)
        if bad.any():
            raise OmnitrackError(
                f"{where}: {key} of track {int(np.argmax(bad))} is not finite ({int(bad.sum())} of {count} tracks)"
            )


def _format_of(path: Path | None, format: str | None) -> str:
    name = format or ("csv" if path is None else path.suffix.lower().lstrip("."))
    if name not in _READERS:
        what = f"unknown format {format!r} of tracks" if format else f"{path} does not end in a format of tracks"
        raise OmnitrackError(what, f"one of .{', .'.join(_READERS)}")
    return name


def _read(path: Path, keys: tuple[str, ...] = (*ARRAYS, *FACTS)) -> dict[str, object]:
    """Read those of the named arrays and facts that a file has; the result may contain others."""
    name = _format_of(path, None)
    if not path.is_file():
        raise OmnitrackError(
            f"there are no tracks at {path}", f"make them: omnitrack query PROJECT --grid 20@0 -o {path}"
        )
    try:
        return _READERS[name](path, keys)
    except OmnitrackError:
        raise
    except Exception as error:  # numpy, HDF5 and json raise different errors for damaged files
        raise unavailable(path, error) or OmnitrackError(
            f"{path} is not a readable {name} file of tracks, or is truncated: {error or type(error).__name__}",
            f"make it again: omnitrack query PROJECT --grid 20@0 -o {path}",
        ) from error


def _meta(raw: Mapping[str, object], where: str) -> dict[str, object]:
    try:
        meta = json.loads(str(raw.get("meta", "{}")))
    except (ValueError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        raise OmnitrackError(f"{where} is damaged: its meta is not a JSON object", "give a file that query wrote")
    return meta


def _build(raw: Mapping[str, object], where: str) -> Tracks:
    """Build typed and checked tracks from the arrays of a file, with the documented defaults for missing ones."""
    missing = [key for key in ("queries", "tracks", "visible") if key not in raw]
    if missing:
        raise OmnitrackError(f"{where} holds no tracks: it lacks {', '.join(missing)}", "give a file that query wrote")
    try:
        points = _numbers(raw["tracks"], "tracks")
        visible = _numbers(raw["visible"], "visible")
        if not np.isfinite(visible).all():
            raise ValueError("visible is not true or false everywhere")
        visible = visible.astype(bool)
        length = points.shape[1] if points.ndim == 3 else 0
        tracks = Tracks(
            queries=_numbers(raw["queries"], "queries").astype(np.float32, copy=False),
            tracks=points.astype(np.float32, copy=False),
            visible=visible,
            confidence=_numbers(raw.get("confidence", visible), "confidence").astype(np.float32, copy=False),
            depth=_numbers(raw.get("depth", np.full(visible.shape, np.nan)), "depth").astype(np.float32, copy=False),
            frames=_whole(raw.get("frames", np.arange(length)), "frames"),
            size=_size(raw.get("size", (0, 0))),
            fps=float(_numbers(raw.get("fps", 0.0), "fps").reshape(())),
            meta=_meta(raw, where),
            pins=_numbers(raw.get("pins", ()), "pins").astype(np.float32, copy=False).reshape(-1, 4),
        )
        check_tracks(tracks, where)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise OmnitrackError(f"{where} is damaged: {error}", "give a file that query wrote") from error
    return tracks


def _numbers(values: object, key: str) -> NDArray[Any]:
    # Lists become float64 directly, null becomes NaN: one long string would make numpy pad all entries to its length.
    array = values if isinstance(values, (np.ndarray, np.generic)) else np.asarray(values, np.float64)
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{key} holds {array.dtype}, not numbers")
    return array


def _whole(values: object, key: str) -> NDArray[np.int64]:
    array = _numbers(values, key)
    if not (np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < LARGEST)).all():
        raise ValueError(f"{key} {array.ravel()[:4].tolist()} holds more than whole numbers")
    return array.astype(np.int64)


def _size(values: object) -> tuple[int, int]:
    width, height = _whole(values, "size").reshape(2).tolist()
    if (width, height) != (0, 0) and min(width, height) < 1:
        raise ValueError(f"its size is {width}x{height}")
    return width, height


def _write_npz(tracks: Tracks, file: BinaryIO) -> None:
    # Uncompressed: deflate saves a tenth on these numbers and takes twenty times as long.
    np.savez(
        file,
        queries=tracks.queries,
        tracks=tracks.tracks,
        visible=tracks.visible,
        confidence=tracks.confidence,
        depth=tracks.depth,
        frames=tracks.frames,
        pins=tracks.pins,
        size=np.array(tracks.size),
        fps=np.array(tracks.fps),
        meta=np.array(json.dumps(tracks.meta)),
    )


def _read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, object]:
    return dict(read_npz(path, lambda names: [key for key in keys if key in names]))


def _write_h5(tracks: Tracks, path: Path) -> None:
    from omnitrack.hdf5_file import create_hdf5

    with create_hdf5(path) as file:
        file.attrs["format"] = H5_FORMAT
        file.attrs["size"] = tracks.size
        file.attrs["fps"] = tracks.fps
        file.attrs["meta"] = json.dumps(tracks.meta)
        for key in ARRAYS:
            array = getattr(tracks, key)
            if array.size == 0:
                file.create_dataset(key, data=array)
                continue
            rows = max(1, H5_CHUNK_ELEMENTS * len(array) // array.size)
            chunks = (min(len(array), rows), *array.shape[1:])
            file.create_dataset(key, data=array, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True)


def _read_h5(path: Path, keys: tuple[str, ...]) -> dict[str, object]:

    with open_hdf5(path) as file:
        left = content_limit(path.stat().st_size)
        found: dict[str, object] = {}
        for key in (key for key in ARRAYS if key in keys and file.get(key, getlink=True) is not None):
            dataset = foreign_array(file, key, left)
            left -= dataset.nbytes
            found[key] = dataset[()]
        return found | {key: file.attrs[key] for key in FACTS if key in file.attrs}


_WRITERS: dict[str, Callable[[Tracks, BinaryIO], None]] = {"npz": _write_npz, "csv": write_csv, "json": write_json}
_READERS: dict[str, Callable[[Path, tuple[str, ...]], dict[str, object]]] = {
    "npz": _read_npz,
    "csv": lambda path, keys: read_csv(path),
    "json": lambda path, keys: read_json(path),
    "h5": _read_h5,
}
FORMATS = tuple(_READERS)  # for writing and reading tracks
