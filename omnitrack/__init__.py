"""omnitrack: the motion of every pixel of a video, through the whole clip and through occlusions.

import omnitrack
tracks = omnitrack.open("my-project").query([(0, 120.0, 64.0)])  # rows (t, x, y), pixels of the video
tracks.tracks  # (1, T, 2)

`__all__` is the public API; other modules may change. Names that need numpy, torch or OpenCV are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from omnitrack.api import OpenProject
from omnitrack.api import OpenProject as open
from omnitrack.api import make_project as init
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task

if TYPE_CHECKING:
    from omnitrack import synthetic
    from omnitrack.correspondence.estimators import FlowEstimator, get_estimator
    from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate
    from omnitrack.export.contract import ExportFormat, Trajectories
    from omnitrack.settings import FlowSettings
    from omnitrack.tracks.files import load_tracks, output_format, save_tracks
    from omnitrack.tracks.tracks import Tracks

__version__ = "0.1.0"
__all__ = [
    "Clip",
    "ExportFormat",
    "FlowEstimate",
    "FlowEstimator",
    "FlowSettings",
    "OmnitrackError",
    "OpenProject",
    "Progress",
    "Task",
    "Tracks",
    "Trajectories",
    "__version__",
    "get_estimator",
    "init",
    "load_tracks",
    "open",
    "output_format",
    "save_tracks",
    "synthetic",
]

_HOME = {  # modules of the names that are loaded on first use, with numpy, torch and OpenCV
    "Clip": "omnitrack.correspondence.estimators.contract",
    "ExportFormat": "omnitrack.export.contract",
    "FlowEstimate": "omnitrack.correspondence.estimators.contract",
    "FlowEstimator": "omnitrack.correspondence.estimators",
    "FlowSettings": "omnitrack.settings",
    "Tracks": "omnitrack.tracks.tracks",
    "Trajectories": "omnitrack.export.contract",
    "get_estimator": "omnitrack.correspondence.estimators",
    "load_tracks": "omnitrack.tracks.files",
    "output_format": "omnitrack.tracks.files",
    "save_tracks": "omnitrack.tracks.files",
}


def __getattr__(name: str) -> Any:
    if name == "synthetic":
        return import_module("omnitrack.synthetic")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'omnitrack' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
