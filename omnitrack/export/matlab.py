"""MATLAB: matrices in a .mat file of level 5.

Convention:
    As in MATLAB, frames count from 1, and the first pixel's centre is (1, 1) (intrinsic coordinates, as in `imshow` and
    `insertMarker`), y down. In other units than pixels the first pixel's centre is (0, 0). Pixels are square.

Source:
    MathWorks, MAT-File Format; Image Coordinate Systems, https://www.mathworks.com/help/images.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from omnitrack.errors import OmnitrackError
from omnitrack.export.contract import Trajectories


def matrices(found: Trajectories) -> Iterator[bytes]:
    """Yield a file of named matrices.

    `x`, `y`, `visible`, `confidence`, N x T; `frame` and `seconds`, 1 x T; `name`, `size`, `fps`, `scale`, `unit`.
    Points that are left out are NaN.

    Raises:
        OmnitrackError: scipy is not installed.
    """
    try:
        from scipy.io import savemat
    except ImportError as error:
        raise OmnitrackError(
            "a .mat file is written by scipy, which is not installed", 'pip install "omnitrack-video[matlab]"'
        ) from error
    points = np.where(found.written[..., None], found.points, np.nan) + (found.unit == "px")
    memory = io.BytesIO()
    names = np.empty(len(found), object)
    names[:] = found.names
    values = {
        "x": points[..., 0],
        "y": points[..., 1],
        "visible": found.visible,
        "confidence": np.asarray(found.confidence, np.float64),
        "frame": found.numbers[None].astype(np.float64),
        "seconds": found.seconds[None],
        "name": names[:, None],
        "size": np.array([found.size], np.float64),
        "fps": found.fps,
        "scale": found.scale,
        "unit": found.unit,
    }
    savemat(memory, values)  # compression would halve the file and take ten times as long
    yield memory.getvalue()
