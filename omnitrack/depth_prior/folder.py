"""Depth maps from files: npz, npy, 16-bit PNG and EXR.

The files of one format in a folder, in natural order of their names (``9.png`` before ``10.png``), are one map per
frame of the project; or, if there are more, one per frame of the video, from which the project's frames take theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.config import fingerprint
from omnitrack.depth_prior.contract import DEPTH, DepthClip, one_channel
from omnitrack.errors import OmnitrackError
from omnitrack.numpy_file import read_npy, read_npz
from omnitrack.settings import DepthSettings
from omnitrack.video.exr import Choice, ExrPart, need_openexr, read_exr
from omnitrack.video.images import read_pixels
from omnitrack.weights import MISSING, identity

SUFFIXES = (".npz", ".npy", ".png", ".exr")
KEY = "depth"  # name of the array in an npz, as in the published code
DEPTH_CHANNELS = ("Z", "DEPTH", "V", "Y", "R")  # of an EXR, in order of preference, in any layer
ASPECT_TOLERANCE = 0.1  # networks round the sides of their input to multiples of up to 32


class DepthFolder:
    """A `DepthSource` that reads files.

    Args:
        settings: Names the folder, and the channel of EXR maps. If the kind is ``auto``, larger is farther.
        clip: The clip of the maps.

    Raises:
        OmnitrackError: No such folder, no maps in it, maps of several formats, or a number of maps that fits neither
            the project nor the video; EXR maps without the package that reads them.
    """

    def __init__(self, settings: DepthSettings, clip: DepthClip) -> None:
        self.kind = DEPTH if settings.kind == "auto" else settings.kind
        self._size, self._channel = clip.size, settings.channel
        files = usable_files(settings.path)
        indices = list(clip.indices)
        if len(files) == clip.num_frames:
            self._files = files
        elif len(files) > max(indices):
            self._files = [files[index] for index in indices]
            clip.progress.note(
                f"{len(files)} depth maps are of the video's frames: the {clip.num_frames} of the project take theirs"
            )
        else:
            raise OmnitrackError(
                f"{settings.path} has {len(files)} depth maps, but the project has {clip.num_frames} frames",
                f"put one map per frame there, or one per frame of the video, which are at least {max(indices) + 1}",
            )

    def depth(self, t: int, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `DepthSource`."""
        path = self._files[t]
        values = read_map(path, self._channel)
        height, width = values.shape
        if abs(np.log(width / height * self._size[1] / self._size[0])) > ASPECT_TOLERANCE:
            raise OmnitrackError(
                f"depth map {path} is {width}x{height}, which is not the shape of frames of"
                f" {self._size[0]}x{self._size[1]}",
                "make the maps cover the whole frame, at any resolution",
            )
        return values


def folder_identity(path: str) -> str:
    """Return a hash of all maps in a folder and of their order; ``missing`` if the folder has no usable maps."""
    try:
        files = _files(path)
    except OmnitrackError:
        return MISSING
    return fingerprint([[file.name, identity(str(file), {})] for file in files])


def usable_files(path: str) -> list[Path]:
    """Return the maps in a folder, in order, after checking that they can be read here.

    Raises:
        OmnitrackError: There are none, they are of several formats, or the package that reads them is not installed.
    """
    files = _files(path)
    if files[0].suffix.lower() == ".exr":
        need_openexr(f"depth map {files[0]}")
    return files


def read_map(path: Path, channel: str = "") -> NDArray[np.float32]:
    """Read a depth map (h, w) float32 from a file.

    Args:
        path: The file.
        channel: Channel of an EXR; empty: Z, else depth, V, Y or R in any layer, else the only channel.

    Raises:
        OmnitrackError: The file cannot be read, is truncated, or contains something else.
    """
    if path.suffix.lower() == ".png":
        pixels = read_pixels(path)
        if pixels.shape[2] != 1:
            raise _wrong(path, f"is a picture of {pixels.shape[2]} channels", "a grey one of 16 bits is needed")
        return _checked(path, pixels)
    if path.suffix.lower() == ".exr":
        return _checked(path, read_exr(path, lambda parts: _depth_channel(path, parts, channel))[..., 0])
    try:
        if path.suffix.lower() == ".npy":
            return _checked(path, read_npy(path))
        (values,) = read_npz(path, lambda names: [_key_of(names, path)]).values()
        return _checked(path, values)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "it is damaged, cut short or no array of numbers"
        raise OmnitrackError(f"cannot read depth map {path}: {cause}", "make it anew, or remove it") from error


def _depth_channel(path: Path, parts: Sequence[ExrPart], wanted: str) -> Choice:
    """Return the wanted channel, named with or without its layer; if empty, a usual channel or the only one."""
    places = [(index, name) for index, part in enumerate(parts) for name in part.channels]
    for name in (wanted,) if wanted else DEPTH_CHANNELS:
        for index, found in places:
            if found == wanted or found.rpartition(".")[2].upper() == name.upper():
                return index, [found]
    if len(places) == 1 and not wanted:
        return 0, [places[0][1]]
    sought, listed = f"channel {wanted}" if wanted else "channel of depth", ", ".join(name for _, name in places)
    raise OmnitrackError(f"{path} has no {sought}: it has {listed}", "name the one: --set depth.channel=NAME")


def _key_of(names: list[str], path: Path) -> str:
    if KEY in names or len(names) == 1:
        return KEY if KEY in names else names[0]
    raise _wrong(path, f"holds the arrays {', '.join(names) or 'none'}", f"call the depth {KEY!r}")


def _checked(path: Path, values: NDArray[np.generic]) -> NDArray[np.float32]:
    found = one_channel(values)
    if found is None:
        raise _wrong(
            path, f"holds {values.dtype} values of the shape {values.shape}", "a map (height, width) is needed"
        )
    return found


def _wrong(path: Path, what: str, hint: str) -> OmnitrackError:
    return OmnitrackError(f"depth map {path} {what}", hint)


def _files(folder: str) -> list[Path]:
    path = Path(folder).expanduser()
    if not path.is_dir():
        state = "is not a folder" if path.exists() else "does not exist"
        raise OmnitrackError(f"the folder of depth maps {path} {state}", "name it: --set depth.path=FOLDER")
    files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    other = next((file for file in files if not file.is_file()), None)
    if other:
        raise _wrong(other, "is no file", "take it out of that folder")
    formats = sorted({file.suffix.lower() for file in files})
    if len(formats) != 1:
        found = f"maps of several formats ({', '.join(formats)})" if formats else "no depth maps"
        raise OmnitrackError(f"there are {found} in {path}", f"one of {', '.join(SUFFIXES)} for each frame is needed")
    return sorted(files, key=lambda file: natural_order(file.name))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts names with the numbers in them by value: ``a9`` before ``a10``."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]
