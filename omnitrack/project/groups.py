"""The groups of a product: their names, their completeness, their checksums, and the product's stamp."""

from __future__ import annotations

import json
import zlib
from typing import Any

import h5py
import numpy as np

from omnitrack.hdf5_file import plain_member

COMPLETE, CHECKSUM, MEMBERS = "complete", "checksum", "members"
Stamp = dict[str, Any]
UNREADABLE = (OSError, RuntimeError, AttributeError, KeyError, ValueError, TypeError)  # of h5py, for damaged files


def stamp_of(file: h5py.File) -> Stamp:
    """Return the stamp of an open product.

    Raises:
        KeyError: The product has no stamp.
        ValueError: The stamp is malformed.
        TypeError: The stamp is not text.
    """
    stamp = json.loads(file.attrs["stamp"])
    if not isinstance(stamp, dict) or not all(isinstance(stamp.get(key, {}), dict) for key in ("inputs", "settings")):
        raise ValueError("the stamp is no table")
    return stamp


def complete_groups(file: h5py.Group) -> list[str]:
    """Return the names of the groups that were written completely, sorted.

    Names are listed first: h5py iterates under its lock, and an error in the loop would hold the lock while it exists.

    Raises:
        ValueError: One of the members is a link.
    """
    return [name for name in list(file) if plain_member(file, name).attrs.get(COMPLETE)]


def members_of(file: h5py.File) -> list[str]:
    """Return the names of the groups of an open product, sorted.

    Raises:
        ValueError: One of the members is a link, not a group, or incomplete: the product is damaged.
    """
    names, complete = list(file), complete_groups(file)
    if len(complete) < len(names) or not all(isinstance(file[name], h5py.Group) for name in names):
        raise ValueError(f"{len(names) - len(complete)} of {len(names)} groups are not complete")
    return names


def frame_name(frame: int) -> str:
    """Return the name of a frame's group; names sort like frames."""
    return f"{frame:06d}"


def frame_of(name: str, num_frames: int) -> int:
    """Return the frame of a name from `frame_name`.

    Raises:
        ValueError: The name is not of a frame of the clip.
    """
    frame = int(name)
    if not 0 <= frame < num_frames or frame_name(frame) != name:
        raise ValueError(f"there is no frame {name}")
    return frame


def checked_attributes(group: h5py.Group) -> h5py.AttributeManager:
    """Return the attributes of a group, verified; attributes from earlier versions may have no checksum.

    Raises:
        ValueError: The attributes do not match their checksum.
    """
    if CHECKSUM in group.attrs and group.attrs[CHECKSUM] != checksum_of(group):
        raise ValueError(f"the attributes of {group.name} do not match their checksum")
    return group.attrs


def checksum_of(group: h5py.Group) -> int:
    """Return the checksum of a group's attributes, except the two that every group has."""
    total = 0
    for name in sorted(set(group.attrs) - {COMPLETE, CHECKSUM}):
        value = np.asarray(group.attrs[name])
        text = repr((name, value.dtype.str, value.shape, value.tolist()))
        total = zlib.crc32(text.encode(), total)
    return total


def copy_complete(source: h5py.Group, target: h5py.Group) -> None:
    """Copy the complete members of a group without decoding them; existing members of the target stay."""
    for name in complete_groups(source):
        if name not in target:
            source.copy(source[name], target, name)
