"""Reading OpenEXR: files written by the package, and some that are written here byte by byte."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.depth_prior.folder import read_map
from omnitrack.errors import OmnitrackError
from omnitrack.video import exr
from omnitrack.video.cinema import read_cinema

NONE, ZIPS, ZIP = 0, 2, 3
KINDS = {np.dtype(np.uint32): 0, np.dtype(np.float16): 1, np.dtype(np.float32): 2}
# Largest error of half floats, relative to 1: none if lossless, about 2^-8 for those that quantize.
COMPRESSIONS = {
    **dict.fromkeys(("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24"), 0.0),
    **dict.fromkeys(("B44", "B44A"), 0.01),
    **dict.fromkeys(("DWAA", "DWAB"), 0.02),
    "HTJ2K32": 0.0,
    "HTJ2K256": 0.0,
}
Channels = dict[str, NDArray[Any]]
SHAPE = (37, 53)  # rows and columns: not multiples of a block's or a tile's


@pytest.fixture
def package() -> Any:
    """The package OpenEXR; skips the test without it."""
    return pytest.importorskip("OpenEXR")


def ramp(kind: type = np.float32, shape: tuple[int, int] = SHAPE) -> NDArray[Any]:
    """Return smooth values, from 0.1 to less than 2."""
    return (0.1 + np.add.outer(np.arange(shape[0]), np.arange(shape[1])) / 64).astype(kind)


def attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def packed(plain: bytes) -> bytes:
    """Compress as OpenEXR's ZIP: even bytes, then odd ones, then differences plus 128, then zlib."""
    data = np.frombuffer(plain, np.uint8)
    halves = np.concatenate([data[0::2], data[1::2]]).astype(int)
    coded = halves.copy()
    coded[1:] = (halves[1:] - halves[:-1] + 128) % 256
    return zlib.compress(coded.astype(np.uint8).tobytes())


