"""Reading OpenEXR files with the package OpenEXR: all compressions, tiles, multiple parts, 16-bit and 32-bit floats.

The package runs in its own process (`omnitrack.video.exr_process`), and reads pixels only after the header has shown
how much memory they need. A crash by a hostile file becomes an ordinary error, and no output reaches the terminal.

Source:
    OpenEXR technical introduction, https://openexr.com/en/latest/TechnicalIntroduction.html: windows, layers, parts.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content
from omnitrack.weights import DISTRIBUTION, import_extra

EXTRA = "exr"
LEAST_VERSION = [3, 4]  # reads the parts and channels of a header without their pixels
MAGIC = b"\x76\x2f\x31\x01"
VALUE_BYTES = 4  # of a 32-bit float; 16-bit floats take less
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])\nfrom omnitrack.video.exr_process import serve; serve()"
)


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, both corners included."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top + 1, self.right - self.left + 1


@dataclass(frozen=True)
class ExrPart:
    """One image of a file, according to the header.

    Attributes:
        name: Name of the part; empty in most files with one part.
        channels: Names of the channels; the text before the last dot is the layer.
        data: Window with pixels.
        display: Window of the frame.
        is_deep: Whether pixels have several samples each.
        sampled: Channels that are subsampled.
    """

    name: str
    channels: tuple[str, ...]
    data: Window
    display: Window
    is_deep: bool
    sampled: frozenset[str]


Choice = tuple[int, Sequence[str]]  # index of a part, and names of its channels to read


def need_openexr(what: str) -> None:
    """Make sure that the package OpenEXR is installed.

    Args:
        what: What needs the package, as the subject of a sentence.

    Raises:
        OmnitrackError: OpenEXR is not installed, or too old.
    """
    version = str(getattr(import_extra("OpenEXR", EXTRA, what), "__version__", ""))
    if [int(number) for number in re.findall(r"\d+", version)] < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise OmnitrackError(
            f"{what} needs the package OpenEXR {least} or newer, and {version or 'an older one'} is installed",
            f'pip install --upgrade "{DISTRIBUTION}[{EXTRA}]"',
        )


def read_exr(path: Path, choose: Callable[[Sequence[ExrPart]], Choice]) -> NDArray[np.float32]:
    """Read channels of an EXR file over its display window: (height, width, channels) float32, 0 without pixels.

    Args:
        path: The file.
        choose: Chooses a part and channels by the headers of the parts; may raise.

    Raises:
        OmnitrackError: OpenEXR is not installed; the file is missing, damaged, truncated, not an EXR, or larger than
            `omnitrack.limits` allows; or the chosen part is deep or a chosen channel is subsampled.
    """
    need_openexr(str(path))
    stored_bytes = _checked_size(path)
    parts = [_part(told) for told in _asked(path, {"path": str(path)})[0]["parts"]]
    if not parts or min(min(*part.data.shape, *part.display.shape) for part in parts) < 1:
        raise _damaged(path)
    index, names = choose(parts)
    part = parts[index]
    if part.is_deep:
        raise OmnitrackError(f"{path} has deep pixels, which are not read here", "flatten it, and save it again")
    if part.sampled.intersection(names):
        raise OmnitrackError(f"{path} has fewer colours than pixels, which is not read here", "save it as R, G and B")
    values = sum(_area(one.data) * len(one.channels) for one in parts) + _area(part.display) * len(names)
    height, width = part.display.shape
    check_content(f"{path}, {width}x{height} pixels,", values * VALUE_BYTES, stored_bytes)
    answer, planes = _asked(path, {"path": str(path), "part": index, "channels": list(names)})
    if any(tuple(shape) != part.data.shape for shape in answer["shapes"]):
        raise _damaged(path)
    return _in_display(part, planes)


def _checked_size(path: Path) -> int:
    """Check the first bytes of the file, and return its size in bytes."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise OmnitrackError(f"{path} is not an OpenEXR file", "make it anew, or remove it")
            return path.stat().st_size
    except OSError as error:
        raise OmnitrackError(f"cannot read {path}: {error.strerror}", "check that file") from error


def _damaged(path: Path) -> OmnitrackError:
    return OmnitrackError(f"{path} is damaged or cut short", "make it anew, or remove it")


def _asked(path: Path, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[NDArray[np.float32]]]:
    try:
        answer, planes = _PROCESS.ask(request)
    except (OSError, ValueError, EOFError) as error:  # the process has ended
        raise _damaged(path) from error
    if "error" in answer:
        raise _damaged(path)
    return answer, planes


def _part(told: Mapping[str, Any]) -> ExrPart:
    channels = told["channels"]
    return ExrPart(
        name=told["name"],
        channels=tuple(name for name, _, _ in channels),
        data=Window(*told["dataWindow"]),
        display=Window(*told["displayWindow"]),
        is_deep=told["is_deep"],
        sampled=frozenset(name for name, across, down in channels if (across, down) != (1, 1)),
    )


def _area(window: Window) -> int:
    height, width = window.shape
    return height * width


def _in_display(part: ExrPart, planes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the pixels of the frame; pixels outside it are left out, and pixels that are not stored are 0."""
    data, display = part.data, part.display
    top, bottom = max(data.top, display.top), min(data.bottom, display.bottom) + 1
    left, right = max(data.left, display.left), min(data.right, display.right) + 1
    picture = np.zeros((*display.shape, len(planes)), np.float32)
    if top < bottom and left < right:
        for place, plane in enumerate(planes):
            shown = plane[top - data.top : bottom - data.top, left - data.left : right - data.left]
            picture[top - display.top : bottom - display.top, left - display.left : right - display.left, place] = shown
    return picture


class _ReadingProcess:
    """The process that reads EXR files; started on the first request, and again after it has failed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[NDArray[np.float32]]]:
        """Return the answer to a request, and its pixels.

        Raises:
            EOFError: The process ended before it answered.
            OSError: The process cannot be started, or has ended.
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise EOFError
                answer: dict[str, Any] = json.loads(line)
                return answer, [_plane(process, shape) for shape in answer.get("shapes", ())]
            except BaseException:  # the pipe may contain the rest of an answer
                self.end()
                raise

    def end(self) -> None:
        """End the process if it is running."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            with suppress(OSError):
                process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            self._owner = os.getpid()
            atexit.register(self.end)
        return self._process


def _plane(process: subprocess.Popen[bytes], shape: Sequence[int]) -> NDArray[np.float32]:
    assert process.stdout is not None
    plane = np.empty(shape, np.float32)
    rest = plane.data.cast("B")
    while rest:
        count = process.stdout.readinto(rest)  # type: ignore[attr-defined]  # a BufferedReader
        if not count:
            raise EOFError
        rest = rest[count:]
    return plane


_PROCESS = _ReadingProcess()
