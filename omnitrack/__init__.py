"""omnitrack: the motion of every pixel of a video, through the whole clip and through occlusions.

import omnitrack
tracks = omnitrack.open("my-project").query([(0, 120.0, 64.0)])  # rows (t, x, y), pixels of the video
tracks.tracks  # (1, T, 2)
"""

from __future__ import annotations

from omnitrack.api import OpenProject
from omnitrack.api import OpenProject as open
from omnitrack.api import make_project as init

__version__ = "0.1.0"
__all__ = ["OpenProject", "__version__", "init", "open"]
