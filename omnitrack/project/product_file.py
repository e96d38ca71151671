"""One product of a project in one file, ``products/NAME.h5``: whole or not there, with its stamp.

Layout of every product::

    /            attributes product (its name), format, size (width, height), num_frames, stamp (JSON text: what it is
                 made from), members (how many groups it has), seconds (that it took); others are the product's own
    /000003      one group per frame or pair of frames; attributes complete, and checksum, of the others

Every array has a checksum, that of its compression or Fletcher's: what a disk has damaged is not read as if it were
right.

HDF5 files do not survive a process that dies while writing. So no file is ever changed in place: a job writes a file of
its own into ``products/NAME.parts`` under a temporary name and renames it, and merging writes a new product and renames
that.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.hdf5_file import create_hdf5, open_hdf5
from omnitrack.project.project import Project

FORMAT = 2  # 1: all products in one correspondences.h5
COMPLETE, CHECKSUM = "complete", "checksum"
Stamp = dict[str, Any]
UNREADABLE = (OSError, RuntimeError, AttributeError, KeyError, ValueError, TypeError)  # what h5py says of damaged files


class ProductFile:
    """Where one product of a project is kept.

    Args:
        project: The project.
        name: Of the product and of its file.
        stage: The command that makes it.

    Attributes:
        name: As given.
        path: The file.
        command: What to type to make it.
    """

    def __init__(self, project: Project, name: str, stage: str) -> None:
        self.name, self.path = name, project.product_path(name)
        self.command = f"omnitrack {stage} {project.root}"
        self._project = project

    # --- reading ------------------------------------------------------------------------------------------------
    def open(self) -> h5py.File:
        """The file, open for reading.

        Raises:
            OmnitrackError: There is none, it is damaged or foreign, or of another format.
            UnavailableError: Another program holds it, or it may not be read.
        """
        if not self.path.exists():
            raise OmnitrackError(f"there is no {self.name} yet: {self.path} is missing", f"compute it: {self.command}")
        try:
            file = open_hdf5(self.path)
        except (OSError, RuntimeError) as error:
            raise self.damaged(error) from error
        try:
            self._check(file)
        except BaseException:
            file.close()
            raise
        return file

    def stamp(self) -> Stamp | None:
        """What the product is made from; None where there is none, or its file is damaged.

        Raises:
            UnavailableError: Another program holds the file, or it may not be read.
        """
        try:
            with self.open() as file:
                return stamp_of(file)
        except UnavailableError:
            raise
        except (OmnitrackError, *UNREADABLE):
            return None

    def damage(self) -> str:
        """What is wrong with the file; empty where nothing is, or where there is none.

        Raises:
            UnavailableError: Another program holds the file, or it may not be read.
        """
        if not self.path.exists():
            return ""
        try:
            self.open().close()
        except UnavailableError:
            raise
        except OmnitrackError as error:
            return error.message
        return ""

    def seconds(self) -> float:
        """How long the product took to make; 0 where nobody knows."""
        try:
            with self.open() as file:
                return float(file.attrs.get("seconds", 0.0))
        except (OmnitrackError, *UNREADABLE):
            return 0.0

    def bytes(self) -> int:
        """Size of the file; 0 where there is none."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def damaged(self, cause: object) -> OmnitrackError:
        """The error of a file that cannot be read."""
        return OmnitrackError(f"{self.path} cannot be read: {cause}", f"compute the {self.name} again: {self.command}")

    def _check(self, file: h5py.File) -> None:
        try:
            found, product, members = (file.attrs.get(name) for name in ("format", "product", "members"))
            if product is None or found is None:
                raise self.damaged("it is not a product of omnitrack")
            if found != FORMAT:
                raise OmnitrackError(
                    f"{self.path} has format {found}, this omnitrack reads format {FORMAT}",
                    f"update omnitrack, or compute the {self.name} again: {self.command}",
                )
            if product != self.name:
                raise self.damaged(f"it holds {product}, not {self.name}")
            if len(file) != members:
                raise self.damaged(f"it has {len(file)} of {members} groups")
        except UNREADABLE as error:
            raise self.damaged(f"its header makes no sense: {error}") from error

    # --- writing ------------------------------------------------------------------------------------------------
    def parts(self, stamp: Mapping[str, object]) -> Parts:
        """The finished jobs of a product that is being made from what the stamp says."""
        return Parts(self, stamp)

    def has_parts(self) -> bool:
        """Whether an interrupted run left finished jobs behind."""
        return any(self.parts_dir.glob("*"))

    @property
    def parts_dir(self) -> Path:
        return self.path.with_suffix(".parts")

    @contextmanager
    def replaced(self) -> Iterator[h5py.File]:
        """A new file that takes the place of the product when the block ends well; the block sets its stamp.

        Raises:
            OmnitrackError: The file cannot be written; the old one stays as it is.
        """
        with _replacing(self.path, self.command) as temporary, create_hdf5(temporary) as file:
            yield file
            file.attrs["product"] = self.name
            file.attrs["format"] = FORMAT
            file.attrs["size"] = self._project.size
            file.attrs["num_frames"] = self._project.num_frames
            file.attrs["members"] = len(file)

    def remove(self) -> None:
        """Remove the product and what was begun of it."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.parts_dir, ignore_errors=True)


class Parts:
    """The finished jobs of a product that is being made, one file per job.

    Args:
        product: What they will become.
        stamp: What they are made from; parts with another stamp count as not there and are removed.
    """

    def __init__(self, product: ProductFile, stamp: Mapping[str, object]) -> None:
        self._product = product
        self._stamp = json.dumps(stamp, sort_keys=True)
        self._dir = product.parts_dir

    def done(self) -> list[int]:
        """Indices of the finished jobs of this stamp; anything else that lies there is removed."""
        indices = []
        for path in sorted(self._dir.glob("*")):
            if self._usable(path):
                indices.append(int(path.stem))
            else:
                path.unlink()
        return indices

    def write(self, index: int, fill: Callable[[h5py.File], None]) -> None:
        """Run one job and keep its result: all that `fill` puts into the file, or nothing where it fails.

        Args:
            index: Number of the job.
            fill: Writes top-level groups, which merging will copy; called with an empty file.

        Raises:
            OmnitrackError: The file cannot be written, on a full disk for example.
        """
        path = self._path(index)
        with _replacing(path, self._product.command) as temporary, create_hdf5(temporary) as part:
            fill(part)
            for group in list(part.values()):
                group.attrs[CHECKSUM] = _checksum(group)
                group.attrs[COMPLETE] = True
            part.attrs["stamp"] = self._stamp

    def merge(
        self, stamp: Mapping[str, Any], seconds: float = 0.0, keep: bool = False, attrs: Mapping[str, object] = {}
    ) -> None:
        """Make the product of the parts, in the place of an earlier one, then remove the parts.

        Args:
            stamp: What the product is made from.
            seconds: That its making took; those of an earlier one that is kept are added.
            keep: Keep the groups of the earlier product that have no new ones of the same name.
            attrs: Further attributes of the product.

        Raises:
            OmnitrackError: The new file cannot be written; the old one and the parts stay as they are.
        """
        with self._product.replaced() as merged:
            for index in self.done():
                with open_hdf5(self._path(index)) as part:
                    copy_complete(part, merged)
            if keep and self._product.path.exists():
                with open_hdf5(self._product.path) as old:
                    copy_complete(old, merged)
                    seconds += float(old.attrs.get("seconds", 0.0))
            merged.attrs.update(attrs)
            merged.attrs["stamp"] = json.dumps(stamp)
            merged.attrs["seconds"] = float(seconds)
        shutil.rmtree(self._dir, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self._dir / f"{index:06d}.h5"

    def _usable(self, path: Path) -> bool:
        try:
            with open_hdf5(path) as part:
                return path.stem.isdecimal() and part.attrs.get("stamp") == self._stamp
        except OSError:  # not HDF5, or cut short
            return False


@contextmanager
def _replacing(path: Path, command: str) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends well."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # h5py raises either where a file that it reads is damaged
        cause = str(getattr(error, "strerror", None) or error).partition("\n")[0].lower()
        raise OmnitrackError(
            f"cannot write {path}: {cause}",
            f"make room or allow writing there; then {command} goes on from here",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def stamp_of(file: h5py.File) -> Stamp:
    """The stamp of an open product."""
    return dict(json.loads(file.attrs["stamp"]))


def complete_groups(file: h5py.Group | Mapping[str, Any]) -> list[str]:
    """Names of the groups that were written to their end, sorted.

    Names first: h5py iterates under its lock, and an error half way through would keep the lock while the error lives.
    """
    return [name for name in list(file) if file[name].attrs.get(COMPLETE)]


def put_array(group: h5py.Group, name: str, values: NDArray[Any]) -> None:
    """Store a small array as it is, with a checksum."""
    if values.size:
        group.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
    else:
        group[name] = values


def checked_attributes(group: h5py.Group) -> h5py.AttributeManager:
    """The attributes of a group.

    Raises:
        ValueError: They are not those that were written.
    """
    if CHECKSUM in group.attrs and group.attrs[CHECKSUM] != _checksum(group):
        raise ValueError(f"the attributes of {group.name} do not match their checksum")
    return group.attrs


def _checksum(group: h5py.Group) -> int:
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
