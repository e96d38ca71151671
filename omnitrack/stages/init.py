"""`omnitrack init`: turn a video into a project directory with lossless working frames and commented settings."""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.config import dump_settings
from omnitrack.device import usable_cores
from omnitrack.errors import OmnitrackError
from omnitrack.memory import largest_pixels, most_workers
from omnitrack.progress import SILENT, Progress
from omnitrack.project.frames_meta import FramesMeta, write_meta
from omnitrack.project.kept import keep
from omnitrack.project.lock import locked
from omnitrack.project.project import FRAMES_NAME, LOCK_NAME, SETTINGS_NAME, frame_name
from omnitrack.settings import InitSettings, Settings
from omnitrack.stages.cuts import check_cuts, cuts_sentence, given_cuts, with_cuts
from omnitrack.video.blank_frames import BlankFrames
from omnitrack.video.cuts import CutDetector
from omnitrack.video.images import write_image
from omnitrack.video.reading import VideoReader, default_name, open_video

LEAST_SIDE_PX = 8  # of a working frame: the side of one patch
WRITTEN_BYTES = 9  # per pixel of a frame waiting to be written: raw, filtered for its PNG, and compressed
PARTIAL_NAME = f"{FRAMES_NAME}.partial"


@dataclass(frozen=True)
class InitReport:
    """What `init` made.

    Attributes:
        project: The project directory.
        source: The video as given.
        frames: Number of frames.
        fps: Frames per second of the project.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video after its rotation in pixels.
        cuts: First frames of the shots after the first.
        seconds: Wall time.
    """

    project: str
    source: str
    frames: int
    fps: float
    size: tuple[int, int]
    original_size: tuple[int, int]
    cuts: list[int]
    seconds: float


def init_project(
    video: str | Path, root: Path | None, settings: Settings, progress: Progress = SILENT, splitting: bool = False
) -> InitReport:
    """Turn a video file, a folder of images, a glob or a number pattern into a project.

    Args:
        video: What to read, see `omnitrack.video.reading.open_video`.
        root: The project directory to make; None uses the video's name without its suffix, in the current directory.
        settings: `settings.init` selects the frames and their size; all settings are written to ``omnitrack.toml``.
        progress: Receives one step per frame, notes, and warnings about defects of the video.
        splitting: Each shot becomes its own project afterwards, so that no message about cuts is needed.

    Raises:
        OmnitrackError: An unreadable video, fewer than two frames, a directory that is in use, or a full disk.
    """
    root = Path(default_name(video)) if root is None else root
    with open_video(video, settings.init.levels) as reader:
        for note in reader.notes:
            progress.note(f"{video}: {note}")
        for warning in reader.warnings:
            progress.warn(warning)
        report = init_from_frames(reader, root, settings, reader.fps, str(video), progress)
        if report.cuts and not splitting:
            progress.note(f"{cuts_sentence(report.cuts)}; --split-at-cuts makes one project a shot")
        if reader.damage:
            progress.warn(f"{video} may be damaged ({reader.damage}): the {report.frames} frames taken are kept")
    return report


