"""The finished jobs of an incomplete product: one file per job, which an interrupted run leaves for the next run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from omnitrack.errors import OmnitrackError
from omnitrack.hdf5_file import create_hdf5, open_hdf5
from omnitrack.progress import SILENT, Progress
from omnitrack.project.groups import (
    CHECKSUM,
    COMPLETE,
    MEMBERS,
    UNREADABLE,
    checksum_of,
    complete_groups,
    copy_complete,
)
from omnitrack.project.kept import keep
from omnitrack.project.replacing import remove_any, replacing

if TYPE_CHECKING:
    from omnitrack.project.product_file import ProductFile


class Parts:
    """The finished jobs of an incomplete product, one file per job.

    Args:
        product: The product that they will become. An existing file of it that is damaged is set aside.
        stamp: What they are made from; parts with another stamp are ignored and removed.
        progress: Receives a warning if a damaged file is set aside.

    Raises:
        UnavailableError: The product cannot be read now.
    """

    def __init__(self, product: ProductFile, stamp: Mapping[str, object], progress: Progress = SILENT) -> None:
        if damage := product.damage():
            product.set_aside(damage, progress)
        self._product = product
        self._stamp = json.dumps(stamp, sort_keys=True)
        self._dir = product.parts_dir

    def done(self) -> list[int]:
        """Return the indices of the finished jobs with this stamp; anything else in their folder is removed.

        Raises:
            UnavailableError: A part cannot be read now, and may be whole.
        """
        indices = []
        for path in sorted(self._dir.glob("*")):
            if self._usable(path):
                indices.append(int(path.stem))
            else:
                remove_any(path)
        return indices

    def write(self, index: int, fill: Callable[[h5py.File], None]) -> None:
        """Run one job and keep its result: everything that `fill` writes to the file, or nothing if it fails.

        Args:
            index: Number of the job.
            fill: Called with an empty file; writes top-level groups, which `merge` copies.

        Raises:
            OmnitrackError: The file cannot be written, on a full disk for example.
        """
        path = self._path(index)
        with replacing(path, self._product.command) as temporary, create_hdf5(temporary) as part:
            fill(part)
            for group in list(part.values()):
                group.attrs[CHECKSUM] = checksum_of(group)
                group.attrs[COMPLETE] = True
            part.attrs["stamp"] = self._stamp
            part.attrs[MEMBERS] = len(part)
        keep(self._dir, f"what is finished of {self._product.path}")

    def merge(
        self,
        stamp: Mapping[str, Any],
        members: Iterable[str],
        seconds: float = 0.0,
        keep: bool = False,
        attrs: Mapping[str, object] = {},
    ) -> None:
        """Merge the parts into the product, which replaces an earlier one, then remove the parts.

        Args:
            stamp: What the product is made from.
            members: Names of the groups that it must have; if one is missing, the product is not made.
            seconds: Time that it took; with `keep`, the time of the earlier product is added.
            keep: Keep groups of the earlier product for which there is no new group of the same name.
            attrs: Further attributes of the product.

        Raises:
            OmnitrackError: The new file cannot be written, or would be incomplete; the old one and the parts stay
                unchanged.
        """
        with self._product.replaced() as merged:
            for index in self.done():
                with open_hdf5(self._path(index)) as part:
                    copy_complete(part, merged)
            if keep and self._product.path.exists():
                with open_hdf5(self._product.path) as old:
                    copy_complete(old, merged)
                    seconds += float(old.attrs.get("seconds", 0.0))
            self._check_complete(merged, sorted(members))
            merged.attrs.update(attrs)
            merged.attrs["stamp"] = np.bytes_(json.dumps(stamp))  # of fixed length, so that checksums cover it
            merged.attrs["seconds"] = float(seconds)
        shutil.rmtree(self._dir, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self._dir / f"{index:06d}.h5"

    def _usable(self, path: Path) -> bool:
        try:
            with open_hdf5(path) as part:
                whole = len(complete_groups(part)) == len(part) == part.attrs.get(MEMBERS)
                return whole and path.stem.isdecimal() and bool(part.attrs.get("stamp") == self._stamp)
        except UNREADABLE:  # not HDF5, or truncated; a whole file that cannot be read now raises another error
            return False

    def _check_complete(self, merged: h5py.File, members: list[str]) -> None:
        lost = [name for name in members if name not in merged]
        if lost:
            raise OmnitrackError(
                f"{self._product.path} is not made: {len(lost)} of its {len(members)} groups are missing,"
                f" {lost[0]} is the first",
                f"what is finished stays; compute the rest: {self._product.command}",
            )
