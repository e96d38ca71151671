"""XFeat's dense descriptors: 64 channels for every 8 x 8 pixels, fast on a CPU.

Source:
    Potje et al., XFeat: Accelerated Features for Lightweight Image Matching, CVPR 2024.
"""

from __future__ import annotations

from omnitrack.correspondence.features.onnx_model import OnnxExtractor
from omnitrack.settings import FeatureSettings, OnnxFeatureSettings

CHANNELS = 64
# Measured on the development clips at 256 x 256 (tests/benchmarks/filter_precision.py): the best trade-off
# between precision and recall for chains at 480, 768 and 1024 pixels; larger inputs separate better.
THRESHOLD = 0.65
# XFeat takes grey values of any range and normalises them itself; its pyramid halves an image five times.
FED = OnnxFeatureSettings(multiple=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class XFeatExtractor(OnnxExtractor):
    """XFeat in an ONNX file, exported with its dense descriptors.

    Args:
        settings: Names the file.
        device: See `OnnxExtractor`.
    """

    def __init__(self, settings: FeatureSettings, device: str) -> None:
        super().__init__(settings, device, "xfeat", FED, CHANNELS, THRESHOLD)
