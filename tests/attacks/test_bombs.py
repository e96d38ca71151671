"""Small files that claim to be huge are refused from their headers, before memory is allocated for them.

The bound: a file's content may take `OMNITRACK_LIMIT_GIB`, or eight times the file. Anything larger is refused
before the process has allocated more than `MOST_BYTES` plus twice the file. The limit is low here, so that bombs can
be small. Measured is the peak resident memory of the process and of ffmpeg, under a hard limit that would kill it.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from foreign import (
    PICTURES,
    SEEN,
    SOUND,
    TRACKS,
    Reads,
    as_dataset,
    as_depth,
    as_flow,
    as_mask,
    as_points,
    as_settings,
    as_video,
    as_weights,
    exr,
    png,
)
from steps import TIMES, Steps
from zygote import Zygote

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and their memory is measured")
MOST_BYTES = 128 << 20
HARD_BYTES = 3 << 30  # of address space, which includes threads and mapped files
HUGE = 1 << 40


def one_colour_png(path: Path) -> None:
    """Write a PNG whose 8000 x 8000 pixels are all present, compressed to a few kB."""
    path.write_bytes(png(8000, 8000, b"\0" * (8000 * 24001)))


def plain(*parts: bytes) -> Callable[[Path], None]:
    """Return a function that writes bytes."""
    return lambda path: path.write_bytes(b"".join(parts)) and None


def patched(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """Return a function that writes a valid file with some bytes replaced."""

    def write(path: Path) -> None:
        SOUND[name][0](path)
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))

    return write


def avi(path: Path) -> None:
    """Write an AVI file in which every header claims 30000 x 30000."""
    patched("clip.avi", struct.pack("<2I", 64, 48), struct.pack("<2I", 30000, 30000))(path)


def tiff(path: Path) -> None:
    """Write a page of 60000 x 60000 pixels of 16 bits, with one strip of zeros."""
    strip = zlib.compress(bytes(1 << 20), 9)
    tags = [(256, 4, 60000), (257, 4, 60000), (258, 3, 16), (259, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, 60000), (279, 4, len(strip))]
    table = b"".join(struct.pack("<2H2I", tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + table + bytes(4)
    )


def npy_header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


def npz(path: Path) -> None:
    """Write a quarter of a gigabyte of zeros, all present, compressed to a few kB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("queries", "tracks", "visible"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                file.write(npy_header(((1 << 25) // 3, 3)))
                for _ in range(8 if name == "queries" else 1):
                    file.write(bytes(1 << 25))


def hdf5(path: Path, shape: tuple[int, ...] = (HUGE, 3), **options: object) -> None:
    """Write tracks whose queries have 2^40 rows."""
    with h5py.File(path, "w") as file:
        file.create_dataset("queries", shape, "f4", **options)
        file["tracks"], file["visible"] = TRACKS, SEEN


def hdf5_chunk(path: Path) -> None:
    """Write a chunk of one number whose stream decompresses to half a gigabyte."""
    squeeze = zlib.compressobj(9)
    stream = b"".join(squeeze.compress(bytes(1 << 24)) for _ in range(32)) + squeeze.flush()
    with h5py.File(path, "w") as file:
        queries = file.create_dataset("queries", (1, 3), "f4", chunks=(1, 3), compression="gzip")
        queries.id.write_direct_chunk((0, 0), stream)
        file["tracks"], file["visible"] = TRACKS[:1], SEEN[:1]


def tensors(path: Path) -> None:
    """Write a tensor of 2^40 numbers in a storage of one number, with stride 0."""
    torch.save({"pred_tracks": torch.zeros(1).expand(HUGE), "pred_visibility": torch.zeros(1)}, path)


def deflated_tensors(path: Path) -> None:
    """Write a deflated storage of half a gigabyte; torch itself never deflates."""
    sound = io.BytesIO()
    torch.save({"pred_tracks": torch.zeros(1 << 10), "pred_visibility": torch.zeros(1)}, sound)
    with zipfile.ZipFile(sound) as found, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in found.infolist():
            with archive.open(entry.filename, "w", force_zip64=True) as file:
                file.write(found.read(entry))
                for _ in range(16 if entry.filename.endswith("data/0") else 0):
                    file.write(bytes(1 << 25))


def shared_lists(path: Path) -> None:
    """Write 228 bytes that expand to 10^30 items if each is visited."""
    nested: list[object] = []
    for _ in range(100):
        nested = [nested, nested]
    path.write_bytes(pickle.dumps(nested))


def many_times_one_frame(path: Path) -> None:
    """Write a dataset of 100,000 frames that share one JPEG of 1000 x 1000."""
    jpeg = cv2.imencode(".jpg", np.zeros((1000, 1000, 3), np.uint8))[1].tobytes()
    truth = {"points": TRACKS / 64, "occluded": ~SEEN}
    path.write_bytes(pickle.dumps({"clip": {"video": [jpeg] * 100_000, **truth}}))


def huge_image_in_dataset(path: Path) -> None:
    truth = {"points": TRACKS / 64, "occluded": ~SEEN}
    frames = [cv2.imencode(".png", PICTURES[0])[1].tobytes(), png(30000, 30000)]
    path.write_bytes(pickle.dumps({"clip": {"video": frames, **truth}}))


def exr_of_a_huge_frame(path: Path) -> None:
    """Write an EXR whose 4 x 4 pixels are all present, in a frame of 100,000 x 100,000."""
    data = exr(4, 4, [bytes(16)] * 4, compression=0)
    window = b"displayWindow\0box2i\0" + struct.pack("<i", 16)
    at = data.index(window) + len(window)
    path.write_bytes(data[:at] + struct.pack("<4i", 0, 0, 99_999, 99_999) + data[at + 16 :])


BOMBS: dict[str, tuple[str, Callable[[Path], None], Reads]] = {
    "PNG of one colour": ("a.png", one_colour_png, as_video),
    "PNG as a mask": ("a.png", one_colour_png, as_mask),
    "PNG as depth": ("a.png", plain(png(40000, 40000)), as_depth),
    "PNG of 2^31": ("a.png", plain(png(2**31 - 1, 2**31 - 1)), as_video),
    "BMP": (
        "a.bmp",
        plain(b"BM" + struct.pack("<3I", 0, 0, 54), struct.pack("<Iii2H", 40, 60000, -60000, 1, 24), bytes(99)),
        as_mask,
    ),
    "PPM": ("a.ppm", plain(b"P6 99999 99999 255\n", bytes(99)), as_video),
    "JPEG": ("a.jpg", patched("mask.jpg", struct.pack(">2H", 48, 64), struct.pack(">2H", 65500, 65500)), as_mask),
    "TIFF": ("a.tif", tiff, as_video),
    "TIFF as a mask": ("a.tif", tiff, as_mask),
    "EXR": ("a.exr", plain(exr(60000, 60000, [zlib.compress(bytes(1000))])), as_depth),
    "EXR of 2^31": ("a.exr", plain(exr(2**31 - 1, 2**31 - 1, [b"\0" * 9])), as_depth),
    "EXR whose block goes on": ("a.exr", plain(exr(4, 4, [zlib.compress(bytes(1 << 28), 9)])), as_depth),
    "EXR of a huge frame": ("a.exr", exr_of_a_huge_frame, as_video),
    "EXR as a video": ("a.exr", plain(exr(60000, 60000, [zlib.compress(bytes(1000))])), as_video),
    "AVI": ("a.avi", avi, as_video),
    "GIF": ("a.gif", patched("clip.gif", struct.pack("<2H", 64, 48), struct.pack("<2H", 65535, 65535)), as_video),
    "Y4M": ("a.y4m", plain(b"YUV4MPEG2 W200000 H200000 F25:1 C444\nFRAME\n", bytes(999)), as_video),
    "npy": ("a.npy", plain(npy_header((HUGE, 3)), bytes(99)), as_points),
    "npy of an empty axis": ("a.npy", plain(npy_header((0, HUGE))), as_points),
    "npz": ("a.npz", npz, as_points),
    "npz of tracks": ("a.npz", npz, as_flow),
    "HDF5 of 2^40 rows": ("a.h5", lambda path: hdf5(path, chunks=(1 << 16, 3), compression="gzip"), as_points),
    "HDF5 of one chunk": ("a.h5", lambda path: hdf5(path, (1 << 28, 3), chunks=(1 << 28, 3)), as_points),
    "HDF5 chunk that goes on": ("a.h5", hdf5_chunk, as_points),
    "tensor of no stride": ("a.pt", tensors, as_flow),
    "deflated tensors": ("a.pt", deflated_tensors, as_flow),
    "weights of no stride": ("a.pt", tensors, as_weights),
    "pickle of shared lists": ("a.pkl", shared_lists, as_dataset),
    "pickle of a long number": ("a.pkl", plain(b"\x80\x02\x8b\xff\xff\xff\x7f", bytes(99)), as_dataset),
    "pickle of a long text": ("a.pkl", plain(b"\x80\x04\x8d", struct.pack("<Q", HUGE), bytes(99)), as_dataset),
    "pickle of bytearray(4e9)": ("a.pkl", plain(b"cbuiltins\nbytearray\n(I4000000000\ntR."), as_dataset),
    "pickle of deep lists": ("a.pkl", plain(b"\x80\x02", b"]" * 10**5, b"a" * (10**5 - 1), b"."), as_dataset),
    "frames named 100,000 times": ("a.pkl", many_times_one_frame, as_dataset),
    "frame of a dataset": ("a.pkl", huge_image_in_dataset, as_dataset),
    "deep JSON": ("a.json", plain(b"[" * 10**6), as_points),
    "JSON of empty lists": ("a.json", plain(b"[" + b"[]," * (4 << 20) + b"[]]"), as_points),
    "JSON of one long text": (
        "a.json",
        lambda path: path.write_text(json.dumps({"queries": [["x" * 10**6, *"1" * 10**5]]})) and None,
        as_points,
    ),
    "CSV of short lines": ("a.csv", plain(b"t,x,y\n", b"1\n" * (4 << 20)), as_points),
    "CSV of one line": ("a.csv", plain(b"t,x,y\n", b"1," * (4 << 20)), as_points),
    "CSV of far tracks": (
        "a.csv",
        plain(b"track,frame,x,y,visible,confidence\n", *(b"%d,%d,1,1,1,1\n" % (n, n) for n in range(20_000))),
        as_points,
    ),
    "deep TOML": ("omnitrack.toml", plain(b"a = " + b"[" * 10**5), as_settings),
    "long TOML": ("omnitrack.toml", plain(b"a = [" + b"[]," * 10**7), as_settings),
}


@pytest.mark.parametrize("name", [*BOMBS] if TIMES != 1 else [*BOMBS][::2])  # half of them in a normal test run
def test_bombs(steps: Steps, small: Zygote, tmp_path: Path, name: str, tried: Callable[[str], None]) -> None:
    file, write, reads = BOMBS[name]
    write(tmp_path / file)
    ended = small.command(*reads(steps, tmp_path / file), memory=HARD_BYTES)
    assert ended.is_clear, ended.said[-3000:]
    assert ended.status == 1 or "may be damaged" in ended.said, ended.said[-3000:]  # a video's stream has its own size
    assert "out of memory" not in ended.said, ended.said[-3000:]
    allowed = MOST_BYTES + 2 * (tmp_path / file).stat().st_size
    assert ended.took < allowed, f"{ended.took / 2**20:.0f} MiB; {ended.said}"
    assert str(tmp_path) in ended.said
    tried("bombs")
