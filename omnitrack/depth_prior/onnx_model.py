"""Depth from any network in ONNX format that takes an image (1, 3, H, W) and returns a map of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.features.image_network import ImageNetwork, NetworkWords
from omnitrack.depth_prior.contract import DEPTH, INVERSE, DepthClip, one_channel
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings
from omnitrack.weights import locate

SETTING = "depth.path"
WORDS = NetworkWords("depth network", "name a depth network", SETTING, "depth")
USUAL_SIDE = 518  # Depth Anything's
# Kinds of exported networks, by their usual file names; metric networks before relative networks of the same name.
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
        settings: Names the file, and its kind if it does not follow from the file's name.
        clip: Contains the device.

    Raises:
        OmnitrackError: No such file, or it is not known whether larger is nearer.
    """

    def __init__(self, settings: DepthSettings, clip: DepthClip) -> None:
        path = locate(settings.path, {}, setting=SETTING)
        self._network, self._settings = ImageNetwork(path, clip.device, WORDS), settings
        name = path.name.lower().replace("-", "_")
        known = next((kind for part, kind in KNOWN.items() if part in name), None)
        kind = known if settings.kind == "auto" else settings.kind
        if kind is None:
            raise OmnitrackError(
                f"it is not known whether larger values of {path.name} are farther or nearer",
                "say it: --set depth.kind=depth (larger is farther) or --set depth.kind=inverse",
            )
        self.kind = kind

    def depth(self, t: int, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `DepthSource`."""
        s = self._settings
        outputs, _ = self._network.run(frame, s.side or USUAL_SIDE, s.onnx)
        output = np.asarray(outputs[0])
        values = one_channel(output)
        if values is None:
            raise OmnitrackError(
                f"the network {self._network.path} gives no depth map:"
                f" its first output has the shape {list(output.shape)}",
                f"name a depth network: --set {SETTING}=FILE",
            )
        return values
