"""Tracks saved by other trackers or by omnitrack, in one form: positions and visibility in each frame.

A file is a .npz, or a .pt with a dictionary of tensors (``torch.save({"pred_tracks": ..., ...})``; read with
``weights_only=True``), with the names, axes and coordinates of the tracker's own code. N points, T frames; a leading
batch axis of length one is dropped, and so is a last axis of length one of the visibility.

layout      names in the file                                   axes        coordinates
cotracker   pred_tracks, pred_visibility [, pred_confidence]    (T, N, 2)   (x, y), pixel centres at integers
tapir       tracks, visibles or occlusion [+ expected_dist]     (N, T, 2)   (x, y), raster: (0, 0) at top left corner
tapnext     tracks, visible_logits                              (T, N, 2)   (y, x), raster
trackon     pred_trajectory, pred_visibility (first version:    (T, N, 2)   (x, y), raster
            points, visibility)
omnitrack   tracks, visible (or visibility, or occluded)        (N, T, 2)   (x, y), pixel centres at integers; raster
            [, confidence, frames, size, raster]                            if `raster` is present and true

cotracker   CoTracker 1, 2 and 3. `pred_visibility` is boolean, or the probability before the predictor's threshold.
            It is multiplied by `pred_confidence`, if present; over 0.6 is visible, as in CoTracker 3.
tapir       TAPIR, BootsTAPIR and the JAX models after ``postprocess_occlusions``. `occlusion` and `expected_dist` are
            logits: visible where (1 - sigmoid(occlusion)) (1 - sigmoid(expected_dist)) is over 0.5.
tapnext     the output of TAPNext's PyTorch model: (y, x), logits of visibility. Its demo swaps the axes and the
            coordinates; the resulting `tracks` and `visibles` are `tapir`.
trackon     Track-On (frames before a query are zeros and not visible); a probability over 0.8 is visible.
omnitrack   files of ``omnitrack query -o`` (.npz, .h5, .json, .csv), and any file with these names; axes (T, N, 2)
            are recognised if N is not T. `frames` are the frame indices of the T columns.

``auto`` decides by the names. It refuses names that several trackers use with different pixel coordinates (`tracks`
and `visible` without `size`). In files of other programs it also refuses as many tracks as frames, because the axes
are ambiguous. In both cases set ``flow.tracks.layout``. Every layout other than ``auto`` accepts any of the names.

Positions refer to a frame of the file's `size` (width, height), else of ``flow.tracks.width`` and ``height``, else of
the video. Raw logits of TAPIR and TAPNext come from a resized video, so they need one of the first two.

Source:
    facebookresearch/co-tracker, cotracker/predictor.py (scales by (W - 1) / (w - 1): centres at integers);
    google-deepmind/tapnet, colabs/torch_tapir_demo.ipynb, colabs/torch_tapnext_demo.ipynb, tapnet/utils/transforms.py
    (scales by W / w), tapnet/tapnext/tapnext_torch.py; gorkaydemir/track_on, model/trackon_predictor.py,
    model/track_on.py and utils/coord_utils.py (patch centres at (column + 0.5) * stride).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.array_files import TORCH_SUFFIXES, Arrays, Mismatch, read_arrays
from omnitrack.tracks.layouts import (
    KEYS,
    LAYOUT_HINT,
    Reading,
    has_logits,
    interpret,
    numbers,
    one,
    position_key,
    recognised,
    size_of,
)

OUR_SUFFIXES = (".csv", ".json", ".h5")
SUFFIXES = (".npz", *TORCH_SUFFIXES, *OUR_SUFFIXES)
OUTSIDE_SHARE = 0.2  # of the visible positions; a larger share outside the frame means a frame of another size
HINT = "what a file of tracks holds: python -m pydoc omnitrack.tracks.foreign"
_SIZE_HINT = "say it: --set flow.tracks.width=256 --set flow.tracks.height=256"


@dataclass(frozen=True)
class ForeignTracks:
    """Positions of N points in the T frames of a video, from any tracker.

    Attributes:
        positions: (N, T, 2) float32 (x, y), pixels of the original video, centres at integers; finite where visible.
        visible: (N, T) bool.
        confidence: (N, T) float32: 0 where occluded; where visible from 0.5 (the tracker's own threshold) to 1.
    """

    positions: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]


def load_foreign_tracks(
    path: Path,
    num_frames: int,
    video_size: tuple[int, int],
    layout: str = "auto",
    size: tuple[int, int] | None = None,
) -> ForeignTracks:
    """Read tracks of a video from a file of another tracker or of omnitrack.

    Args:
        path: A file with one of `SUFFIXES`.
        num_frames: T, the number of frames of the video.
        video_size: (width, height) of the original video.
        layout: One of `omnitrack.settings.TRACK_LAYOUTS`.
        size: (width, height) of the frame that positions refer to, if the file does not contain it.

    Raises:
        OmnitrackError: The file is missing, damaged or foreign, its layout is ambiguous, or it is of another video.
    """
    if not path.is_file():
        raise OmnitrackError(f"there are no tracks at {path}", f"a file of one of {', '.join(SUFFIXES)}")
    try:
        arrays, ours = _arrays(path, layout)
        name = "omnitrack" if ours else layout
        if name == "auto":
            name = recognised(arrays)
            _refuse_square(arrays, num_frames, name)
        stated = size_of(arrays) if "size" in arrays else None
        columns, frames = _columns(arrays, num_frames)
        reading = interpret(arrays, name, columns)
        return _placed(reading, frames, num_frames, _frame_of(arrays, stated, size, video_size, ours), video_size)
    except Mismatch as error:
        message, hint = (*error.args, HINT)[:2]
        raise OmnitrackError(f"{path} {message}", hint) from None


# --- the file ---------------------------------------------------------------------------------------------------
def _arrays(path: Path, layout: str) -> tuple[Arrays, bool]:
    """Return the known arrays of a file, and whether omnitrack wrote it."""
    if path.suffix.lower() not in SUFFIXES:
        raise Mismatch("is no file of tracks by its name", f"one of {', '.join(SUFFIXES)}")
    if path.suffix.lower() in OUR_SUFFIXES:
        from omnitrack.tracks.files import load_tracks

        tracks = load_tracks(path)
        arrays: Arrays = {key: getattr(tracks, key) for key in ("tracks", "visible", "confidence", "frames", "queries")}
        return arrays | ({"size": np.array(tracks.size)} if all(tracks.size) else {}), True
    in_order = () if layout == "auto" else ("tracks", "visibility" if layout != "tapnext" else "visible_logits")
    arrays = read_arrays(path, KEYS, in_order)
    return arrays, {"tracks", "visible", "confidence", "depth", "frames", "size"} <= set(arrays)


def _refuse_square(arrays: Arrays, num_frames: int, layout: str) -> None:
    key = position_key(arrays)
    if one(arrays[key], 3).shape[:2] == (num_frames, num_frames):
        raise Mismatch(
            f"has as many tracks as the video has frames, {num_frames}: {key} of shape {arrays[key].shape} may be by"
            f" track and frame or by frame and track, and auto (here {layout}) does not guess",
            LAYOUT_HINT,
        )


def _columns(arrays: Arrays, num_frames: int) -> tuple[int, NDArray[np.intp]]:
    """Return the number of columns of the tracks, and their frames."""
    if "frames" not in arrays:
        return num_frames, np.arange(num_frames)
    frames = numbers(arrays, "frames").ravel()
    whole = len(frames) and frames.min() >= 0 and frames.max() < num_frames and (frames == np.floor(frames)).all()
    if not whole or len(np.unique(frames)) < len(frames):
        span = f"{frames.min():g} to {frames.max():g}" if len(frames) else "none"
        raise Mismatch(f"covers frames {span}, and the video has frames 0 to {num_frames - 1}: is it of another video?")
    return len(frames), frames.astype(np.intp)


def _frame_of(
    arrays: Arrays,
    stated: tuple[int, int] | None,
    given: tuple[int, int] | None,
    video_size: tuple[int, int],
    ours: bool,
) -> tuple[int, int]:
    """Return (width, height) of the frame that the positions refer to."""
    if stated is None:
        if given is None and has_logits(arrays):
            raise Mismatch("holds the logits of a model that saw a resized video, and not its size", _SIZE_HINT)
        return given or video_size
    if ours and stated != video_size:
        shapes = [f"{width}x{height}" for width, height in (stated, video_size)]
        raise Mismatch(f"has tracks of a video of {shapes[0]} pixels, and this one has {shapes[1]}")
    if given is not None and given != stated:
        raise Mismatch(
            f"says that its positions belong to a frame of {stated[0]}x{stated[1]}, the settings say"
            f" {given[0]}x{given[1]}",
            "leave out flow.tracks.width and flow.tracks.height",
        )
    return stated


def _placed(
    reading: Reading,
    frames: NDArray[np.intp],
    num_frames: int,
    size: tuple[int, int],
    video_size: tuple[int, int],
) -> ForeignTracks:
    """Return the tracks in pixels of the video, over all its frames; points outside the frame are not visible."""
    scale = (np.array(video_size) / size).astype(reading.positions.dtype)
    positions = (reading.positions + 0.5) * scale - 0.5
    with np.errstate(invalid="ignore"):
        inside = ((positions >= -0.5) & (positions < np.array(video_size) - 0.5)).all(-1)
    outside = reading.visible & ~inside
    if outside.sum() > OUTSIDE_SHARE * reading.visible.sum():
        x, y = np.abs(reading.positions[outside]).max(0)
        raise Mismatch(
            f"has {outside.sum() / reading.visible.sum():.0%} of its visible positions outside a frame of"
            f" {size[0]}x{size[1]}, as far as ({x:.0f}, {y:.0f}): they belong to another video, or to another size",
            _SIZE_HINT,
        )
    count = len(positions)
    placed = np.full((count, num_frames, 2), np.nan, np.float32)
    visible, confidence = np.zeros((count, num_frames), bool), np.zeros((count, num_frames), np.float32)
    placed[:, frames] = positions
    visible[:, frames] = reading.visible & inside
    confidence[:, frames] = reading.confidence * inside
    return ForeignTracks(placed, visible, confidence)