def init_from_frames(
    frames: Iterable[NDArray[np.uint8]],
    root: Path,
    settings: Settings,
    fps: float,
    source: str,
    progress: Progress = SILENT,
) -> InitReport:
    """Make a project from frames in memory or from a stream; memory does not grow with the number of frames.

    Args:
        frames: (H, W, 3) uint8 RGB frames of one size, in order. `settings.init` selects among them.
        root: The project directory to make.
        settings: See `init_project`.
        fps: Frames per second of `frames`, before `settings.init.stride`.
        source: What the frames came from, for messages and `info`.
        progress: Receives one step per frame.

    Raises:
        OmnitrackError: Fewer than two frames, frames of mixed sizes, a directory that is in use, or a full disk.
    """
    began = time.perf_counter()
    chosen = settings.init
    cuts = given_cuts(chosen.cuts)
    detector = CutDetector() if cuts is None else None
    _check_free(root)
    with _held(root), _partial_directory(root) as partial:
        total = length_hint(frames, 0)
        selected = islice(enumerate(frames), chosen.start, chosen.end or None, chosen.stride)
        stop = min(chosen.end, total) if chosen.end and total else chosen.end or total
        steps = len(range(chosen.start, stop, chosen.stride))
        kept = _keep_frames(selected, partial, _SizeFor(settings, progress), source, progress, steps, detector)
        if len(kept.indices) < 2:
            raise _too_few(source, len(kept.indices), total, chosen)
        _check_size(kept.size, kept.original_size, source)
        cuts = detector.finish() if detector else cuts or []
        check_cuts(cuts, len(kept.indices))
        meta = FramesMeta(
            source=source,
            count=len(kept.indices),
            fps=chosen.fps or fps / chosen.stride,
            size=kept.size,
            original_size=kept.original_size,
            indices=kept.indices,
            fingerprint=with_cuts(kept.fingerprint, cuts),
            numbers=_numbers(frames, kept.indices),
            cuts=cuts,
        )
        write_meta(partial, meta)
        (root / SETTINGS_NAME).write_text(dump_settings(settings), encoding="utf-8")
    keep(root)
    seconds = time.perf_counter() - began
    return InitReport(str(root), source, meta.count, meta.fps, meta.size, meta.original_size, cuts, seconds)


def _numbers(frames: Iterable[NDArray[np.uint8]], indices: list[int]) -> list[int] | None:
    numbers = frames.numbers if isinstance(frames, VideoReader) else None
    return [numbers[index] for index in indices] if numbers else None


@dataclass(frozen=True)
class _Kept:
    indices: list[int]
    size: tuple[int, int]
    original_size: tuple[int, int]
    fingerprint: str


def _keep_frames(
    selected: Iterator[tuple[int, NDArray[np.uint8]]],
    directory: Path,
    size_for: _SizeFor,
    source: str,
    progress: Progress,
    steps: int,
    detector: CutDetector | None,
) -> _Kept:
    workers = usable_cores()
    waiting = 2 * workers
    digest = hashlib.sha256()
    indices: list[int] = []
    original_size, size = (0, 0), (0, 0)
    pending: deque[Future[None]] = deque()
    blank = BlankFrames()
    with ThreadPoolExecutor(workers) as pool, progress.task("frames", steps, unit="frames") as task:
        for index, frame in selected:
            if not indices:
                original_size = (frame.shape[1], frame.shape[0])
                size = size_for(original_size)
                waiting = size_for.most_waiting(size, waiting)
            _check_frame(frame, index, original_size, source)
            working = _resize(frame, size)
            digest.update(working.data)
            blank.look(index, working)
            if detector:
                detector.push(working)
            pending.append(pool.submit(write_image, directory / frame_name(len(indices)), working))
            indices.append(index)
            if len(pending) >= waiting:  # bounds the frames in memory, and surfaces a full disk early
                pending.popleft().result()
            task.advance()
        for future in pending:
            future.result()
    if warning := blank.warning(source):
        progress.warn(warning)
    return _Kept(indices, size, original_size, digest.hexdigest()[:16])


def working_size(original: tuple[int, int], max_size: int) -> tuple[int, int]:
    """Return (width, height) of the working frames: longest side at most `max_size`, never enlarged; 0: no limit."""
    scale = min(1.0, max_size / max(original)) if max_size else 1.0
    return max(1, round(original[0] * scale)), max(1, round(original[1] * scale))


