"""The program of the process that reads EXR files: it answers requests on standard input until the input ends.

The package OpenEXR is compiled, writes to the terminal past Python, and can crash on a hostile file. It therefore runs
in its own process, which handles only files, headers and numbers. `omnitrack.video.exr` sends the requests.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def serve() -> None:
    """Answer each line of JSON with one line of JSON and the bytes of the pixels, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal: the caller ends this process
    with os.fdopen(os.dup(1), "wb") as answers:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        for line in sys.stdin:
            answer, pixels = _answered(json.loads(line))
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.writelines(plane.data.cast("B") for plane in pixels)
            answers.flush()


def _answered(asked: Mapping[str, Any]) -> tuple[dict[str, Any], Sequence[NDArray[np.float32]]]:
    try:
        if "part" not in asked:
            return {"parts": _parts(asked["path"])}, []
        planes = _planes(asked["path"], asked["part"], asked["channels"])
        return {"shapes": [plane.shape for plane in planes]}, planes
    except Exception as error:  # of any kind: from the library, or from invalid numbers
        return {"error": f"{type(error).__name__}: {error}"}, []


def _parts(path: str) -> list[dict[str, Any]]:
    """Return the header of each part; no pixels are read."""
    import OpenEXR

    found = []
    with OpenEXR.File(path, separate_channels=True, header_only=True) as file:
        for part in file.parts:
            header = part.header
            found.append(
                {
                    "name": str(part.name()),
                    "is_deep": part.type() in (OpenEXR.deepscanline, OpenEXR.deeptile),
                    "channels": [[one.name, one.xSampling, one.ySampling] for one in header["channels"]],
                    **{name: np.ravel(header[name]).tolist() for name in ("dataWindow", "displayWindow")},
                }
            )
    return found


def _planes(path: str, wanted: int, names: Sequence[str]) -> list[NDArray[np.float32]]:
    """Read channels of a part; the package leaves out damaged parts."""
    import OpenEXR

    with OpenEXR.File(path, separate_channels=True) as file:
        part = next(one for one in file.parts if one.part_index == wanted)
        return [np.ascontiguousarray(part.channels[name].pixels, np.float32) for name in names]
