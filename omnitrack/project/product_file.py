"""One product of a project in one file, ``products/NAME.h5``: whole or missing, with its stamp.

Layout of every product::

    /            attributes product (its name), format, size (width, height), num_frames, stamp (JSON text: what it is
                 made from), members (number of its groups), seconds (time it took); others are the product's own
    /000003      one group per frame or pair of frames; attributes complete, and checksum (of the other attributes)

Every array has a checksum, from its compression or Fletcher's, so that data damaged on disk are not read as if they
were intact.

HDF5 files do not survive a process that dies while writing. So no file is ever changed in place: a job writes its own
file in ``products/NAME.parts`` (`omnitrack.project.parts`) under a temporary name and renames it, and merging writes a
new product and renames it. A file that is proven to be damaged is kept as ``products/NAME.damaged.h5`` when it is made
again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from omnitrack.errors import DamagedError, OmnitrackError, UnavailableError
from omnitrack.hdf5_file import create_hdf5, open_hdf5
from omnitrack.progress import SILENT, Progress
from omnitrack.project.groups import MEMBERS, UNREADABLE, Stamp, stamp_of
from omnitrack.project.kept import keep
from omnitrack.project.parts import Parts
from omnitrack.project.project import Project
from omnitrack.project.replacing import remove_any, replacing, writing_to

FORMAT = 2  # 1: all products in one correspondences.h5


class ProductFile:
    """The file of one product of a project.

    Args:
        project: The project.
        name: Name of the product and of its file.
        stage: The command that makes it.

    Attributes:
        name: As given.
        path: The file.
        command: The command line that makes it.
    """

    def __init__(self, project: Project, name: str, stage: str) -> None:
        self.name, self.path = name, project.product_path(name)
        self.command = f"omnitrack {stage} {project.root}"
        self._project = project

    # --- reading ------------------------------------------------------------------------------------------------
    def open(self) -> h5py.File:
        """Open the file for reading.

        Raises:
            OmnitrackError: The file is missing, damaged or foreign, or has another format.
            UnavailableError: Another program holds it, or access is denied.
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
        """Return what the product is made from; None if its file is missing or damaged.

        Raises:
            UnavailableError: Another program holds the file, or access is denied.
        """
        try:
            with self.open() as file:
                return stamp_of(file)
        except UnavailableError:
            raise
        except (OmnitrackError, *UNREADABLE):
            return None

    def damage(self) -> str:
        """Return what is wrong with the file; empty if it is intact or missing.

        Raises:
            UnavailableError: Another program holds the file, or access is denied.
        """
        if not self.path.exists():
            return ""
        try:
            with self.open() as file:
                stamp_of(file)
        except UnavailableError:
            raise
        except OmnitrackError as error:
            return error.message
        except UNREADABLE as error:
            return self.damaged(f"its stamp makes no sense: {error}").message
        return ""

    def seconds(self) -> float:
        """Return the time that the product took to make; 0 if unknown."""
        try:
            with self.open() as file:
                return float(file.attrs.get("seconds", 0.0))
        except (OmnitrackError, *UNREADABLE):
            return 0.0

    def bytes(self) -> int:
        """Return the size of the file; 0 if it is missing."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def damaged(self, cause: object) -> DamagedError:
        """Return the error for a file that cannot be read."""
        return DamagedError(f"{self.path} cannot be read: {cause}", f"compute the {self.name} again: {self.command}")

    def damaged_data(self, what: str, cause: object) -> DamagedError:
        """Return the error for data whose damage shows only when they are read: the stage does not check them."""
        hint = f"delete that file, then compute it again: {self.command}"
        return DamagedError(f"{what} in {self.path} cannot be read: {cause}", hint)

    def _check(self, file: h5py.File) -> None:
        try:
            found, product, members = (file.attrs.get(name) for name in ("format", "product", MEMBERS))
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
    def parts(self, stamp: Mapping[str, object], progress: Progress = SILENT) -> Parts:
        """Return the finished jobs of the incomplete product with that stamp; see `Parts`."""
        return Parts(self, stamp, progress)

    def has_parts(self) -> bool:
        """Return whether an interrupted run left finished jobs."""
        return any(self.parts_dir.glob("*"))

    def set_aside(self, cause: str, progress: Progress = SILENT) -> None:
        """Keep a file that is proven to be damaged under another name, one per product, and report it.

        Args:
            cause: What is wrong with the file.
            progress: Receives the warning.

        Raises:
            OmnitrackError: The file cannot be renamed.
        """
        with writing_to(self.path, self.command):
            remove_any(self.aside_path)
            self.path.replace(self.aside_path)
        progress.warn(f"{cause}: kept as {self.aside_path.name}, made anew")

    @property
    def aside_path(self) -> Path:
        return self.path.with_suffix(".damaged.h5")

    @property
    def parts_dir(self) -> Path:
        return self.path.with_suffix(".parts")

    @contextmanager
    def replaced(self) -> Iterator[h5py.File]:
        """Yield a new file that replaces the product if the block succeeds; the block sets its stamp.

        Raises:
            OmnitrackError: The file cannot be written; the old one stays unchanged.
        """
        if damage := self.damage():
            self.set_aside(damage)
        with replacing(self.path, self.command) as temporary, create_hdf5(temporary) as file:
            yield file
            file.attrs["product"] = self.name
            file.attrs["format"] = FORMAT
            file.attrs["size"] = self._project.size
            file.attrs["num_frames"] = self._project.num_frames
            file.attrs[MEMBERS] = len(file)
        keep(self.path)

    def remove(self) -> None:
        """Remove the product and its unfinished parts."""
        remove_any(self.path)
        shutil.rmtree(self.parts_dir, ignore_errors=True)
