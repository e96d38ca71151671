"""USD: one `Points` prim with time samples, in the plane z = 0.

Convention:
    A unit is a pixel; (0, 0) is the bottom left corner of the frame, y up (upAxis Y). Time codes are the
    numbers of the image series; frames of a video count from 1. Pixels are square.

Source:
    OpenUSD, UsdGeomPoints and UsdGeomPrimvar, https://openusd.org/release/api/class_usd_geom_points.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from omnitrack.export.contract import Trajectories


def points(found: Trajectories) -> Iterator[str]:
    """Yield Points with `ids`; the primvar `visible` is false if occluded; leaving points out varies their number."""
    numbers = found.numbers.tolist()
    yield (
        '#usda 1.0\n(\n    defaultPrim = "tracks"\n'
        f"    startTimeCode = {numbers[0]}\n    endTimeCode = {numbers[-1]}\n"
        f'    timeCodesPerSecond = {found.fps:.12g}\n    upAxis = "Y"\n)\n\n'
        'def Points "tracks"\n{\n'
        f"    string[] primvars:names = [{', '.join(json.dumps(name, ensure_ascii=False) for name in found.names)}]\n"
        '    float[] widths = [1] (\n        interpolation = "constant"\n    )\n'
    )
    places, ids = found.upward, np.arange(len(found))
    yield "    point3f[] points.timeSamples = {\n"
    for column, number in enumerate(numbers):
        chosen = places[found.written[:, column], column]
        yield f"        {number}: [{('(%.4f, %.4f, 0), ' * len(chosen) % tuple(chosen.ravel().tolist()))[:-2]}],\n"
    yield "    }\n    int64[] ids.timeSamples = {\n"
    for column, number in enumerate(numbers):
        yield f"        {number}: {ids[found.written[:, column]].tolist()},\n"
    yield '    }\n    bool[] primvars:visible (\n        interpolation = "vertex"\n    )\n'
    yield "    bool[] primvars:visible.timeSamples = {\n"
    for column, number in enumerate(numbers):
        seen = found.visible[found.written[:, column], column].astype(int)
        yield f"        {number}: {seen.tolist()},\n"
    yield "    }\n}\n"
