"""The contract of optical flow estimators, in its plain and its full form, and the clip that they receive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from omnitrack.progress import SILENT, Progress
from omnitrack.settings import MemorySettings

Pair = tuple[int, int]


@dataclass(frozen=True)
class Clip:
    """The video that flow is estimated in.

    Attributes:
        frame: Returns working frame t as (H, W, 3) uint8 RGB.
        num_frames: T.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video in pixels.
        device: Device of estimators that use torch: ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Receives progress updates and messages of downloads.
        memory_gb: Memory limit of the clip in total, `memory.max_gb`; see `omnitrack.memory`.
        features: Returns the learned features of frame t, (h, w, C) of unit length or 0; None: no features.

    Example:
        >>> frames = np.zeros((3, 48, 64, 3), np.uint8)
        >>> clip = Clip(frames.__getitem__, num_frames=3, size=(64, 48), original_size=(64, 48))
        >>> clip.frame(2).shape
        (48, 64, 3)
    """

    frame: Callable[[int], NDArray[np.uint8]]
    num_frames: int
    size: tuple[int, int]
    original_size: tuple[int, int]
    device: str = "cpu"
    progress: Progress = SILENT
    memory_gb: float = MemorySettings().max_gb
    features: Callable[[int], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class FlowEstimate:
    """The flow of one pair of frames.

    Attributes:
        flow: (H, W, 2) float32, all finite: source pixel p is at p + flow[p] in the target.
        confidence: (H, W) in [0, 1], 0 where nothing is known or the point is occluded; None if the estimator does not
            estimate it, so that the cycle check alone decides.
        measured: (H, W, 2) float32, the measured flow if `flow` was altered afterwards; the search for a farther frame
            starts from it. None: `flow` is the measured flow.

    Example:
        >>> FlowEstimate(np.zeros((48, 64, 2), np.float32)).confidence is None
        True
    """

    flow: NDArray[np.float32]
    confidence: NDArray[np.float32] | None = None
    measured: NDArray[np.float32] | None = None


@runtime_checkable
class FlowEstimator(Protocol):
    """Optical flow of one pair of frames: the plain contract; several threads may call it at once.

    Example:
        >>> class Still:
        ...     def estimate(self, source, target, initial=None):
        ...         return np.zeros((*source.shape[:2], 2), np.float32)
        >>> isinstance(Still(), FlowEstimator)
        True
    """

    def estimate(
        self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Estimate where every pixel of one frame is in another.

        Convention:
            Displacements (x, y) in pixels: source pixel p is at p + flow[p] in the target.

        Args:
            source: (H, W, 3) uint8 RGB.
            target: (H, W, 3) uint8 RGB.
            initial: (H, W, 2) initial guess, which an estimator may ignore and must not modify.

        Returns:
            (H, W, 2) float32, all finite. The same arguments give the same flow.
        """


class PairEstimator(Protocol):
    """Optical flow between frames of one clip, several pairs at once."""

    @property
    def batch_pairs(self) -> int:
        """Preferred number of pairs per call."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call it at once."""

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> Sequence[FlowEstimate]:
        """Estimate the flow of pairs (source, target) of frame indices, each with an initial guess or None.

        The flow of a pair does not depend on the other pairs.
        """


@runtime_checkable
class ClipEstimator(Protocol):
    """Optical flow by frame index: the full contract, for estimators that encode each frame once or use tracks."""

    def open(self, clip: Clip) -> PairEstimator:
        """Prepare for a clip.

        Raises:
            OmnitrackError: A file of weights is missing, or the tracks are of another video.
        """


@dataclass(frozen=True)
class OneByOne:
    """A `FlowEstimator` wrapped as a `PairEstimator`."""

    estimator: FlowEstimator
    clip: Clip
    batch_pairs: int = 1
    concurrent: bool = True

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        frame = self.clip.frame
        return [
            FlowEstimate(self.estimator.estimate(frame(source), frame(target), guess))
            for (source, target), guess in zip(pairs, initial, strict=True)
        ]
