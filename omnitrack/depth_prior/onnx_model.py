"""Depth by any network in the ONNX format that takes an image (1, 3, H, W) and gives a map of it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.features.network_input import network_input, network_size
from omnitrack.correspondence.features.onnx_model import INPUT_TYPES, open_session
from omnitrack.depth_prior.contract import DEPTH, INVERSE, DepthClip, one_channel
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings
from omnitrack.weights import locate

SETTING = "depth.path"
USUAL_SIDE = 518  # Depth Anything's
# Of exported networks, by what their files are usually called. Metric ones before the relative ones of the same name.
KNOWN = {
    "metric": DEPTH,
    "zoe": DEPTH,
    "unidepth": DEPTH,
    "depth_pro": DEPTH,
    "depth_anything": INVERSE,
    "depthanything": INVERSE,
    "midas": INVERSE,
    "dpt": INVERSE,
}


class OnnxDepth:
    """A `DepthSource` around an ONNX file.

    Args:
        settings: Names the file, and its kind where the file's name does not say it.
        clip: Says the device.

    Raises:
        OmnitrackError: No such file, or nobody knows whether larger is nearer.
    """

    def __init__(self, settings: DepthSettings, clip: DepthClip) -> None:
        self._path = locate(settings.path, {}, setting=SETTING)
        self._settings, self._device = settings, clip.device
        name = self._path.name.lower().replace("-", "_")
        known = next((kind for part, kind in KNOWN.items() if part in name), None)
        kind = known if settings.kind == "auto" else settings.kind
        if kind is None:
            raise OmnitrackError(
                f"nobody knows whether larger is farther or nearer in what {self._path.name} gives",
                "say it: --set depth.kind=depth (larger is farther) or --set depth.kind=inverse",
            )
        self.kind = kind

    def depth(self, t: int, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `DepthSource`."""
        s, entry = self._settings, self._session.get_inputs()[0]
        free = network_size((frame.shape[1], frame.shape[0]), s.side or USUAL_SIDE, s.onnx.multiple)
        height, width = (
            fixed if isinstance(fixed, int) else chosen
            for fixed, chosen in zip(entry.shape[2:], free[::-1], strict=True)
        )
        image = network_input([frame], (width, height), s.onnx.mean, s.onnx.std)
        try:
            output = self._session.run(None, {entry.name: image.astype(INPUT_TYPES[entry.type])})[0]
        except Exception as error:  # onnxruntime's exceptions share no class but Exception
            cause = str(error).partition("\n")[0]
            raise OmnitrackError(
                f"the depth network {self._path} fails on an image of {width}x{height}: {cause}",
                "see depth.side and depth.onnx.multiple for the sizes it is given",
            ) from error
        values = one_channel(np.asarray(output))
        if values is None:
            raise OmnitrackError(
                f"the network {self._path} gives no depth map: its first output has the shape {list(output.shape)}",
                f"name a depth network: --set {SETTING}=FILE",
            )
        return values

    @cached_property
    def _session(self) -> Any:
        session = open_session(self._path, self._device, SETTING)
        inputs = session.get_inputs()
        shape = inputs[0].shape if inputs else []
        takes_image = len(inputs) == 1 and len(shape) == 4 and not (isinstance(shape[1], int) and shape[1] != 3)
        if not takes_image or inputs[0].type not in INPUT_TYPES:
            found = ", ".join(f"{entry.name} {entry.shape} {entry.type}" for entry in inputs)
            raise OmnitrackError(
                f"the network {self._path} does not take one image [1, 3, height, width]: its inputs are {found}",
                f"name a depth network: --set {SETTING}=FILE",
            )
        return session
