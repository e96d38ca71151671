"""Depth from OpenEXR files, which are written here byte by byte as the format's documentation says."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.depth_prior.exr import read_exr
from omnitrack.errors import OmnitrackError

NONE, RLE, ZIPS, ZIP = 0, 1, 2, 3
KINDS = {np.dtype(np.uint32): 0, np.dtype(np.float16): 1, np.dtype(np.float32): 2}


def attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def packed(plain: bytes) -> bytes:
    """As OpenEXR's ZIP: even bytes, then odd ones, then differences plus 128, then zlib."""
    data = np.frombuffer(plain, np.uint8)
    halves = np.concatenate([data[0::2], data[1::2]]).astype(int)
    coded = halves.copy()
    coded[1:] = (halves[1:] - halves[:-1] + 128) % 256
    return zlib.compress(coded.astype(np.uint8).tobytes())


def exr(channels: dict[str, NDArray[np.generic]], compression: int, first_line: int = 0, flags: int = 2) -> bytes:
    """An image of scan lines; channels are stored in the order of their names."""
    channels = dict(sorted(channels.items()))
    height, width = next(iter(channels.values())).shape
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", KINDS[values.dtype], 0, 1, 1)
        for name, values in channels.items()
    )
    window = struct.pack("<4i", 0, first_line, width - 1, first_line + height - 1)
    head = struct.pack("<II", 20000630, flags)
    head += attribute("channels", "chlist", listed + b"\0")
    head += attribute("compression", "compression", bytes([compression]))
    head += attribute("dataWindow", "box2i", window) + attribute("displayWindow", "box2i", window)
    head += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    head += b"\0"
    lines = {NONE: 1, RLE: 1, ZIPS: 1, ZIP: 16}[compression]
    blocks = []
    for row in range(0, height, lines):
        plain = b"".join(
            values[line].tobytes() for line in range(row, min(row + lines, height)) for values in channels.values()
        )
        smaller = packed(plain) if compression in (ZIPS, ZIP) else plain
        body = smaller if len(smaller) < len(plain) else plain
        blocks.append(struct.pack("<ii", first_line + row, len(body)) + body)
    offsets, at = [], len(head) + 8 * len(blocks)
    for block in blocks:
        offsets.append(at)
        at += len(block)
    return head + struct.pack(f"<{len(blocks)}Q", *offsets) + b"".join(blocks)


@pytest.mark.parametrize("compression", [NONE, ZIPS, ZIP])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_depth_beside_colours(tmp_path: Path, compression: int, kind: type) -> None:
    depth = np.add.outer(np.arange(37), np.arange(21) * 2).astype(kind)
    colour = np.random.default_rng(0).random((37, 21)).astype(np.float16)
    path = tmp_path / "a.exr"
    path.write_bytes(exr({"R": colour, "ViewLayer.Depth.Z": depth, "B": colour}, compression, first_line=-5))
    np.testing.assert_array_equal(read_exr(path), depth.astype(np.float32))


def test_blocks_that_do_not_get_smaller_are_stored_as_they_are(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, (20, 9), np.uint32)
    path = tmp_path / "a.exr"
    path.write_bytes(exr({"Y": noise}, ZIP))
    np.testing.assert_array_equal(read_exr(path), noise.astype(np.float32))


def test_the_only_channel_is_the_depth_whatever_its_name(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "a.exr"
    path.write_bytes(exr({"distance": values}, NONE))
    np.testing.assert_array_equal(read_exr(path), values)
    path.write_bytes(exr({"distance": values, "G": values}, NONE))
    with pytest.raises(OmnitrackError, match="no channel of depth: it has G, distance"):
        read_exr(path)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    values = np.zeros((4, 4), np.float32)
    path = tmp_path / "a.exr"
    path.write_bytes(exr({"Z": values}, RLE))
    with pytest.raises(OmnitrackError, match="has the compression RLE, which is not read here"):
        read_exr(path)
    path.write_bytes(exr({"Z": values}, NONE, flags=0x202))
    with pytest.raises(OmnitrackError, match="tiles or several parts"):
        read_exr(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_cut_short_or_foreign(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.exr"
    data = exr({"Z": np.random.default_rng(0).random((40, 40)).astype(np.float32)}, ZIP)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(OmnitrackError, match="damaged or cut short"):
        read_exr(path)
    path.write_bytes(b"not an image")
    with pytest.raises(OmnitrackError, match="not an OpenEXR file"):
        read_exr(path)
    with pytest.raises(OmnitrackError, match="cannot read"):
        read_exr(tmp_path / "none.exr")
