"""A logo carried through a clip by the exported STMap alone, with OpenCV's remap, for visual inspection.

    omnitrack run shared/data/clips/cup.mp4 cup --end 24
    python tests/benchmarks/carried_logo.py cup 0 logo.png --at 325,290 --width 76

Needs OpenEXR. `logo.png` shows six frames of the clip in two rows; the logo is drawn on the reference frame.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from common import parser_of
from numpy.typing import NDArray

import omnitrack

SHOWN = 6


def logo(size: tuple[int, int], at: tuple[int, int], width: int) -> NDArray[np.float32]:
    """Draw a word in a box: (H, W, 4), premultiplied."""
    layer = np.zeros((size[1], size[0], 4), np.uint8)
    x, y, height = at[0], at[1], width * 2 // 5
    blue, white = (26, 77, 255, 255), (255, 255, 255, 255)
    cv2.rectangle(layer, (x, y), (x + width, y + height), blue, -1, cv2.LINE_AA)
    cv2.rectangle(layer, (x + 3, y + 3), (x + width - 3, y + height - 3), white, 1, cv2.LINE_AA)
    cv2.putText(layer, "LOGO", (x + width // 8, y + height * 7 // 10), 0, width / 110, white, 2, cv2.LINE_AA)
    return layer.astype(np.float32) / 255


def warped(layer: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    """Warp the layer by the red and green channels of an STMap, and multiply it by the alpha channel."""
    import OpenEXR

    with OpenEXR.File(str(path), separate_channels=True) as file:
        red, green, alpha = (file.channels()[name].pixels.astype(np.float32) for name in "RGA")
    height, width = red.shape
    fetched = cv2.remap(layer, red * width - 0.5, height - green * height - 0.5, cv2.INTER_LINEAR)
    return np.asarray(fetched * alpha[..., None], np.float32)


def main() -> None:
    parser: argparse.ArgumentParser = parser_of(__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("frame", type=int, help="the reference frame")
    parser.add_argument("output", type=Path)
    parser.add_argument("--at", default="325,290", metavar="X,Y", help="the logo's corner")
    parser.add_argument("--width", type=int, default=76)
    given = parser.parse_args()
    clip = omnitrack.open(given.project)
    size, pictures = clip.project.meta.original_size, []
    x, y = map(int, given.at.split(","))
    layer = logo(size, (x, y), given.width)
    with tempfile.TemporaryDirectory() as folder:
        clip.export(folder, "stmap", frame=given.frame, first_frame=0)
        for frame in np.linspace(0, clip.project.num_frames - 1, SHOWN).round().astype(int).tolist():
            over = warped(layer, Path(folder) / f"stmap.{frame:04d}.exr")
            picture = cv2.resize(clip.project.frame(frame), size)[..., ::-1]
            pictures.append(picture * (1 - over[..., 3:]) + 255 * over[..., :3])
    rows = [np.hstack(pictures[:3]), np.hstack(pictures[3:])]
    cv2.imwrite(str(given.output), np.rint(np.vstack(rows)).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
