"""Put a logo on a moving surface in Nuke, After Effects or Blender: track its four corners and export them.

    python examples/match_move_logo.py my-project shot 100,80@0 220,84@0 218,160@0 98,158@0 --first-frame 1001

The corners are pixels X,Y of frame T. The project must be fitted (`omnitrack run clip.mp4`, or step by step).

shot.nk    Nuke: a CornerPin2D; paste it below the logo, drawn in a full-frame layer over the reference frame
shot.jsx   After Effects: four named nulls; File > Scripts > Run Script File, then pin a Corner Pin effect to them
shot.py    Blender: four markers of the open movie clip; run it in the text editor, then make a plane track from them

Frames in which a corner is hidden are left out of the corner pin, disabled in Blender, and have opacity 0 in After
Effects. Each file uses the origin and y direction of its program; nothing needs converting.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import omnitrack

CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")


def main() -> None:
    parser = argparse.ArgumentParser(description="Four corners for Nuke, After Effects and Blender.")
    parser.add_argument("project", type=Path)
    parser.add_argument("output", type=Path, help="what the three files are called, without a suffix")
    parser.add_argument("corners", nargs=4, metavar="X,Y@T", help=", ".join(CORNERS))
    parser.add_argument("--first-frame", type=int, help="number of the first frame in Nuke (default: the image's own)")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    clip = omnitrack.open(given.project, device=given.device)
    tracks = clip.query(clip.queries(given.corners))
    clip.export(given.output.with_suffix(".nk"), "nuke-cornerpin", tracks, first_frame=given.first_frame)
    clip.export(given.output.with_suffix(".jsx"), tracks=tracks, names=CORNERS)
    clip.export(given.output.with_suffix(".py"), tracks=tracks, names=CORNERS)
    for name, visible in zip(CORNERS, tracks.visible, strict=True):
        print(f"{name}: seen in {visible.sum()} of {len(visible)} frames")


if __name__ == "__main__":
    main()
