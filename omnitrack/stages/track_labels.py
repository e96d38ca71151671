"""The files of ``--labels``: a table with one label per track, or an image of labels over one of the frames."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.stages.query_points import split_frame
from omnitrack.tracks.labels import read_labels
from omnitrack.tracks.tracks import Tracks
from omnitrack.video.label_image import LABEL_SUFFIXES, read_label_image

ASPECT_TOLERANCE = 0.02  # of an image's aspect ratio from the frame's: the sides of a smaller copy are rounded


def labels_of(text: str, tracks: Tracks) -> list[str]:
    """Return the label of each track; empty if it has none.

    Args:
        text: A table, see `omnitrack.tracks.labels`; or ``LABELS.png@t``, an image over the whole frame t of the
            project (0 without ``@t``), see `omnitrack.video.label_image`: a track has the label at its position in
            frame t, if it is visible in that frame or its query is there.
        tracks: The tracks to label.

    Raises:
        OmnitrackError: The file cannot be read, is not of these tracks or of this video, or labels no track.
    """
    path, frame = label_file(text)
    if path.suffix.lower() not in LABEL_SUFFIXES:
        return read_labels(path, len(tracks))
    if not path.is_file():
        raise OmnitrackError(f"there are no labels at {path}", "--labels is FILE@T of a picture: cells.png@0")
    columns = np.flatnonzero(tracks.frames == frame)
    if not len(columns):
        known = f"{tracks.frames.min()} to {tracks.frames.max()}" if len(tracks.frames) else "none"
        raise OmnitrackError(f"--labels {text}: the tracks have no frame {frame}", f"their frames are {known}: FILE@T")
    places = tracks.tracks[:, columns[0]]
    there = tracks.visible[:, columns[0]] | (tracks.queries[:, 0] == frame)
    found = _under(path, read_label_image(path), places, there, tracks.size)
    if not found.any():
        raise OmnitrackError(f"no track is on a label of {path} in frame {frame}", "name its frame: FILE@T")
    return [str(label) if label else "" for label in found.tolist()]


def names_of(text: str | None, tracks: Tracks) -> list[str]:
    """Return the name of each track: its label, with its number if the label is not unique.

    Args:
        text: As for `labels_of`; None numbers all tracks.
        tracks: The tracks to name.

    Raises:
        OmnitrackError: As for `labels_of`.
    """
    given = [""] * len(tracks) if text is None else labels_of(text, tracks)
    bearers = Counter(given)
    return [
        label if label and bearers[label] == 1 else f"{label or 'track'} {index}" for index, label in enumerate(given)
    ]


def label_file(text: str) -> tuple[Path, int]:
    """Return the file of ``FILE@t`` or ``FILE``, and t."""
    if Path(text).is_file():
        return Path(text), 0
    name, frame = split_frame(text)
    return Path(name), frame


def _under(
    path: Path,
    image: NDArray[np.int64],
    places: NDArray[np.floating],
    there: NDArray[np.bool_],
    size: tuple[int, int],
) -> NDArray[np.int64]:
    """Return the (N,) labels at pixels (N, 2) of the video; 0 for points that are not `there`, and outside."""
    height, width = image.shape
    whole = size if min(size) > 0 else (width, height)  # a table of tracks may lack the size
    if abs(width * whole[1] / (height * whole[0]) - 1) > ASPECT_TOLERANCE:
        raise OmnitrackError(
            f"labels {path} are {width}x{height}, the video is {whole[0]}x{whole[1]}", "label the whole frame"
        )
    known = there & np.isfinite(places).all(1)
    shrunk = (np.where(known[:, None], places, 0) + 0.5) * (width / whole[0], height / whole[1])
    columns, rows = np.floor(shrunk).astype(np.int64).T
    known &= (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return np.where(known, image[rows.clip(0, height - 1), columns.clip(0, width - 1)], 0)
