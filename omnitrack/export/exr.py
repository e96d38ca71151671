"""Maps of a field as OpenEXR images: STMaps, motion vectors and mattes.

Convention:
    STMap: red and green are the position from which a pixel's colour is fetched, as fractions of the frame, (0, 0) at
    its bottom left corner, y up; pixel centres are at half pixels, so that ((x + 0.5) / width, 1 - (y + 0.5) / height)
    is the identity. Alpha is the visibility at that position. Motion vectors: the layers `forward` (to the next frame)
    and `backward` (to the previous frame) with channels u and v, in pixels, v up. Mattes: white with alpha,
    premultiplied. Pixels are square, frames have the numbers of the images.

Source:
    Foundry, Nuke reference guide, STMap and VectorBlur,
    https://learn.foundry.com/nuke/content/reference_guide/transform_nodes/stmap.html; layers `forward` and `backward`:
    the same, "Motion vectors". OpenEXR technical introduction, https://openexr.com: names of channels, half floats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.weights import import_extra

HALF, FLOAT = 16, 32  # bits of a channel
Channels = dict[str, NDArray[np.floating]]


def stmap(places: NDArray[np.floating], seen: NDArray[np.floating]) -> Channels:
    """Return channels R, G, B and A of an STMap.

    Args:
        places: (H, W, 2) pixels (x, y) of another frame of this size, y down, centres at integers.
        seen: (H, W) visibility in [0, 1].
    """
    height, width = seen.shape
    red, green = (places[..., 0] + 0.5) / width, 1 - (places[..., 1] + 0.5) / height
    return {"R": red, "G": green, "B": np.zeros_like(red), "A": seen}


def motion_vectors(forward: NDArray[np.floating], backward: NDArray[np.floating]) -> Channels:
    """Return channels of the layers `forward` and `backward` from (H, W, 2) displacements in pixels, y down."""
    named = {"forward": forward, "backward": backward}
    return {f"{layer}.{axis}": sign * flow[..., index] for layer, flow in named.items() for index, axis, sign in UV}


def matte(alpha: NDArray[np.floating]) -> Channels:
    """Return channels R, G, B and A of premultiplied white with `alpha` (H, W) in [0, 1]."""
    return dict.fromkeys("RGBA", alpha)


UV = ((0, "u", 1.0), (1, "v", -1.0))


def load_openexr() -> Any:
    """Return the package OpenEXR.

    Raises:
        OmnitrackError: OpenEXR is not installed.
    """
    return import_extra("OpenEXR", "exr", "an EXR picture")


def write_exr(path: Path, channels: Channels, bits: int) -> None:
    """Write channels (H, W) as scan lines with ZIP compression, as 16-bit or 32-bit floats.

    Raises:
        OmnitrackError: OpenEXR is not installed.
    """
    package = load_openexr()
    kind = np.float16 if bits == HALF else np.float32
    header = {"compression": package.ZIP_COMPRESSION, "type": package.scanlineimage}
    whole = {name: np.ascontiguousarray(values, kind) for name, values in channels.items()}
    package.File(header, whole).write(str(path))
