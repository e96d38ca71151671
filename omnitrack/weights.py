"""Files of network weights: from a path, from the cache, or downloaded and checked; and import of optional packages."""

from __future__ import annotations

import errno
import hashlib
import importlib
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import ModuleType
from urllib.error import HTTPError
from urllib.request import urlopen

from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.progress import SILENT, Progress

DISTRIBUTION = "omnitrack-video"  # name of the package for pip
CACHE_VARIABLE = "OMNITRACK_CACHE"
MISSING = "missing"
_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30.0  # without a byte from the server
_MEGABYTE = 1_000_000

_known_sums: dict[tuple[str, int, int], str] = {}  # by path, modification time and size


@dataclass(frozen=True)
class PublishedFile:
    """A file published by others.

    Attributes:
        name: Its name in the cache.
        url: Its address.
        sha256: Its checksum in hex, or the first 8 or more digits if only these are published.
        megabytes: Its size.
        licence: The licence of its use.
    """

    name: str
    url: str
    sha256: str
    megabytes: float
    licence: str


def cache_directory() -> Path:
    """Return the folder of downloads: ``$OMNITRACK_CACHE``, else omnitrack's folder in the user's cache directory."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "omnitrack"


def locate(
    name_or_path: str, published: Mapping[str, PublishedFile], progress: Progress = SILENT, *, setting: str = ""
) -> Path:
    """Return the local file that a setting names, downloaded to the cache if it is not there yet.

    Args:
        name_or_path: A name in `published`, or the path of a file. A published name comes first in every directory; a
            file of the same name in the current directory is ``./name``.
        published: The files that are available by name.
        progress: Receives progress updates and messages of the download.
        setting: Name of the setting, for error messages: ``flow.raft.weights``.

    Returns:
        A file that exists; a published file has the right checksum.

    Raises:
        OmnitrackError: No such file or name, no way to download it, a wrong checksum, or a full disk.
    """
    file = published.get(name_or_path)
    if file is None:
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        raise _unknown(name_or_path, path, published, setting)
    path = cache_directory() / file.name
    if not (path.is_file() and _fits(_sha256(path), file)):
        _download(file, path, progress, setting)
    return path


def identity(name_or_path: str, published: Mapping[str, PublishedFile]) -> str:
    """Return what a stamp records of a file: its sha256, or ``missing``. Nothing is downloaded."""
    file = published.get(name_or_path)
    if file is not None:
        return file.sha256
    path = Path(name_or_path).expanduser()
    try:
        return _sha256(path) if path.is_file() else MISSING
    except OSError:
        return MISSING


def import_extra(module: str, extra: str, what: str = "this") -> ModuleType:
    """Import a package that only an extra of omnitrack installs.

    Args:
        module: Name of the package.
        extra: Name of the extra.
        what: What needs the package, as the subject of a sentence.

    Raises:
        OmnitrackError: The package is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module.split(".")[0]
        why = "is not installed" if absent else f"cannot be imported: {error}"
        raise OmnitrackError(
            f"{what} needs the package {module}, which {why}", f'pip install "{DISTRIBUTION}[{extra}]"'
        ) from error


def _unknown(name: str, path: Path, published: Mapping[str, PublishedFile], setting: str) -> OmnitrackError:
    of_setting = f"{setting}: " if setting else ""
    if path.is_dir():
        return OmnitrackError(f"{of_setting}{path} is a directory, not a file of weights", "name a file inside it")
    known = closest_hint(name, published, "give the path of a file, or one of")
    what = "neither a file nor a published name" if published else "not a file"
    return OmnitrackError(f"{of_setting}{name!r} is {what}", known if published else "give the path of a file")


def _fits(sha256: str, file: PublishedFile) -> bool:
    return sha256.startswith(file.sha256.lower())


def _sha256(path: Path) -> str:
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _known_sums:
        total = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                total.update(chunk)
        _known_sums[key] = total.hexdigest()
    return _known_sums[key]


# --- downloading ------------------------------------------------------------------------------------------------
def _download(file: PublishedFile, target: Path, progress: Progress, setting: str) -> None:
    """Download the file, under another name until it is complete and its checksum is right."""
    progress.note(f"downloading {file.url} ({file.megabytes:g} MB, {file.licence}) to {target}")
    by_hand = f"download {file.url} by hand and save it as {target}"
    if setting:
        by_hand += f", or set {setting} to the path of a copy"
    part = target.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream, _opened(file, by_hand) as response:
            total = hashlib.sha256()
            for chunk in _chunks(file, response, progress, by_hand):
                total.update(chunk)
                stream.write(chunk)
        if not _fits(total.hexdigest(), file):
            raise OmnitrackError(
                f"{file.url} is not the file that was expected: its sha256 is {total.hexdigest()}, not {file.sha256}",
                f"a proxy may have answered in its place; try again, or {by_hand}",
            )
        part.replace(target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OmnitrackError(
            f"cannot write {target}: {'the disk is full' if full else error.strerror or error}",
            f"free some space ({file.megabytes:g} MB are needed), or set {CACHE_VARIABLE} to another directory",
        ) from error
    finally:
        with suppress(OSError):  # missing: it was renamed, or could not be created
            part.unlink()


@contextmanager
def _opened(file: PublishedFile, by_hand: str) -> Iterator[HTTPResponse]:
    try:
        response = urlopen(file.url, timeout=_TIMEOUT_SECONDS)
    except HTTPError as error:
        raise OmnitrackError(f"cannot download {file.url}: {error.code} {error.reason}", by_hand) from error
    except (OSError, HTTPException) as error:  # a URLError is an OSError
        raise OmnitrackError(f"cannot download {file.url}: {getattr(error, 'reason', error)}", by_hand) from error
    with response:
        yield response


def _chunks(file: PublishedFile, response: HTTPResponse, progress: Progress, by_hand: str) -> Iterator[bytes]:
    """Yield the body piece by piece, with progress in megabytes."""
    length = int(response.headers.get("Content-Length") or 0)
    got = 0
    total = math.ceil((length or file.megabytes * _MEGABYTE) / _MEGABYTE)
    cause = ""
    with progress.task(f"download {file.name}", total, unit="MB") as task:
        while True:
            try:
                chunk = response.read(_CHUNK_BYTES)
            except (OSError, HTTPException) as error:
                cause = f": {error}"
                break
            if not chunk:
                break
            yield chunk
            before, got = got, got + len(chunk)
            task.advance(math.ceil(got / _MEGABYTE) - math.ceil(before / _MEGABYTE))
    if cause or got < length:
        of_all = f" of {length / _MEGABYTE:.1f}" if length else ""
        raise OmnitrackError(
            f"the download of {file.url} broke off after {got / _MEGABYTE:.1f}{of_all} MB{cause}",
            f"try again, or {by_hand}",
        )
