"""Which settings of dense inverse search are most accurate?

End-point error of the flow at annotated points of a TAP-Vid dataset, for the defaults and for one change at a time, at
gaps of 1, 4, 8 and 16 frames in both directions. All rows use the same frames and points. Errors are in pixels at
256 x 256.

    python tests/benchmarks/flow_settings.py tapvid_davis.pkl
    python tests/benchmarks/flow_settings.py tapvid_davis.pkl --size 854x480 --videos davis01,davis10 --json FILE
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from common import Columns, Report, TableRow, add_videos, chosen_videos, parser_of
from numpy.typing import NDArray

from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.raster import sample
from omnitrack.evaluation.tapvid import TapvidVideo, raster_to_pixels
from omnitrack.settings import DisSettings

GAPS = (1, 4, 8, 16)  # measured
STEPS = (1, 2, 4, 8, 16)  # computed, so that a start can come from half the gap
THRESHOLDS_PX = (1, 2, 4)
SOURCE_STRIDE = 5

Flow = NDArray[np.float32]
Start = Callable[[Flow | None], Flow | None]  # flow at half the gap (None at gap 1) -> initial flow
DEFAULT = DisSettings()


def still(nearer: Flow | None) -> Flow | None:
    """Start from no motion, as the estimator does by default."""
    return None


def nearer_flow(nearer: Flow | None) -> Flow | None:
    """Start from the flow of half the gap."""
    return nearer


def nearer_flow_twice(nearer: Flow | None) -> Flow | None:
    """Start from the flow of half the gap, extrapolated."""
    return None if nearer is None else 2 * nearer


class Contrast:
    """Flow of frames with equalised local mean and contrast."""

    def __init__(self, settings: DisSettings) -> None:
        self._dis = DisEstimator(settings)

    def estimate(self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: Flow | None) -> Flow:
        return self._dis.estimate(self._even(source), self._even(target), initial)

    @staticmethod
    def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        sigma = max(grey.shape) / 32
        off = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
        contrast = np.sqrt(cv2.GaussianBlur(off**2, (0, 0), sigma) + 25)
        even = np.clip(128 + 48 * off / contrast, 0, 255).astype(np.uint8)
        return np.repeat(even[..., None], 3, -1)


class OpenCvStart:
    """Flow by OpenCV without an initial flow, which is not the same as an initial flow of zeros.

    OpenCV tries an initial flow in every patch at every scale, in addition to the estimate of the coarser scale.
    """

    def __init__(self, settings: DisSettings) -> None:
        self._settings = settings

    def estimate(self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: Flow | None) -> Flow:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setFinestScale(self._settings.finest_scale)
        search.setPatchStride(self._settings.patch_stride)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (source, target)]
        return np.asarray(search.calc(grey[0], grey[1], None), np.float32)  # type: ignore[call-overload]


Make = Callable[[DisSettings], DisEstimator | Contrast | OpenCvStart]
VARIANTS: dict[str, tuple[Make, DisSettings, Start]] = {
    "default": (DisEstimator, DEFAULT, still),
    "no initial flow at all": (OpenCvStart, DEFAULT, still),
    "warm start": (DisEstimator, DEFAULT, nearer_flow),
    "warm start, scaled by the gap": (DisEstimator, DEFAULT, nearer_flow_twice),
    "finest_scale 1": (DisEstimator, replace(DEFAULT, finest_scale=1), still),
    "patch_stride 2": (DisEstimator, replace(DEFAULT, patch_stride=2), still),
    "patch_stride 4": (DisEstimator, replace(DEFAULT, patch_stride=4), still),
    "patch_size 12, patch_stride 4": (DisEstimator, replace(DEFAULT, patch_size=12, patch_stride=4), still),
    "gradient_descent_iterations 12": (DisEstimator, replace(DEFAULT, gradient_descent_iterations=12), still),
    "variational_iterations 0": (DisEstimator, replace(DEFAULT, variational_iterations=0), still),
    "variational_iterations 10": (DisEstimator, replace(DEFAULT, variational_iterations=10), still),
    "even local contrast": (Contrast, DEFAULT, still),
}


def errors(video: TapvidVideo, variant: str) -> dict[int, NDArray[np.float64]]:
    """Return end-point errors of one variant at every annotated point, by gap, in pixels at 256 x 256."""
    make, settings, start = VARIANTS[variant]
    estimator = make(settings)
    pixels = raster_to_pixels(video.points, video.size)
    found: dict[int, list[NDArray[np.float64]]] = {gap: [] for gap in GAPS}
    for source in range(0, len(video.frames), SOURCE_STRIDE):
        for direction in (1, -1):
            flow: Flow | None = None
            for gap in STEPS:
                target = source + direction * gap
                if not 0 <= target < len(video.frames):
                    break
                flow = estimator.estimate(video.frames[source], video.frames[target], start(flow))
                seen = ~video.occluded[:, source] & ~video.occluded[:, target]
                if gap in GAPS and seen.any():
                    here = pixels[seen, source].astype(np.float32)
                    off = here + sample(flow, here) - pixels[seen, target]
                    found[gap].append(np.linalg.norm(off * (256 / np.array(video.size)), axis=-1))
    return {gap: np.concatenate(parts) if parts else np.zeros(0) for gap, parts in found.items()}


def measure(videos: list[TapvidVideo], variants: Iterable[str]) -> Iterator[TableRow]:
    """Yield a row per variant: means over the videos of the median error and of the shares within the thresholds."""
    for variant in variants:
        begin = time.perf_counter()
        with ThreadPoolExecutor() as pool:
            of_videos = list(pool.map(lambda video, name=variant: errors(video, name), videos))  # type: ignore[misc]
        row: dict[str, Any] = {"variant": variant}
        for gap in GAPS:
            with_points = [video[gap] for video in of_videos if len(video[gap])]
            row[f"gap {gap} median"] = float(np.mean([np.median(e) for e in with_points]))
            for threshold in THRESHOLDS_PX:
                row[f"gap {gap} within {threshold}"] = float(np.mean([(e < threshold).mean() for e in with_points]))
        row["mean within"] = float(np.mean([row[f"gap {g} within {t}"] for g in GAPS for t in THRESHOLDS_PX]))
        row["seconds"] = time.perf_counter() - begin
        yield row


def columns() -> Columns:
    """Return the columns: for each gap, the median error in pixels and the shares within 1, 2 and 4 px."""
    gaps = {
        f"gap {gap}": f"{{gap {gap} median:.2f}} px, "
        + " ".join(f"{{gap {gap} within {threshold}:.3f}}" for threshold in THRESHOLDS_PX)
        for gap in GAPS
    }
    return {"variant": "{variant}", **gaps, "mean share": "{mean within:.4f}", "seconds": "{seconds:.0f}"}


def resized(video: TapvidVideo, size: tuple[int, int]) -> TapvidVideo:
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in video.frames]
    return replace(video, frames=np.stack(frames))


def main() -> None:
    parser = parser_of(__doc__)
    add_videos(parser)
    parser.add_argument("--size", default="256x256", help="width x height of the frames (256x256)")
    parser.add_argument("--variants", help=f"separated by semicolons (all): {'; '.join(VARIANTS)}")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    videos = [resized(video, (width, height)) for video in chosen_videos(arguments)]
    report = Report(arguments.json, size=[width, height], videos=[video.name for video in videos])
    table = report.table("variants", columns())
    for row in measure(videos, arguments.variants.split(";") if arguments.variants else VARIANTS):
        table.add(row)
    report.write()


if __name__ == "__main__":
    main()
