"""The camera motion in the image: one affine map per frame, from a reference frame.

Convention:
    JSON: maps take pixels (x, y) of the reference frame, y down, centres at integers, to pixels of the frame. Nuke:
    (0, 0) is the bottom left corner of the frame, y up, pixel centres at half pixels. Frames have the numbers of the
    image series; frames of a video count from 1. Pixels are square.

Source:
    Foundry, Nuke reference guide, CornerPin2D: an affine map is a special corner pin; `invert` stabilises.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.export.nuke import curve

FORMAT = "omnitrack-camera-1"


@dataclass(frozen=True)
class CameraMotion:
    """The dominant motion of the image.

    Attributes:
        maps: (T, 3, 3) from pixels of the reference frame to pixels of each frame, y down, centres at integers.
        numbers: (T,) frame numbers.
        reference: Number of the reference frame.
        size: (width, height) in pixels.
        fps: Frames per second.
    """

    maps: NDArray[np.float64]
    numbers: NDArray[np.int64]
    reference: int
    size: tuple[int, int]
    fps: float


def camera_json(camera: CameraMotion) -> str:
    """Return one object: format, size, fps, reference frame, and one 2 x 3 matrix per frame."""
    rows = zip(camera.numbers.tolist(), camera.maps[:, :2].tolist(), strict=True)
    frames = ",\n".join(json.dumps({"frame": number, "matrix": matrix}) for number, matrix in rows)
    head = {"format": FORMAT, "size": camera.size, "fps": camera.fps, "reference_frame": camera.reference}
    return f'{json.dumps(head)[:-1]}, "frames": [\n{frames}\n]}}\n'


def camera_nuke(camera: CameraMotion) -> str:
    """Return a CornerPin2D that moves anything drawn on the reference frame with the camera."""
    width, height = camera.size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)  # from the bottom left, y up
    down = np.column_stack([corners[:, 0] - 0.5, height - corners[:, 1] - 0.5, np.ones(4)])
    moved = np.einsum("tij,kj->tki", camera.maps, down)[..., :2] + 0.5
    moved[..., 1] = height - moved[..., 1]
    knobs = [
        f"to{place + 1} {{{curve(camera.numbers, moved[:, place, 0])} {curve(camera.numbers, moved[:, place, 1])}}}"
        for place in range(4)
    ]
    knobs += [f"from{place + 1} {{{x:g} {y:g}}}" for place, (x, y) in enumerate(corners.tolist())]
    label = f'label "reference frame {camera.reference}"'
    return "CornerPin2D {\n" + "\n".join([*knobs, label, "name omnitrack_camera"]) + "\n}\n"