def by_hand(
    channels: Channels,
    compression: int = NONE,
    corner: tuple[int, int] = (0, 0),
    display: Sequence[int] | None = None,
    halved: Sequence[str] = (),
) -> bytes:
    """Return an image of scan lines, by the format's documentation; channels are stored in the order of their names.

    Args:
        channels: (h, w) each.
        compression: `NONE`, `ZIPS` or `ZIP`.
        corner: (x, y) of the first pixel.
        display: left, top, right, bottom; None for the window of the pixels.
        halved: Channels with every other pixel and row only.

    Source:
        https://openexr.com/en/latest/OpenEXRFileLayout.html.
    """
    channels = dict(sorted(channels.items()))
    height, width = max(values.shape for values in channels.values())
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", KINDS[values.dtype], 0, *[1 + (name in halved)] * 2)
        for name, values in channels.items()
    )
    window = (*corner, corner[0] + width - 1, corner[1] + height - 1)
    head = struct.pack("<II", 20000630, 2)
    head += attribute("channels", "chlist", listed + b"\0")
    head += attribute("compression", "compression", bytes([compression]))
    head += attribute("dataWindow", "box2i", struct.pack("<4i", *window))
    head += attribute("displayWindow", "box2i", struct.pack("<4i", *(display or window)))
    head += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += attribute("screenWindowCenter", "v2f", bytes(8)) + attribute("screenWindowWidth", "float", bytes(4)) + b"\0"
    lines = {NONE: 1, ZIPS: 1, ZIP: 16}[compression]
    blocks = []
    for row in range(0, height, lines):
        plain = b"".join(
            values[line // (1 + (name in halved))].tobytes()
            for line in range(row, min(row + lines, height))
            for name, values in channels.items()
            if name not in halved or line % 2 == 0
        )
        smaller = packed(plain) if compression else plain
        body = smaller if len(smaller) < len(plain) else plain
        blocks.append(struct.pack("<ii", corner[1] + row, len(body)) + body)
    offsets, at = [], len(head) + 8 * len(blocks)
    for block in blocks:
        offsets.append(at)
        at += len(block)
    return head + struct.pack(f"<{len(blocks)}Q", *offsets) + b"".join(blocks)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def header(package: Any, compression: str, tile: int = 0) -> dict[str, Any]:
    """Return a header of scan lines, or of tiles; skip if this version lacks the compression."""
    kind = getattr(package, f"{compression}_COMPRESSION", None)
    if kind is None:
        pytest.skip(f"OpenEXR {package.__version__} has no {compression}")
    made: dict[str, Any] = {"compression": kind, "type": package.scanlineimage}
    if tile:
        tiles = package.TileDescription()
        tiles.xSize = tiles.ySize = tile
        made |= {"type": package.tiledimage, "tiles": tiles}
    return made


@pytest.mark.parametrize("tile", [0, 16], ids=["lines", "tiles"])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression(package: Any, tmp_path: Path, compression: str, kind: type, tile: int) -> None:
    path, values = tmp_path / "a.exr", ramp(kind)
    colours = dict.fromkeys(("R", "G", "B", "Z"), values)
    package.File(header(package, compression, tile), colours).write(str(path))
    limit = COMPRESSIONS[compression] or (2**-15 if compression == "PXR24" else 0)  # of floats it keeps 24 bits
    np.testing.assert_allclose(read_map(path), values.astype(np.float32), atol=limit)
    picture = read_cinema(path)
    assert picture.shape == (*SHAPE, 3) and picture.dtype == np.float32
    np.testing.assert_allclose(picture, np.dstack([values.astype(np.float32)] * 3), atol=limit)


@pytest.mark.parametrize("compression", [NONE, ZIPS, ZIP])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_depth_beside_colours(package: Any, tmp_path: Path, compression: int, kind: type) -> None:
    depth = np.add.outer(np.arange(37), np.arange(21) * 2).astype(kind)
    colour = np.random.default_rng(0).random((37, 21)).astype(np.float16)
    data = by_hand({"R": colour, "ViewLayer.Depth.Z": depth, "B": colour}, compression, corner=(0, -5))
    np.testing.assert_array_equal(read_map(written(tmp_path / "a.exr", data)), depth.astype(np.float32))


def test_which_channel_is_the_depth(package: Any, tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = written(tmp_path / "a.exr", by_hand({"distance": values}))
    np.testing.assert_array_equal(read_map(path), values)  # the only channel
    channels = {"near.distance": values, "G": -values, "Y": 2 * values}
    written(path, by_hand(channels))
    np.testing.assert_array_equal(read_map(path), 2 * values)
    np.testing.assert_array_equal(read_map(path, "near.distance"), values)
    np.testing.assert_array_equal(read_map(path, "distance"), values)
    np.testing.assert_array_equal(read_map(path, "G"), -values)
    with pytest.raises(OmnitrackError, match=r"a\.exr has no channel far: it has G, Y, near\.distance") as caught:
        read_map(path, "far")
    assert "depth.channel" in str(caught.value.hint)
    with pytest.raises(OmnitrackError, match="has no channel of depth: it has G, distance"):
        read_map(written(path, by_hand({"distance": values, "G": values})))


def test_parts_and_layers(package: Any, tmp_path: Path) -> None:
    """The image without a layer comes first, wherever it is; depth is found in any part."""
    path, values = tmp_path / "a.exr", ramp()
    images = {
        "glow": {f"glow.{name}": np.zeros_like(values) for name in "RGB"},
        "beauty": {name: values * (1 + place) for place, name in enumerate("RGB")},
        "depth": {"Z": values + 7},
    }
    parts = [package.Part(header(package, "PIZ"), channels, name) for name, channels in images.items()]
    package.File(parts).write(str(path))
    np.testing.assert_array_equal(read_cinema(path), np.dstack([values, 2 * values, 3 * values]))
    np.testing.assert_array_equal(read_map(path), values + 7)
    written(path, by_hand({f"ViewLayer.Combined.{name}": values for name in "RGBA"} | {"ViewLayer.Depth.Z": values}))
    np.testing.assert_array_equal(read_cinema(path), np.dstack([values] * 3))


def test_a_picture_of_one_channel_is_grey_and_one_of_none_is_refused(package: Any, tmp_path: Path) -> None:
    path, values = tmp_path / "a.exr", ramp()
    for names in (("Y",), ("Y", "A"), ("left.Y", "Z"), ("mist",)):
        written(path, by_hand({name: values if name != "A" else values * 0 for name in names}))
        np.testing.assert_array_equal(read_cinema(path), values[..., None])
    with pytest.raises(OmnitrackError, match=r"a\.exr is not a picture: its channels are N\.X, Z") as caught:
        read_cinema(written(path, by_hand({"N.X": values, "Z": values})))
    assert caught.value.hint == "save the picture as R, G and B"


def test_luminance_is_read_and_colours_of_fewer_pixels_are_named(package: Any, tmp_path: Path) -> None:
    values, half = ramp(shape=(36, 52)), ramp(shape=(18, 26))
    data = by_hand({"Y": values, "RY": half, "BY": half}, halved=["RY", "BY"])
    path = written(tmp_path / "a.exr", data)
    np.testing.assert_array_equal(read_cinema(path), values[..., None])
    with pytest.raises(OmnitrackError, match="fewer colours than pixels"):
        read_map(path, "RY")


def test_a_frame_is_the_display_window(package: Any, tmp_path: Path) -> None:
    """Pixels beyond it are cropped, missing ones are 0."""
    values = ramp(shape=(4, 6))
    path = written(tmp_path / "a.exr", by_hand({"Y": values}, ZIP, corner=(-2, 1), display=(0, 0, 7, 2)))
    expected = np.zeros((3, 8), np.float32)
    expected[1:3, 0:4] = values[0:2, 2:6]
    np.testing.assert_array_equal(read_cinema(path)[..., 0], expected)
    np.testing.assert_array_equal(read_map(path), expected)
    written(path, by_hand({"Y": values}, display=(100, 100, 103, 102)))
    assert not read_cinema(path).any()


def test_what_is_premultiplied_stands_as_it_is_over_black(package: Any, tmp_path: Path) -> None:
    half = np.full((8, 8), 0.5, np.float32)
    path = written(tmp_path / "a.exr", by_hand(dict.fromkeys("RGBA", half)))
    assert read_cinema(path).shape == (8, 8, 3)
    np.testing.assert_array_equal(read_cinema(path), np.full((8, 8, 3), 0.5))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.97])
