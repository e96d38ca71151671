"""`omnitrack export` of what only a fitted field provides: maps of every pixel, propagated mattes, camera motion."""

from __future__ import annotations

import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.export.camera import camera_json, camera_nuke
from omnitrack.export.exr import FLOAT, HALF, Channels, load_openexr, matte, motion_vectors, stmap, write_exr
from omnitrack.export.flow_files import flo, kitti
from omnitrack.export.formats import DENSE
from omnitrack.motion.field import MotionField
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.stages.dense_maps import DenseMaps, camera_of
from omnitrack.stages.export import footage_of
from omnitrack.stages.render_edit import Drawing, carried_drawing
from omnitrack.video.images import read_pixels

FROM_ZERO = ("flo", "kitti")  # research formats, which number frames from 0
EXR = ".exr"
# Half floats err by up to 1/4096 of the frame's width.
USUAL_BITS = {"stmap": FLOAT, "motion-vectors": HALF, "matte": HALF}


@dataclass(frozen=True)
class DenseOptions:
    """Options of a dense export.

    Attributes:
        frame: The reference frame, which STMaps fetch from and camera motion starts from; also the frame of the matte.
        matte: Image that marks the pixels of the matte in that frame.
        bits: Bits of an EXR channel, 16 or 32; None for the format's default. If given, a matte is written as EXR.
        first_frame: Number of the project's first frame; None as for tracks.
    """

    frame: int = 0
    matte: Path | None = None
    bits: int | None = None
    first_frame: int | None = None


@dataclass(frozen=True)
class DenseReport:
    """What `export_dense` wrote.

    Attributes:
        format: Name of the format.
        output: The file, or the pattern of a sequence of files.
        frames: Number of frames written.
        size: (width, height) of the frames in pixels.
        seconds: Wall time.
    """

    format: str
    output: str
    frames: int
    size: tuple[int, int]
    seconds: float


def export_dense_file(project: Project, name: str, output: Path, device: str = "auto") -> None:
    """Export as `export_dense` does, but to one file: the files of a sequence are packed into a .zip.

    Raises:
        OmnitrackError: As for `export_dense`.
    """
    if output.suffix != ".zip":
        export_dense(project, name, output, DenseOptions(), device)
        return
    with tempfile.TemporaryDirectory() as folder:
        export_dense(project, name, Path(folder) / name, DenseOptions(), device)
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted((Path(folder) / name).iterdir()):
                packed.write(file, f"{name}/{file.name}")


def export_dense(
    project: Project,
    name: str,
    output: Path,
    options: DenseOptions,
    device: str = "auto",
    progress: Progress = SILENT,
    field: MotionField | None = None,
) -> DenseReport:
    """Write a fitted field's motion at the size of the video.

    Args:
        project: Has a fitted field.
        name: One of `omnitrack.export.formats.DENSE`.
        output: A folder or a pattern such as ``maps/shot.%04d.exr`` for formats with one file per frame; else a file.
        options: See `DenseOptions`.
        device: Where the field is evaluated.
        progress: Receives one step per frame.
        field: Replaces the project's own field.

    Raises:
        OmnitrackError: No fitted field, no such frame, an unusable matte, OpenEXR is not installed, or a file cannot be
            written.
        UsageError: A matte without its image, an image without a matte, or `bits` for a format other than EXR.
    """
    began = time.perf_counter()
    suffix = _suffix(name, output, options.bits)
    _check(project, name, options, suffix)
    if field is None:
        from omnitrack.stages.fit import load_field

        field = load_field(project, device)
    maps = DenseMaps(project, field)
    numbers = frame_numbers(project, name, options.first_frame)
    if name in ("camera", "camera-nuke"):
        motion = camera_of(maps, options.frame, numbers, progress)
        text = camera_json(motion) if name == "camera" else camera_nuke(motion)
        with atomic_path(output) as part:
            part.write_text(text, encoding="utf-8")
        return DenseReport(name, str(output), len(motion.numbers), maps.size, time.perf_counter() - began)
    pattern, count = sequence_pattern(output, name, suffix), 0
    with progress.task(name, project.num_frames, unit="frames") as task:
        for frame, write in _WRITERS[name + suffix](maps, options):
            with atomic_path(Path(pattern % int(numbers[frame]))) as part:
                write(part)
            task.advance()
            count += 1
    return DenseReport(name, pattern, count, maps.size, time.perf_counter() - began)


def _suffix(name: str, output: Path, bits: int | None) -> str:
    """Return the suffix of the files; a matte is a PNG or an EXR."""
    as_exr = name == "matte" and (bits is not None or output.suffix.lower() == EXR)
    return EXR if as_exr else DENSE[name]


def _check(project: Project, name: str, options: DenseOptions, suffix: str) -> None:
    if not 0 <= options.frame < project.num_frames:
        raise OmnitrackError(
            f"there is no frame {options.frame} in project {project.root}, it has 0 to {project.num_frames - 1}",
            "name one of these: --frame T",
        )
    if (name == "matte") != (options.matte is not None):
        raise UsageError("--as matte and --matte FILE@T go together", "for example: --matte actor.png@0")
    if suffix == EXR:
        load_openexr()  # fails before the work whose result would be lost
    elif options.bits is not None:
        raise UsageError(f"--bits is for EXR pictures, not for {name}", "leave it out")


def frame_numbers(project: Project, name: str, first: int | None) -> NDArray[np.int64]:
    """Return (T,) frame numbers for file names and nodes: those of the images, or else positions in the video."""
    footage = footage_of(project)
    numbers = footage.positions + (name not in FROM_ZERO)
    if footage.numbers is not None and name not in FROM_ZERO:
        numbers = footage.numbers
    return numbers if first is None else numbers - numbers[0] + first


