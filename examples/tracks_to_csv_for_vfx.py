"""Tracks for compositing: one text file per track, for Nuke or for After Effects.

    omnitrack query my-project --point 320,180@0 -o tracks.npz
    python examples/tracks_to_csv_for_vfx.py tracks.npz nuke-tracks --format nuke --first-frame 1001

nuke   lines `frame x y`, for "Import ASCII file" of a tracker's track or of any 2D position curve.
ae     After Effects keyframe data: copy the file's text, select a null or a layer, paste.

Where (0, 0) is differs. omnitrack: centre of the top left pixel, y down. After Effects: top left corner, y down, so
x + 0.5 and y + 0.5. Nuke: bottom left corner, y UP, so x + 0.5 and height - 0.5 - y. Frames in which the point is
hidden are left out, so that the program interpolates; --hidden writes them too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack import Tracks, load_tracks

AE_HEAD = """Adobe After Effects 8.0 Keyframe Data

\tUnits Per Second\t{fps:g}
\tSource Width\t{width}
\tSource Height\t{height}
\tSource Pixel Aspect Ratio\t1
\tComp Pixel Aspect Ratio\t1

Transform\tPosition
\tFrame\tX pixels\tY pixels\tZ pixels\t
"""


def nuke_text(frames: NDArray[np.int64], pixels: NDArray[np.float32], tracks: Tracks) -> str:
    """Lines `frame x y` of one track, y up from the bottom left corner."""
    height = tracks.size[1]
    return "".join(f"{t} {x + 0.5:.4f} {height - 0.5 - y:.4f}\n" for t, (x, y) in zip(frames, pixels, strict=True))


def after_effects_text(frames: NDArray[np.int64], pixels: NDArray[np.float32], tracks: Tracks) -> str:
    """Position keyframes of one track, y down from the top left corner."""
    rows = (f"\t{t}\t{x + 0.5:.4f}\t{y + 0.5:.4f}\t0\t\n" for t, (x, y) in zip(frames, pixels, strict=True))
    head = AE_HEAD.format(fps=tracks.fps, width=tracks.size[0], height=tracks.size[1])
    return head + "".join(rows) + "\nEnd of Keyframe Data\n"


FORMATS: dict[str, Callable[[NDArray[np.int64], NDArray[np.float32], Tracks], str]] = {
    "nuke": nuke_text,
    "ae": after_effects_text,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="One text file per track, for compositing programs.")
    parser.add_argument("tracks", type=Path, help="tracks.npz, .json or .h5 (a .csv does not know the frame's height)")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=FORMATS, default="nuke")
    parser.add_argument("--first-frame", type=int, default=0, help="number of the project's frame 0 in your program")
    parser.add_argument("--hidden", action="store_true", help="write the frames in which the point is hidden too")
    given = parser.parse_args()
    tracks = load_tracks(given.tracks)
    if not tracks.size[1]:
        parser.error(f"{given.tracks} does not say how large the frame is: query to .npz instead")
    given.folder.mkdir(parents=True, exist_ok=True)
    for index, (pixels, visible) in enumerate(zip(tracks.tracks, tracks.visible, strict=True)):
        kept = visible | given.hidden
        text = FORMATS[given.format](tracks.frames[kept] + given.first_frame, pixels[kept], tracks)
        (given.folder / f"track_{index:04d}.txt").write_text(text)


if __name__ == "__main__":
    main()
