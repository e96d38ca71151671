"""Dense features from any network in ONNX format, run by onnxruntime.

The network takes one image (1, 3, H, W) and returns a map (1, C, h, w) or (1, h, w, C), or tokens (1, N, C) that fill a
grid of square patches, after up to `MOST_PREFIX` prefix tokens as in vision transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.features.contract import PUBLISHED_THRESHOLD, unit_length
from omnitrack.correspondence.features.image_network import ImageNetwork, NetworkWords
from omnitrack.errors import OmnitrackError
from omnitrack.settings import FeatureSettings, OnnxFeatureSettings
from omnitrack.weights import identity, locate

MOST_PREFIX = 5  # a class token and four registers
RATIO_TOLERANCE = 0.15  # of the ratio of pixels per cell along y and along x, which rounding makes unequal
WEIGHTS_SETTING = "features.weights"
WORDS = NetworkWords("network", "name another", WEIGHTS_SETTING, "features")


class OnnxExtractor:
    """A `FeatureExtractor` around an ONNX file.

    Args:
        settings: Names the file.
        device: ``cpu``, ``cuda`` or ``cuda:N``; the CPU is used if this onnxruntime does not support CUDA.
        name: Name in the settings.
        fed: Input of the network; None takes it from the settings.
        channels: Required number of feature channels; 0 accepts any number.
        threshold: See `FeatureExtractor`.

    Raises:
        OmnitrackError: No file named, or no such file.
    """

    batch_frames = 1  # exported networks often take no more

    def __init__(
        self,
        settings: FeatureSettings,
        device: str,
        name: str = "onnx",
        fed: OnnxFeatureSettings | None = None,
        channels: int = 0,
        threshold: float = PUBLISHED_THRESHOLD,
    ) -> None:
        self.name, self.threshold = name, threshold
        if not settings.weights:
            raise OmnitrackError(
                f"the feature extractor {name} needs the file of its network: none is published with a checksum",
                f"name one: --set {WEIGHTS_SETTING}={name}.onnx",
            )
        self._network = ImageNetwork(locate(settings.weights, {}, setting=WEIGHTS_SETTING), device, WORDS)
        self.identity = identity(settings.weights, {})
        self._side = settings.side
        self._fed = fed or settings.onnx
        self._channels = channels
        self._output = ""

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return one map (h, w, C) of unit vectors per frame; see `FeatureExtractor`."""
        return [unit_length(self._map(frame)) for frame in frames]

    def _map(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs, size = self._network.run(frame, self._side, self._fed, self._fed.white, self._output)
        if not self._output:
            self._output = self._choose(outputs, size)
            outputs = [outputs[self._network.output_names.index(self._output)]]
        features = dense_map(outputs[0], size)
        assert features is not None  # `_choose` has checked it
        return features

    def _choose(self, outputs: Sequence[NDArray[Any]], size: tuple[int, int]) -> str:
        """Return the name of the output with the features: the one in the settings, or the first that fits."""
        names = self._network.output_names
        wanted = [self._fed.output] if self._fed.output else names
        if not set(wanted) <= set(names):
            raise OmnitrackError(
                f"the network {self._network.path} has no output {self._fed.output!r}",
                f"set features.onnx.output to one of {', '.join(names)}, or leave it empty",
            )
        maps = {name: dense_map(outputs[names.index(name)], size) for name in wanted}
        for name, features in maps.items():
            if features is not None and self._channels in (0, features.shape[-1]):
                return name
        found = ", ".join(f"{name} {list(outputs[names.index(name)].shape)}" for name in wanted)
        expected = f"{self._channels} channels" if self._channels else "[1, C, h, w], [1, h, w, C] or [1, h * w, C]"
        raise OmnitrackError(
            f"the network {self._network.path} gives no map of features ({expected})"
            f" for an image of {size[0]}x{size[1]}: its outputs are {found}",
            f"name another: --set {WEIGHTS_SETTING}=FILE" + ("" if self._channels else " (or see features.onnx)"),
        )


def dense_map(output: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Return a network's output as a map (h, w, C) over its input of `size` (width, height); None if it is not a map.

    If a shape can be read in two ways, channels come first; cells must be about as wide as high.
    """
    width, height = size
    if output.ndim == 4 and output.shape[0] == 1:
        for candidate in (output[0].transpose(1, 2, 0), output[0]):
            rows, columns = candidate.shape[:2]
            if rows <= height and columns <= width:
                ratio = (height / rows) / (width / columns)
                if abs(ratio - 1) < RATIO_TOLERANCE:
                    return np.ascontiguousarray(candidate, np.float32)
    if output.ndim == 3 and output.shape[0] == 1:
        for prefix in range(MOST_PREFIX + 1):
            count = output.shape[1] - prefix
            patch = round(float(np.sqrt(width * height / count))) if count > 0 else 0
            if patch > 0 and (height % patch, width % patch) == (0, 0) and count * patch**2 == width * height:
                tokens = output[0, prefix:].reshape(height // patch, width // patch, -1)
                return np.ascontiguousarray(tokens, np.float32)
    return None
