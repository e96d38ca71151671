"""OpenCV's dense inverse search, for frames of any size.

Source:
    Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.photometric import has_lower_error
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DisSettings

SEARCH = "once from the better of two rough ones"  # part of the stamp: flow of another search is recomputed
_MIN_PATCHES = 4  # patches along the shortest side at the finest level; with fewer OpenCV fails or picks other levels
_MOST_ENLARGED = 2.0  # more adds no detail, and the time grows with the square
_MAX_PATCH_SPAN_PX = 256  # largest side of a patch, in pixels of the frame, at the finest level
_LOOK_SIGMA_PX = 4.0  # of the Gaussian window in which two flows are compared


class DisEstimator:
    """Dense inverse search: the medium preset of OpenCV, overridden by `DisSettings`.

    A pair with an initial guess is also searched from zero motion (`two_starts`): a guess leads to large motions that
    the search alone does not find, but also repeats earlier errors that it would not make. Both searches are rough, one
    level coarser and without variational refinement. The final search starts, at each pixel, from the flow with
    the lower photometric error around it.

    The result does not depend on the number of threads (OpenCV cuts the image into a fixed number of stripes).

    Raises:
        OmnitrackError: The patches leave gaps between them, or are too large.
    """

    def __init__(self, settings: DisSettings) -> None:
        if settings.patch_stride > settings.patch_size:
            raise OmnitrackError(
                f"flow.dis.patch_stride is {settings.patch_stride}, more than patch_size {settings.patch_size}:"
                " pixels between the patches would have no flow",
                f"set flow.dis.patch_stride to at most {settings.patch_size}",
            )
        if settings.patch_size * 2**settings.finest_scale > _MAX_PATCH_SPAN_PX:
            raise OmnitrackError(
                f"flow.dis.finest_scale {settings.finest_scale} with patch_size {settings.patch_size} makes patches of"
                f" {settings.patch_size * 2**settings.finest_scale} pixels, too coarse for flow",
                "set flow.dis.finest_scale to 0 (the most accurate), 1 or 2",
            )
        self._settings = settings
        self._rough = replace(settings, finest_scale=settings.finest_scale + 1, variational_iterations=0)
        self._own = threading.local()  # an OpenCV search holds buffers: one search per thread

    def estimate(
        self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Estimate the flow (H, W, 2) from `source` to `target`; see `FlowEstimator`."""
        size = source.shape[1::-1]
        larger = self._enlarged(size)
        if larger == size:
            return self._best(source, target, initial)
        scale = np.array(larger, np.float32) / np.array(size, np.float32)
        first, second = (np.asarray(cv2.resize(f, larger, interpolation=cv2.INTER_CUBIC)) for f in (source, target))
        start = None if initial is None else np.asarray(cv2.resize(initial, larger)) * scale
        flow = cv2.resize(self._best(first, second, start), size, interpolation=cv2.INTER_AREA)
        return np.asarray(flow / scale, np.float32)

    def _enlarged(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (width, height) at which a frame is searched: patches of 8 px are coarse for a small one."""
        scale = min(max(1.0, self._settings.side / min(size)), _MOST_ENLARGED)
        return round(size[0] * scale), round(size[1] * scale)

    def _best(self, source: NDArray[Any], target: NDArray[Any], initial: NDArray[Any] | None) -> NDArray[np.float32]:
        if initial is None or not self._settings.two_starts:
            return self._estimate(source, target, initial)
        led, anew = (self._estimate(source, target, start, self._rough) for start in (initial, None))
        better = has_lower_error(source, target, anew, led, _LOOK_SIGMA_PX)
        return self._estimate(source, target, np.where(better[..., None], anew, led))

    def _estimate(
        self,
        source: NDArray[Any],
        target: NDArray[Any],
        initial: NDArray[Any] | None,
        settings: DisSettings | None = None,
    ) -> NDArray[np.float32]:
        settings = settings or self._settings
        height, width = source.shape[:2]
        side = _MIN_PATCHES * settings.patch_size * 2**settings.finest_scale
        pad = (max(0, side - height), max(0, side - width))
        flow = np.zeros((height, width, 2), np.float32)  # zeros, too, are tried in every patch at every scale
        if initial is not None:
            flow[:] = initial
        images = [_pad(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), pad) for frame in (source, target)]
        flow = np.asarray(self._search(settings).calc(images[0], images[1], _pad(flow, pad)), np.float32)
        return np.ascontiguousarray(flow[:height, :width])

    def _search(self, settings: DisSettings) -> cv2.DISOpticalFlow:
        searches: dict[DisSettings, cv2.DISOpticalFlow] = self._own.__dict__.setdefault("searches", {})
        if settings not in searches:
            search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            search.setFinestScale(settings.finest_scale)
            search.setPatchSize(settings.patch_size)
            search.setPatchStride(settings.patch_stride)
            search.setGradientDescentIterations(settings.gradient_descent_iterations)
            search.setVariationalRefinementIterations(settings.variational_iterations)
            searches[settings] = search
        return searches[settings]


def _pad(image: NDArray[Any], pad: tuple[int, int]) -> NDArray[Any]:
    if pad == (0, 0):
        return image
    return np.pad(image, [(0, pad[0]), (0, pad[1]), (0, 0)][: image.ndim], mode="edge")
