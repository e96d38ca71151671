"""Tracks to files and back: .npz, .csv, .json and .h5, all with the same names inside.

npz    arrays `queries`, `tracks`, `visible`, `confidence`, `depth`, `frames`, `pins`, `size`, `fps`, and `meta` as JSON
       text.
h5     the same arrays as chunked, compressed datasets; `format`, `size`, `fps` and `meta` are attributes of the file.
json   one object with the same names, arrays as nested lists, one track a line; an unknown depth is null.
csv    columns `track,frame,x,y,visible,confidence,query_frame,query_x,query_y,time_s,pinned`, one row per track and
       frame, four decimals; `pinned` is 1 where the track was put by hand. Only the first six are required: without
       the others the query is the first visible row. It has no room for the depth (read back as NaN), the size and
       the fps (read back as 0), and for pins in frames that are left out.

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
# One compressed chunk of an .h5 holds about this many elements: whole tracks, so that a slab of tracks is one read.
H5_CHUNK_ELEMENTS = 1 << 18
LARGEST = 1 << 31  # of a frame's number and of a side in pixels


def save_tracks(tracks: Tracks, path: Path | None, format: str | None = None) -> None:
    """Write tracks to a file that is either whole or not there, or to standard output.

    Args:
        tracks: N tracks over T frames.
        path: The file; missing parents are made. None writes to standard output.
        format: npz, csv, json or h5; where None, the suffix of `path` decides, and csv on standard output.

    Raises:
        OmnitrackError: A format nobody knows, arrays that do not fit together, or a file that cannot be written.

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
    """Which format `save_tracks` will write there; asked before the work whose result a typing error would lose.

    Args:
        path: As for `save_tracks`.
        format: As for `save_tracks`.

    Raises:
        OmnitrackError: A format nobody knows, or one that cannot go to standard output, or a directory.

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
    """Read tracks that `save_tracks` or another tracker wrote.

    Only `queries`, `tracks` and `visible` are required of an npz, json or h5: without `confidence` the visibility
    stands in (0 or 1), without `depth` it is NaN, without `frames` they are 0..T-1, without `pins` there are none, and
    an absent `size` or `fps` is 0.

    Args:
        path: A .npz, .csv, .json or .h5 file.

    Raises:
        OmnitrackError: A missing, truncated, damaged or foreign file, wrong shapes, or numbers that are not finite.

    Example: see `save_tracks`; also a file of arrays that another program wrote.
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.npz"
        >>> np.savez(path, queries=np.zeros((1, 3)), tracks=np.zeros((1, 2, 2)), visible=np.ones((1, 2), bool))
        >>> load_tracks(path).confidence.tolist()
        [[1.0, 1.0]]
    """
    return _build(_read(Path(path)), str(path))


def load_meta(path: Path) -> dict[str, object]:
    """What the tracks of a file were made from (`Tracks.meta`); of .npz and .h5 without reading the tracks themselves.

    Raises:
        OmnitrackError: Not a file of tracks, or a damaged one.
    """
    return _meta(_read(path, ("meta",)), str(path))


def check_tracks(tracks: Tracks, where: str) -> None:
    """Raise an `OmnitrackError` that names `where` unless all shapes agree and all numbers (but a depth) are finite."""
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
    """Those of the named arrays and facts that a file has, and maybe more of them."""
    name = _format_of(path, None)
    if not path.is_file():
        raise OmnitrackError(
            f"there are no tracks at {path}", f"make them: omnitrack query PROJECT --grid 20@0 -o {path}"
        )
    try:
        return _READERS[name](path, keys)
    except OmnitrackError:
        raise
    except Exception as error:  # numpy, HDF5 and json fail in their own ways on what is damaged
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
    """Typed and checked tracks from the arrays of a file, with the documented stand-ins for what it lacks."""
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
    # Lists become numbers at once, null NaN: of a list with one long text numpy would make as many as long ones.
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
    # Uncompressed: deflate gains a tenth on such numbers and takes twenty times as long.
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
FORMATS = tuple(_READERS)  # that tracks can be written to and read from
