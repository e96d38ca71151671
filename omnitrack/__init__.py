"""omnitrack: the motion of every pixel of a video, through the whole clip and through occlusions.

import omnitrack
tracks = omnitrack.open("my-project").query([(0, 120.0, 64.0)])  # rows (t, x, y), pixels of the video
tracks.tracks  # (1, T, 2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from omnitrack.api import OpenProject

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(project: str | Path) -> OpenProject:
    """Open a project directory for queries; see `omnitrack.api.OpenProject`."""
    from omnitrack.api import OpenProject

    return OpenProject(project)
