"""TIFF layouts of microscopes, written by tifffile: read correctly with tifffile, else refused or read correctly."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.tiff_directory import read_directory
from omnitrack.video import tiff
from omnitrack.video.reading import open_video

TINY = (24, 32)
RAMP = np.arange(256, dtype=np.uint16) * 257


def levels(*lead: int) -> NDArray[np.uint8]:
    """Return planes whose grey level is 10 times their index, in the order of the axes."""
    place = np.arange(np.prod(lead)).reshape(*lead, 1, 1)
    return np.broadcast_to(10 * place, (*lead, *TINY)).astype(np.uint8)


def read(path: Path) -> tuple[list[list[int]], float, str]:
    """Return the colour of each frame, the rate, and the messages."""
    with open_video(path) as reader:
        assert reader.size == TINY[::-1]
        return [frame[5, 5].tolist() for frame in reader], reader.fps, " ".join([*reader.notes, *reader.warnings])


def greys(*values: int) -> list[list[int]]:
    return [[value] * 3 for value in values]


def write_single_directory(path: Path, planes: NDArray[np.uint8], order: str = ">") -> Path:
    """Write as ImageJ does beyond 4 GB: one directory, followed by all planes."""
    text = f"ImageJ=1.54f\nimages={len(planes)}\nframes={len(planes)}\nfinterval=0.5\n\0".encode()
    height, width = planes.shape[1:]
    texts_at = 8 + 2 + 9 * 12 + 4
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(270, 2, len(text), texts_at), (273, 4, 1, texts_at + len(text)), (277, 3, 1, 1)]
    entries += [(279, 4, 1, width * height)]
    packed = b""
    for tag, kind, count, value in entries:
        packed += struct.pack(f"{order}HHI", tag, kind, count)
        packed += struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
    head = (
        (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(entries))
    )
    path.write_bytes(head + packed + struct.pack(f"{order}I", 0) + text + planes.tobytes())
    return path


@pytest.fixture
def without_tifffile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "can_read_any_tiff", lambda: False)


# --- the contents of the directory ------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_directory_tells_axes_and_rate(tmp_path: Path, order: str) -> None:
    directory = read_directory(write_single_directory(tmp_path / "a.tif", levels(4), order))
    assert directory.lengths == {"T": 4, "Z": 1, "C": 1}
    assert (directory.sizes, directory.fps, directory.is_whole) == ([TINY[::-1]], 2.0, True)


@pytest.mark.parametrize(
    ("pixels", "fps"),
    [
        ('SizeT="5" SizeZ="1" SizeC="1" TimeIncrement="250" TimeIncrementUnit="ms"', 4.0),
        ('SizeT="5" SizeZ="1" SizeC="1" TimeIncrement="0.5"', 2.0),
        ('SizeT="5" SizeZ="1" SizeC="1" TimeIncrement="2" TimeIncrementUnit="min"', 1 / 120),
        ('SizeT="5" SizeZ="1" SizeC="1" TimeIncrement="0"', None),
        ('SizeT="5" SizeZ="1" SizeC="1" TimeIncrement="?" TimeIncrementUnit="parsec"', None),
    ],
)
def test_the_rate_of_an_ome_description(pixels: str, fps: float | None) -> None:
    text = (
        f'<?xml version="1.0"?><OME xmlns="x"><Image ID="I"><Pixels ID="P" {pixels}><Channel/></Pixels></Image></OME>'
    )
    directory = tiff.TiffDirectory(first={270: text})
    assert directory.fps == (pytest.approx(fps) if fps else None)
    assert directory.lengths == {"T": 5, "Z": 1, "C": 1}


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0" + b"\xff" * 12, b"MM\0*\0\0\0\x08\xff\xff" + b"\0" * 30])
def test_a_directory_of_garbage_is_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert read_directory(path).sizes == []
    with pytest.raises(OmnitrackError, match=r"a\.tif"):
        open_video(path)


# --- with tifffile ----------------------------------------------------------------------------------------------
Layout = tuple[NDArray[Any], dict[str, Any], list[list[int]], float, str]
IMAGEJ, OME = {"imagej": True}, {"ome": True, "photometric": "minisblack"}
LAYOUTS: dict[str, Layout] = {
    "imagej_t": (levels(3), {**IMAGEJ, "metadata": {"axes": "TYX", "finterval": 0.5}}, greys(0, 10, 20), 2.0, ""),
    "imagej_z": (levels(3), {**IMAGEJ, "metadata": {"axes": "ZYX"}}, greys(0, 10, 20), 24.0, "no time axis"),
    # 3 times, 2 planes of which the second is used, 2 channels: plane (t, 1, c) has the index 4 t + 2 + c
    "imagej_tzc": (
        levels(3, 2, 2),
        {**IMAGEJ, "metadata": {"axes": "TZCYX"}},
        [[20, 30, 0], [60, 70, 0], [100, 110, 0]],
        24.0,
        "red and green",
    ),
    "ome_tcz": (  # the index of (t, c, 1) is 6 t + 2 c + 1
        levels(2, 3, 2),
        {**OME, "metadata": {"axes": "TCZYX", "TimeIncrement": 0.1, "TimeIncrementUnit": "s"}},
        [[10, 30, 50], [70, 90, 110]],
        10.0,
        "red, green and blue",
    ),
    "deflate": (levels(3), {"compression": "zlib", "photometric": "minisblack"}, greys(0, 10, 20), 24.0, ""),
    "tiled_bigtiff": (
        levels(3),
        {"tile": (16, 16), "bigtiff": True, "photometric": "minisblack"},
        greys(0, 10, 20),
        24.0,
        "",
    ),
    "half": (levels(3).astype(np.float16) / 20, {"photometric": "minisblack"}, greys(0, 128, 255), 24.0, "float16"),
    "white": (levels(3), {"photometric": "miniswhite"}, greys(255, 245, 235), 24.0, ""),
    "white16": (levels(3) * np.uint16(257), {"photometric": "miniswhite"}, greys(255, 245, 235), 24.0, ""),
    "planar16": (
        levels(2, 3) * np.uint16(1285),
        {"photometric": "rgb", "planarconfig": "separate"},
        [[0, 50, 100], [150, 200, 250]],
        24.0,
        "",
    ),
    "palette": (
        levels(3),
        {"photometric": "palette", "colormap": np.stack([RAMP, 0 * RAMP, 0 * RAMP + 65535])},
        [[0, 0, 255], [10, 0, 255], [20, 0, 255]],
        24.0,
        "",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read(tmp_path: Path, name: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    values, options, colours, fps, said = LAYOUTS[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, **{"metadata": None, **options})
    found, rate, text = read(path)
    assert (found, rate) == (colours, pytest.approx(fps))
    assert said in text
    assert bool(said) == bool(text)


def test_planes_behind_one_directory_are_read(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    assert read(write_single_directory(tmp_path / "a.tif", levels(4))) == (greys(0, 10, 20, 30), 2.0, "")


@pytest.mark.parametrize("is_first", [True, False])
def test_thumbnails_and_pyramids_are_no_frames(tmp_path: Path, is_first: bool) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    small = np.full((6, 8), 200, np.uint8)
    with tifffile.TiffWriter(path) as file:
        for index, plane in enumerate(levels(3)):
            more = {"contiguous": False, "metadata": None}
            if is_first and index == 0:
                file.write(small, subfiletype=1, **more)
            file.write(plane, subifds=0 if is_first else 1, **more)
            if not is_first:
                file.write(small, subfiletype=1, **more)
    assert read(path)[0] == greys(0, 10, 20)


def test_the_frames_that_a_cut_stack_still_has(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (4, *TINY), np.uint8), imagej=True)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(OmnitrackError) as caught, open_video(path) as reader:
        list(reader)
        if reader.damage:
            raise OmnitrackError(f"{path}: {reader.damage}", "said")
    assert str(path) in caught.value.message


def test_a_small_file_that_claims_a_huge_picture_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    path = write_single_directory(tmp_path / "a.tif", levels(2))
    data = bytearray(path.read_bytes())
    data[18:22] = data[30:34] = struct.pack(">I", 1 << 20)  # the values of width and height
    path.write_bytes(data)
    with pytest.raises(OmnitrackError, match=r"a\.tif") as caught:
        open_video(path)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["bigtiff", "text as a number"])
def test_offsets_and_types_of_garbage_are_no_fault(tmp_path: Path, name: str) -> None:
    path = write_single_directory(tmp_path / "a.tif", levels(2), "<")
    data = bytearray(path.read_bytes())
    if name == "bigtiff":
        data[:16] = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 1 << 63)
    else:
        data[12:14] = struct.pack("<H", 2)  # the type of a width
    path.write_bytes(data)
    assert read_directory(path).first.get(256) is None
    with pytest.raises(OmnitrackError, match=r"a\.tif"):
        open_video(path)


def test_a_series_of_such_pictures_is_read(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for index in range(2):
        tifffile.imwrite(tmp_path / f"{index}.tif", np.full(TINY, index, np.float16), metadata=None)
    assert read(tmp_path)[0] == greys(0, 255)


# --- without tifffile -------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("without_tifffile")
def test_what_opencv_would_read_wrong_names_the_extra(tmp_path: Path) -> None:
    path = write_single_directory(tmp_path / "a.tif", levels(4))
    with pytest.raises(OmnitrackError, match="4 planes behind one page") as caught:
        open_video(path)
    assert caught.value.hint == 'pip install "omnitrack-video[science]"'


@pytest.mark.usefixtures("without_tifffile")
@pytest.mark.parametrize("name", LAYOUTS)
def test_without_tifffile_a_layout_is_right_or_refused(tmp_path: Path, name: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    values, options, colours, fps, said = LAYOUTS[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, **{"metadata": None, **options})
    try:
        found, rate, text = read(path)
    except OmnitrackError as error:
        assert "omnitrack-video[science]" in str(error.hint)
        assert name not in ("imagej_t", "imagej_z", "deflate", "tiled_bigtiff", "white", "palette")
    else:
        assert (found, rate) == (colours, pytest.approx(fps))
        assert said in text


@pytest.mark.parametrize("names", [("1.tif", "2.tif"), ("1.tif", "2.png")])
def test_stacks_among_images_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    """A folder of stacks would be read as the first page of each."""
    cv2.imwrite(str(tmp_path / names[1]), np.zeros(TINY, np.uint8))
    cv2.imwritemulti(str(tmp_path / names[0]), [np.zeros(TINY, np.uint8)] * 3)
    with pytest.raises(OmnitrackError, match=r"1\.tif holds 3 pictures") as caught, open_video(tmp_path) as reader:
        list(reader)
    assert "1.tif" in str(caught.value.hint)


def test_a_stack_alone_in_its_folder_is_the_video(tmp_path: Path) -> None:
    cv2.imwritemulti(str(tmp_path / "a.tif"), [np.full(TINY, level, np.uint8) for level in (0, 10)])
    assert read(tmp_path)[0] == greys(0, 10)