class _SizeFor:
    """The working size of a video: what the settings ask for, reduced if memory is too small for it."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._max_size, self._memory_gb, self._progress = settings.init.max_size, settings.memory.max_gb, progress

    def __call__(self, original: tuple[int, int]) -> tuple[int, int]:
        size, most = working_size(original, self._max_size), largest_pixels(self._memory_gb)
        if size[0] * size[1] <= most:
            return size
        fitting = working_size(original, max(1, int(max(size) * math.sqrt(most / (size[0] * size[1])))))
        self._progress.note(
            f"there is no room for frames of {size[0]}x{size[1]} in {self._memory_gb:g} GB of memory: working on "
            f"{fitting[0]}x{fitting[1]}, tracks in pixels of the video; --max-memory gives more"
        )
        return fitting

    def most_waiting(self, size: tuple[int, int], most: int) -> int:
        """Return how many working frames may wait to be written."""
        return most_workers(most, self._memory_gb, WRITTEN_BYTES * size[0] * size[1], 0.0)


def _resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if (frame.shape[1], frame.shape[0]) == size:
        return np.ascontiguousarray(frame)
    import cv2

    small: Any = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small)


def _check_size(size: tuple[int, int], original: tuple[int, int], source: str) -> None:
    if min(size) >= LEAST_SIDE_PX:
        return
    width, height = size
    made = "" if size == original else f" of its {original[0]}x{original[1]}"
    raise OmnitrackError(
        f"{source}: working frames of {width}x{height}{made} are too small to see motion in",
        f"both sides need {LEAST_SIDE_PX} pixels: crop or enlarge the video, or keep more of it with --max-size",
    )


def _check_frame(frame: NDArray[np.uint8], index: int, size: tuple[int, int], source: str) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise OmnitrackError(f"frame {index} of {source} is {frame.dtype} {frame.shape}, not (H, W, 3) uint8")
    found = (frame.shape[1], frame.shape[0])
    if found != size:
        raise OmnitrackError(
            f"frame {index} of {source} is {found[0]}x{found[1]}, the frames before it are {size[0]}x{size[1]}",
            "all frames must have one size: cut the video there with --start or --end",
        )


def _too_few(source: str, taken: int, total: int, chosen: InitSettings) -> OmnitrackError:
    frames = f"{taken} frame" if taken == 1 else f"{taken} frames"
    flags = {"--start": chosen.start, "--end": chosen.end, "--stride": chosen.stride if chosen.stride > 1 else 0}
    given = " ".join(f"{flag} {value}" for flag, value in flags.items() if value)
    if not given:
        return OmnitrackError(f"{source} has only {frames}: there is no motion in it", "give a video of 2 or more")
    about = f", which has about {total}" if total else ""
    return OmnitrackError(
        f"{given} leaves {frames} of {source}{about}", "at least 2 are needed: widen the range or lower the stride"
    )


# --- the directory is made completely or not at all -------------------------------------------------------------
def _check_free(root: Path) -> None:
    hint = "name a new directory for the project: omnitrack init VIDEO PROJECT"
    if root.is_dir():
        found = {path.name for path in root.iterdir() if not path.name.startswith(LOCK_NAME)}
        if found and PARTIAL_NAME not in found:  # left by a killed init, or made by one in progress
            state = "already a project" if SETTINGS_NAME in found else "not empty"
            raise OmnitrackError(f"{root} is {state}", hint)
    elif (root.exists() or root.is_symlink()) and not root.is_dir():  # another process may have just made it
        raise OmnitrackError(f"{root} is a file", hint)


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """Lock the directory and make it if missing; if this process made it, it is removed when the block fails."""
    made = not root.is_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root, "init"):
            _check_free(root)  # another process may have been quicker
            try:
                yield
            except BaseException:
                if made:
                    shutil.rmtree(root, ignore_errors=True)
                raise
    except OSError as error:
        raise _cannot_write(root, error) from error


@contextmanager
def _partial_directory(root: Path) -> Iterator[Path]:
    """Yield a directory that becomes the project's frames if the block succeeds, and vanishes if it fails.

    A killed process leaves only this directory, which the next `init` of the same project replaces.
    """
    partial = root / PARTIAL_NAME
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        partial.rename(root / FRAMES_NAME)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        (root / SETTINGS_NAME).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(root, error) from error
        raise


def _cannot_write(root: Path, error: OSError) -> OmnitrackError:
    if error.errno == errno.ENOSPC:
        return OmnitrackError(
            f"the disk is full: cannot write project {root}; what was written of it is removed",
            "free some space, or make a smaller project with --max-size, --end or --stride",
        )
    return OmnitrackError(
        f"cannot write project {root}: {error.strerror or error}", "name a directory that you may write to"
    )