@pytest.mark.parametrize("tile", [0, 16], ids=["lines", "tiles"])
def test_cut_short(package: Any, tmp_path: Path, share: float, tile: int, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.exr"
    noise = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    package.File(header(package, "ZIP", tile), {"Z": noise}).write(str(path))
    data = path.read_bytes()
    with pytest.raises(OmnitrackError, match=r"a\.exr is damaged or cut short"):
        read_map(written(path, data[: int(len(data) * share)]))
    assert capfd.readouterr() == ("", "")  # the package itself writes to the terminal
    np.testing.assert_array_equal(read_map(written(path, data)), noise)


def test_foreign_deep_or_none(package: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.exr", b"not an image")
    with pytest.raises(OmnitrackError, match="not an OpenEXR file"):
        read_map(path)
    with pytest.raises(OmnitrackError, match=r"cannot read .*none"):
        read_map(tmp_path / "none.exr")
    deep = by_hand({"Z": ramp()}).replace(struct.pack("<II", 20000630, 2), struct.pack("<II", 20000630, 0x802))
    written(path, deep.replace(b"lineOrder\0", attribute("type", "string", b"deepscanline") + b"lineOrder\0", 1))
    with pytest.raises(OmnitrackError, match=r"a\.exr (has deep pixels|is damaged)"):
        read_map(path)


def test_a_claim_is_refused_before_anything_is_read(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITRACK_LIMIT_GIB", "0.001")
    far = by_hand({"Z": ramp()}, display=(0, 0, 99_999, 99_999))  # a frame of 40 GB with few pixels in it
    with pytest.raises(OmnitrackError, match=r"would take .* GiB of memory"):
        read_map(written(tmp_path / "far.exr", far))
    many = by_hand({f"c{number:03d}": ramp() for number in range(200)} | {"Z": ramp()})  # all of them would be decoded
    with pytest.raises(OmnitrackError, match="would take"):
        read_map(written(tmp_path / "many.exr", many[:20_000]))


def test_a_reader_that_dies_is_an_error_and_the_next_file_is_read(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.exr", by_hand({"Z": ramp()}))
    process = exr._ReadingProcess()
    monkeypatch.setattr(exr, "_PROCESS", process)
    monkeypatch.setattr(exr, "_PROGRAM", "import os, sys; sys.stdin.readline(); os.abort()")
    with pytest.raises(OmnitrackError, match="damaged or cut short"):
        read_map(path)
    monkeypatch.undo()
    np.testing.assert_array_equal(read_map(path), ramp())
    process.end()


def test_without_the_package_each_way_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    path = written(tmp_path / "a.exr", by_hand({"Y": ramp()}))
    for read in (read_map, read_cinema):
        with pytest.raises(OmnitrackError, match=r"a\.exr needs the package OpenEXR, which is not inst") as caught:
            read(path)
        assert caught.value.hint == 'pip install "omnitrack-video[exr]"'


@pytest.mark.parametrize("version", ["3.3.14", "1.3.9", None])
def test_a_package_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    old = ModuleType("OpenEXR")
    if version:
        monkeypatch.setattr(old, "__version__", version, raising=False)
    monkeypatch.setitem(sys.modules, "OpenEXR", old)
    with pytest.raises(OmnitrackError, match=f"OpenEXR 3.4 or newer, and {version or 'an older one'} is") as caught:
        read_map(written(tmp_path / "a.exr", by_hand({"Y": ramp()})))
    assert caught.value.hint == 'pip install --upgrade "omnitrack-video[exr]"'


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_a_reader_of_its_own(package: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.exr", by_hand({"Z": ramp()}))
    read_map(path)
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(read_map(path), ramp()) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(read_map(path), ramp())