def sequence_pattern(output: Path, name: str, suffix: str) -> str:
    """Return the pattern of a sequence's file names, with one ``%04d`` for the number.

    Args:
        output: A folder, or a pattern of names.
        name: Name of the format.
        suffix: Suffix of its files.

    Raises:
        OmnitrackError: `output` names a single file, or files with another suffix.
    """
    hashes = re.sub(r"#+", lambda found: f"%0{len(found[0])}d", output.name)
    is_pattern = re.fullmatch(r"[^%]*%0?\d*d[^%]*", hashes) is not None
    if is_pattern and output.suffix.lower() != suffix:
        raise OmnitrackError(
            f"{name} is written as {suffix}, and {output} names other files",
            f"name a folder, or {name}.%04d{suffix}",
        )
    if is_pattern:
        return str(output.parent).replace("%", "%%") + "/" + hashes
    if output.suffix.lower() == suffix:
        raise OmnitrackError(
            f"{name} makes a file a frame, and {output} names one",
            f"name a folder, or {output.stem}.%04d{output.suffix}",
        )
    return str(output).replace("%", "%%") + f"/{name}.%04d{suffix}"


def parse_matte(text: str) -> tuple[Path, int]:
    """Return the image and the frame of ``M.png@T``.

    Raises:
        UsageError: The text does not have that form.
    """
    name, _, frame = text.rpartition("@")
    if not name or not frame.isdecimal():
        raise UsageError(f"--matte {text} is not FILE@T", "for example --matte actor.png@0")
    return Path(name), int(frame)


Write = Callable[[Path], None]


def _stmaps(maps: DenseMaps, options: DenseOptions) -> Iterator[tuple[int, Write]]:
    """Yield STMaps that fetch from the reference frame; in other shots nothing of it is visible."""
    shot, bits = maps.project.shot(options.frame), options.bits or USUAL_BITS["stmap"]
    for frame in range(maps.project.num_frames):
        moved, seen = maps.motion(frame, options.frame if frame in shot else frame, specks=False)
        channels = stmap(maps.pixels + moved, seen if frame in shot else np.zeros_like(seen))
        yield frame, partial(_write_exr, channels, bits)


def _vectors(maps: DenseMaps, options: DenseOptions) -> Iterator[tuple[int, Write]]:
    """Yield motion vectors to the next and to the previous frame; zero where a shot ends or begins."""
    bits = options.bits or USUAL_BITS["motion-vectors"]
    for frame in range(maps.project.num_frames):
        shot = maps.project.shot(frame)
        forward, backward = (
            maps.motion(frame, other if other in shot else frame)[0] for other in (frame + 1, frame - 1)
        )
        channels = motion_vectors(forward, backward)
        yield frame, partial(_write_exr, channels, bits)


def _flows(
    maps: DenseMaps, encode: Callable[[NDArray[np.float32], NDArray[np.bool_]], bytes]
) -> Iterator[tuple[int, Write]]:
    """Yield the flow to the next frame, for every frame but the last of a shot."""
    for frame in range(maps.project.num_frames):
        if frame + 1 in maps.project.shot(frame):
            flow, seen = maps.motion(frame, frame + 1)
            yield frame, partial(_write, encode(flow, seen >= 0.5))


def _mattes(maps: DenseMaps, options: DenseOptions) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the matte in every frame, (H, W) in [0, 1]; soft where the image was, and at the edges of occluders."""
    carried = carried_drawing(maps.project, maps.field, _read_matte(maps, options), maps.size)
    for frame in range(maps.project.num_frames):
        layer = carried(frame)
        yield frame, np.zeros(maps.size[::-1], np.float32) if layer is None else layer[..., 3].clip(0, 1)


def _png_mattes(maps: DenseMaps, options: DenseOptions) -> Iterator[tuple[int, Write]]:
    """Yield mattes as 16-bit grey PNG."""
    for frame, alpha in _mattes(maps, options):
        _, data = cv2.imencode(".png", np.rint(alpha * 65535).astype(np.uint16))
        yield frame, partial(_write, bytes(data))


def _exr_mattes(maps: DenseMaps, options: DenseOptions) -> Iterator[tuple[int, Write]]:
    for frame, alpha in _mattes(maps, options):
        yield frame, partial(_write_exr, matte(alpha), options.bits or USUAL_BITS["matte"])


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _write_exr(channels: Channels, bits: int, path: Path) -> None:
    write_exr(path, channels, bits)


_WRITERS: dict[str, Callable[[DenseMaps, DenseOptions], Iterator[tuple[int, Write]]]] = {
    "stmap.exr": _stmaps,
    "motion-vectors.exr": _vectors,
    "flo.flo": lambda maps, options: _flows(maps, lambda flow, seen: flo(flow)),
    "kitti.png": lambda maps, options: _flows(maps, kitti),
    "matte.png": _png_mattes,
    "matte.exr": _exr_mattes,
}


def _read_matte(maps: DenseMaps, options: DenseOptions) -> Drawing:
    path = Path(str(options.matte))
    if not path.is_file():
        raise OmnitrackError(f"there is no matte at {path}", "give an image over the whole frame: --matte actor.png@0")
    pixels = read_pixels(path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise OmnitrackError(f"matte {path} holds {pixels.dtype} values, which have no fixed range", "save it as PNG")
    height, width = pixels.shape[:2]
    if (width, height) not in (maps.size, maps.project.size):
        whole = f"{maps.size[0]}x{maps.size[1]}"
        raise OmnitrackError(f"matte {path} is {width}x{height}, the video is {whole}", "draw it over a whole frame")
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(-1)
    if not alpha.any():
        raise OmnitrackError(f"matte {path} marks nothing", "paint what it shall mark in white")
    return Drawing(np.dstack([alpha] * 4), options.frame)
