"""XFeat's dense descriptors: 64 channels for every 8 x 8 pixels, fast on a CPU.

Source:
    Potje et al., XFeat: Accelerated Features for Lightweight Image Matching, CVPR 2024.
"""

from __future__ import annotations

from omnitrack.correspondence.features.onnx_model import OnnxExtractor
from omnitrack.settings import FeatureSettings, OnnxFeatureSettings

CHANNELS = 64
# Both measured on the development clips of tests/benchmarks (256 x 256): the larger the frames, the better its features
# tell right ends of chains from wrong ones (area under the curve 0.82 at 256, 0.85 at 480, 0.87 at 768).
SIDE = 768
THRESHOLD = 0.65
# It takes grey values of any range, which it normalises itself; its pyramid halves an image five times.
FED = OnnxFeatureSettings(multiple=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class XFeatExtractor(OnnxExtractor):
    """XFeat in an ONNX file, exported with its dense descriptors.

    Args:
        settings: Names the file.
        device: See `OnnxExtractor`.
    """

    def __init__(self, settings: FeatureSettings, device: str) -> None:
        super().__init__(settings, device, "xfeat", FED, CHANNELS, THRESHOLD, SIDE)
