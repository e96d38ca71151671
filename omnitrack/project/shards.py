"""Results of many small jobs, each finished for good when it is written, merged into ``correspondences.h5`` at the end.

HDF5 files do not survive a process that dies while writing. So no file is ever changed in place: a job writes a file of
its own under a temporary name and renames it, and merging writes a new ``correspondences.h5`` and renames that.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from omnitrack.errors import OmnitrackError
from omnitrack.project.hdf5_file import bound_metadata, create_hdf5
from omnitrack.project.project import Project

STORE_FORMAT = 1
COMPLETE = "complete"


class Shards:
    """The unmerged results of one stage, one file per job.

    Args:
        project: Whose correspondences they will become.
        kind: Name of the stage (``flow``); stages do not see each other's shards.
        stamp: What the results are made from; shards with another stamp count as not there and are removed.
        command: Goes on where this one was stopped, for error messages; that of the stage where empty.
    """

    def __init__(self, project: Project, kind: str, stamp: Mapping[str, object], command: str = "") -> None:
        self._project = project
        self._stamp = json.dumps(stamp, sort_keys=True)
        self._dir = _directory(project, kind)
        self._command = command or f"omnitrack {kind} {project.root}"

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
        with _replacing(path, self._command) as temporary:
            path.parent.mkdir(parents=True, exist_ok=True)
            with create_hdf5(temporary) as shard:
                fill(shard)
                for group in list(shard.values()):
                    group.attrs[COMPLETE] = True
                shard.attrs["stamp"] = self._stamp

    def merge(self, root_group: str, attrs: Mapping[str, str | None], keep: Collection[str]) -> None:
        """Make a new ``correspondences.h5`` of the old one and the shards, then remove the shards.

        Args:
            root_group: Where the groups of the shards go; they replace old ones of the same name.
            attrs: Root attributes to set; None removes one.
            keep: Top-level groups to carry over from the old file; where empty, nothing is, attributes included.

        Raises:
            OmnitrackError: The new file cannot be written; the old one and the shards stay as they are.
        """
        path = self._project.correspondences_path
        with (
            _replacing(path, self._command) as temporary,
            create_hdf5(temporary) as merged,
        ):
            merged.require_group(root_group)
            for index in self.done():
                with h5py.File(self._path(index), "r") as shard:
                    _copy_complete(shard, merged[root_group])
            if keep and path.exists():
                with bound_metadata(h5py.File(path, "r")) as old:
                    merged.attrs.update(old.attrs)
                    for name in keep:
                        if name in old:
                            _copy_complete(old[name], merged.require_group(name))
            self._describe(merged, attrs)
        shutil.rmtree(self._dir, ignore_errors=True)
        with suppress(OSError):  # another stage's shards
            self._dir.parent.rmdir()

    def _describe(self, merged: h5py.File, attrs: Mapping[str, str | None]) -> None:
        merged.attrs["format"] = STORE_FORMAT
        merged.attrs["size"] = self._project.size
        merged.attrs["num_frames"] = self._project.num_frames
        for name, value in attrs.items():
            if value is not None:
                merged.attrs[name] = value
            elif name in merged.attrs:
                del merged.attrs[name]

    def _path(self, index: int) -> Path:
        return self._dir / f"{index:06d}.h5"

    def _usable(self, path: Path) -> bool:
        try:
            with h5py.File(path, "r") as shard:
                return path.stem.isdecimal() and shard.attrs.get("stamp") == self._stamp
        except OSError:  # not HDF5, or cut short
            return False


def _copy_complete(source: h5py.Group, target: h5py.Group) -> None:
    """Copy the complete members of a group without decoding them; what the target has already stays."""
    for name, group in list(source.items()):  # a list: an error half way through would keep h5py's lock
        if group.attrs.get(COMPLETE) and name not in target:
            source.copy(group, target, name)


def has_shards(project: Project, kind: str) -> bool:
    """Whether an interrupted run of a stage left finished jobs behind."""
    return any(_directory(project, kind).glob("*"))


def _directory(project: Project, kind: str) -> Path:
    return project.correspondences_path.with_suffix(".partial") / kind


@contextmanager
def _replacing(path: Path, command: str) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends well."""
    temporary = path.with_name(path.name + ".tmp")
    try:
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
