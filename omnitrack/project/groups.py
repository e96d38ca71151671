"""The groups of a product: their names, whether they were written to their end, their checksums, and the stamp."""

from __future__ import annotations

import json
import zlib
from typing import Any

import h5py
import numpy as np

from omnitrack.hdf5_file import plain_member

COMPLETE, CHECKSUM, MEMBERS = "complete", "checksum", "members"
Stamp = dict[str, Any]
UNREADABLE = (OSError, RuntimeError, AttributeError, KeyError, ValueError, TypeError)  # what h5py says of damaged files


def stamp_of(file: h5py.File) -> Stamp:
    """The stamp of an open product.

    Raises:
        KeyError: It has none.
        ValueError: It makes no sense.
        TypeError: Likewise.
    """
    stamp = json.loads(file.attrs["stamp"])
    if not isinstance(stamp, dict) or not all(isinstance(stamp.get(key, {}), dict) for key in ("inputs", "settings")):
        raise ValueError("the stamp is no table")
    return stamp


def complete_groups(file: h5py.Group) -> list[str]:
    """Names of the groups that were written to their end, sorted.

    Names first: h5py iterates under its lock, and an error half way through would keep the lock while the error lives.

    Raises:
        ValueError: One of them is a link to elsewhere.
    """
    return [name for name in list(file) if plain_member(file, name).attrs.get(COMPLETE)]


def members_of(file: h5py.File) -> list[str]:
    """Names of the groups of an open product, sorted.

    Raises:
        ValueError: One of them is a link, no group, or was not written to its end, which no product was stored with.
    """
    names, complete = list(file), complete_groups(file)
    if len(complete) < len(names) or not all(isinstance(file[name], h5py.Group) for name in names):
        raise ValueError(f"{len(names) - len(complete)} of {len(names)} groups are not complete")
    return names


def frame_name(frame: int) -> str:
    """Name of a frame's group, which sorts like the frame."""
    return f"{frame:06d}"


def frame_of(name: str, num_frames: int) -> int:
    """The frame that `frame_name` gave this name.

    Raises:
        ValueError: None of the clip's frames.
    """
    frame = int(name)
    if not 0 <= frame < num_frames or frame_name(frame) != name:
        raise ValueError(f"there is no frame {name}")
    return frame


def checked_attributes(group: h5py.Group) -> h5py.AttributeManager:
    """The attributes of a group; those of projects that an earlier version made may be without a checksum.

    Raises:
        ValueError: They are not those that were written.
    """
    if CHECKSUM in group.attrs and group.attrs[CHECKSUM] != checksum_of(group):
        raise ValueError(f"the attributes of {group.name} do not match their checksum")
    return group.attrs


def checksum_of(group: h5py.Group) -> int:
    """Of all attributes but the two that every group has."""
    total = 0
    for name in sorted(set(group.attrs) - {COMPLETE, CHECKSUM}):
        value = np.asarray(group.attrs[name])
        text = repr((name, value.dtype.str, value.shape, value.tolist()))
        total = zlib.crc32(text.encode(), total)
    return total


def copy_complete(source: h5py.Group, target: h5py.Group) -> None:
    """Copy the complete members of a group without decoding them; what the target has already stays."""
    for name in complete_groups(source):
        if name not in target:
            source.copy(source[name], target, name)
