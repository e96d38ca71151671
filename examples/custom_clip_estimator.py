"""A custom flow estimator in its full form: it has the whole clip, works in batches and returns a confidence.

The example is phase correlation: the shift, in whole pixels, that turns the spectrum of one patch into that of another.
Each frame is transformed once, however many pairs it is in. Put the class into a package of your own; its
pyproject.toml:

    [project]
    name = "omnitrack-phase"
    version = "1.0"
    dependencies = ["omnitrack"]

    [project.entry-points."omnitrack.flow_estimators"]
    phase = "custom_clip_estimator:PhaseEstimator"

After `pip install`, `omnitrack flow PROJECT --estimator phase` finds it. As a script it estimates a known motion:

    python examples/custom_clip_estimator.py
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack import Clip, FlowEstimate, FlowSettings, synthetic

SIDE, STEP, MARGIN = 32, 16, 8  # pixels: patch side, distance between patches, padding of the frame


class PhaseEstimator:
    """omnitrack calls the class with its flow settings, then `open` with the clip, then `estimate_pairs`."""

    batch_pairs = 8  # preferred number of pairs (source, target) of frame indices per call
    concurrent = False  # only one thread calls it at a time

    def __init__(self, settings: FlowSettings) -> None:
        self.window = np.outer(np.hanning(SIDE), np.hanning(SIDE))

    def open(self, clip: Clip) -> PhaseEstimator:
        """Load weights here (to `clip.device`); raise an OmnitrackError if that fails."""
        self.clip = clip
        self.spectra = lru_cache(maxsize=16)(self._spectra)  # each frame is encoded once
        return self

    def _spectra(self, index: int) -> NDArray[np.complex128]:
        grey = np.pad(cv2.cvtColor(self.clip.frame(index), cv2.COLOR_RGB2GRAY), MARGIN, mode="reflect") / 255
        patches = np.lib.stride_tricks.sliding_window_view(grey, (SIDE, SIDE))[::STEP, ::STEP]
        return np.fft.fft2((patches - patches.mean((2, 3), keepdims=True)) * self.window)

    def estimate_pairs(
        self, pairs: Sequence[tuple[int, int]], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        """Return for each pair the flow (H, W, 2) in pixels, finite, and a confidence (H, W) from 0 to 1, or None."""
        found = []
        for source, target in pairs:
            cross = self.spectra(target) * self.spectra(source).conj()
            peaks = np.fft.fftshift(np.fft.ifft2(cross / (np.abs(cross) + 1e-6)).real, axes=(2, 3))
            best = peaks.reshape(*peaks.shape[:2], -1).argmax(-1)
            shift = np.stack([best % SIDE, best // SIDE], -1).astype(np.float32) - SIDE // 2
            sure = np.clip(4 * peaks.max((2, 3)), 0, 1).astype(np.float32)
            flow, confidence = (np.asarray(cv2.resize(cells, self.clip.size), np.float32) for cells in (shift, sure))
            found.append(FlowEstimate(flow, confidence))
        return found


def main() -> None:
    scene = synthetic.translating_scene((2.0, -1.0), size=(128, 96), num_frames=3)
    clip = Clip(scene.frame, scene.num_frames, scene.size, scene.size)
    for found in PhaseEstimator(FlowSettings()).open(clip).estimate_pairs([(0, 1), (0, 2)], [None, None]):
        print("motion ({:.1f}, {:.1f}) px".format(*np.median(found.flow, axis=(0, 1))))


if __name__ == "__main__":
    main()
