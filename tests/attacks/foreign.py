"""Files of other programs in every format that omnitrack reads, and the command that reads each."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import h5py
import imageio.v3 as imageio
import numpy as np
import torch
from steps import SMALL, Steps

FRAMES, SIZE = 8, (64, 48)  # of the clip in `steps`
_DRAW = np.random.default_rng(0)
PICTURES = _DRAW.integers(0, 256, (FRAMES, SIZE[1], SIZE[0], 3), np.uint8)
POINTS = np.array([[0, 10.5, 12.25], [3, 30, 20]])
TRACKS = _DRAW.uniform(0, 40, (2, FRAMES, 2)).astype(np.float32)
SEEN = np.ones((2, FRAMES), bool)


# --- commands, each in its own folder ----------------------------------------------------------------------------
def as_video(steps: Steps, file: Path) -> list[str]:
    """Make a project of the file."""
    return ["init", str(file), str(file.parent / "made"), *(f"--set={key}={value}" for key, value in SMALL.items())]


def as_series(steps: Steps, file: Path) -> list[str]:
    """Make a project of many copies of the file."""
    shots = file.parent / "shots"
    shots.mkdir()
    for t in range(FRAMES):
        shutil.copy(file, shots / f"shot.{t:04d}{file.suffix}")
    return as_video(steps, shots)


def as_mask(steps: Steps, file: Path) -> list[str]:
    """Query the pixels that the file marks."""
    return ["query", str(steps.before["query"]), "--mask", f"{file}@0", "-o", str(file.parent / "out.npz")]


def as_points(steps: Steps, file: Path) -> list[str]:
    """Query the points in the file."""
    return ["query", str(steps.before["query"]), "--points", str(file), "-o", str(file.parent / "out.npz")]


def as_flow(steps: Steps, file: Path) -> list[str]:
    """Compute flow from the tracks in the file."""
    root = _own(steps, "flow", file)
    return ["flow", str(root), "--set=flow.estimator=tracks", f"--set=flow.tracks.path={file}"]


def as_weights(steps: Steps, file: Path) -> list[str]:
    """Use the file as the weights of a network."""
    root = _own(steps, "flow", file)
    return ["flow", str(root), "--set=flow.estimator=raft", f"--set=flow.raft.weights={file}"]


def as_depth(steps: Steps, file: Path) -> list[str]:
    """Use the file as the depth of every frame."""
    maps = file.parent / "maps"
    maps.mkdir()
    for t in range(FRAMES):
        shutil.copy(file, maps / f"{t}{file.suffix}")
    root = _own(steps, "fit", file)
    return ["fit", str(root), "--steps", "1", "--set=depth.source=folder", f"--set=depth.path={maps}"]


def as_dataset(steps: Steps, file: Path) -> list[str]:
    """Score the simplest baseline on the file."""
    settings = [f"--set={key}={value}" for key, value in SMALL.items()]
    return ["eval", str(file), "--method", "direct", "--resolution", "native", *settings]


def as_settings(steps: Steps, file: Path) -> list[str]:
    """Use the file as the settings of a project."""
    root = _own(steps, "flow", file)
    shutil.copy(file, root / "omnitrack.toml")
    return ["info", str(root)]


def _own(steps: Steps, stage: str, file: Path) -> Path:
    root = file.parent / "clip"
    return root if root.exists() else steps.start(stage, root)


# --- valid files ------------------------------------------------------------------------------------------------
def _video(path: Path) -> None:
    if path.suffix == ".gif":
        imageio.imwrite(path, PICTURES, plugin="pillow", is_batch=True, duration=40)
    else:
        imageio.imwrite(path, PICTURES, fps=25, plugin="FFMPEG", macro_block_size=1)


def _image(path: Path) -> None:
    assert cv2.imwrite(str(path), (PICTURES[0] > 128).astype(np.uint8)[..., 0] * 255)


def _stack(path: Path) -> None:
    assert cv2.imwritemulti(str(path), list(PICTURES))


def _deep(path: Path) -> None:
    assert cv2.imwrite(str(path), PICTURES[0, ..., 0].astype(np.uint16) * 200 + 1000)


def exr(width: int, height: int, rows: list[bytes], compression: int = 3) -> bytes:
    """Return an EXR file with one channel of floats in the given blocks.

    Source:
        OpenEXR File Layout.
    """

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<2I", 20000630, 2) + b"".join(
        [
            attribute("channels", "chlist", b"Y\0" + struct.pack("<i4B2i", 2, 0, 0, 0, 0, 1, 1) + b"\0"),
            attribute("compression", "compression", bytes([compression])),
            attribute("dataWindow", "box2i", window),
            attribute("displayWindow", "box2i", window),
            attribute("lineOrder", "lineOrder", b"\0"),
            attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            b"\0",
        ]
    )
    blocks, places, at = [], [], len(head) + 8 * len(rows)
    for index, row in enumerate(rows):
        places.append(at)
        blocks.append(struct.pack("<2i", index * (16 if compression == 3 else 1), len(row)) + row)
        at += len(blocks[-1])
    return head + struct.pack(f"<{len(places)}Q", *places) + b"".join(blocks)


def _exr(path: Path) -> None:
    depth = PICTURES[0, ..., 0].astype("<f4") + 1
    path.write_bytes(exr(*SIZE, [row.tobytes() for row in depth], compression=0))


def _tiles(path: Path) -> None:
    """Write an image in tiles of half floats, and a part with depth."""
    import OpenEXR

    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    picture = {"compression": OpenEXR.DWAA_COMPRESSION, "type": OpenEXR.tiledimage, "tiles": tiles}
    depth = {"compression": OpenEXR.PIZ_COMPRESSION, "type": OpenEXR.scanlineimage}
    light = (PICTURES[0] / 255).astype(np.float16)
    colours = {name: np.ascontiguousarray(light[..., place]) for place, name in enumerate("RGB")}
    parts = [OpenEXR.Part(picture, colours, "picture"), OpenEXR.Part(depth, {"Z": 1 + light.max(-1)}, "depth")]
    OpenEXR.File(parts).write(str(path))


def _points(path: Path) -> None:
    if path.suffix == ".npy":
        np.save(path, POINTS)
    elif path.suffix == ".npz":
        np.savez_compressed(path, queries=POINTS)
    else:
        path.write_text("track,t,x,y\n" + "".join(f"{n},{t:g},{x},{y}\n" for n, (t, x, y) in enumerate(POINTS)))


def _tracks(path: Path) -> None:
    arrays = {"queries": POINTS, "tracks": TRACKS, "visible": SEEN, "size": np.array(SIZE), "frames": np.arange(FRAMES)}
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".json":
        path.write_text(json.dumps({key: value.tolist() for key, value in arrays.items()}))
    elif path.suffix == ".csv":
        rows = [f"{n},{t},{x:.3f},{y:.3f},1,0.5\n" for n in range(2) for t, (x, y) in enumerate(TRACKS[n])]
        path.write_text("track,frame,x,y,visible,confidence\n" + "".join(rows))
    elif path.suffix == ".pt":
        seen = torch.from_numpy(SEEN.T.copy())[None]
        torch.save(
            {"pred_tracks": torch.from_numpy(TRACKS.transpose(1, 0, 2).copy())[None], "pred_visibility": seen}, path
        )
    else:
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                if key == "size":
                    file.attrs[key] = value
                else:
                    file.create_dataset(key, data=value, chunks=value.shape, compression="gzip", fletcher32=True)


def _weights(path: Path) -> None:
    torch.save({f"fnet.{n}.weight": torch.zeros(4, 4) for n in range(5)}, path)


def _dataset(path: Path) -> None:
    jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in PICTURES]
    truth = {"points": TRACKS / 64, "occluded": ~SEEN}
    path.write_bytes(pickle.dumps({"clip": {"video": PICTURES, **truth}, "other": {"video": jpegs, **truth}}))


def _settings(path: Path) -> None:
    path.write_text('[fit]\nsteps = 10\nmethod = "cadex"\n[fit.cadex]\nhidden = [8, 8]\n[flow]\nestimator = "dis"\n')


Reads = Callable[[Steps, Path], list[str]]
SOUND: dict[str, tuple[Callable[[Path], None], Reads]] = {
    "clip.mp4": (_video, as_video),
    "clip.avi": (_video, as_video),
    "clip.mkv": (_video, as_video),
    "clip.gif": (_video, as_video),
    "stack.tif": (_stack, as_video),
    "mask.png": (_image, as_mask),
    "mask.jpg": (_image, as_mask),
    "mask.bmp": (_image, as_mask),
    "mask.webp": (_image, as_mask),
    "points.npy": (_points, as_points),
    "points.npz": (_points, as_points),
    "points.csv": (_points, as_points),
    "tracks.json": (_tracks, as_points),
    "tracks.csv": (_tracks, as_points),
    "tracks.h5": (_tracks, as_points),
    "flow.npz": (_tracks, as_flow),
    "flow.pt": (_tracks, as_flow),
    "weights.pt": (_weights, as_weights),
    "depth.png": (_deep, as_depth),
    "dataset.pkl": (_dataset, as_dataset),
    "settings.toml": (_settings, as_settings),
}
if find_spec("OpenEXR"):
    SOUND |= {"depth.exr": (_exr, as_depth), "picture.exr": (_tiles, as_series), "parts.exr": (_tiles, as_depth)}


def png(width: int, height: int, filler: bytes = b"\0" * 1000) -> bytes:
    """Return a PNG file whose header claims a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(filler, 9)) + chunk(b"IEND", b"")
    )
