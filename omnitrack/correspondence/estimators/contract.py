"""What an estimator of optical flow offers, in its plain and in its full form, and what it may ask of the clip."""

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
        frame: Gives working frame t as (H, W, 3) uint8 RGB.
        num_frames: T.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video in pixels.
        device: Where an estimator that uses torch computes: ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Hears of downloads.
        memory_gb: That may be taken in all, `memory.max_gb`; see `omnitrack.memory`.
        features: Gives the learned features of frame t, (h, w, C) of unit length or 0; None: there are none.

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
        confidence: (H, W) in [0, 1], 0 where nothing is known or the point is hidden; None where the estimator cannot
            tell, and the cycle check alone decides.
        measured: (H, W, 2) float32, where `flow` says more than was measured: where the search for a farther frame
            begins. None: `flow` is that.

    Example:
        >>> FlowEstimate(np.zeros((48, 64, 2), np.float32)).confidence is None
        True
    """

    flow: NDArray[np.float32]
    confidence: NDArray[np.float32] | None = None
    measured: NDArray[np.float32] | None = None


@runtime_checkable
class FlowEstimator(Protocol):
    """Optical flow of one pair of frames: the plain form. Called from several threads at once.

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
            initial: (H, W, 2) a guess to start from, which an estimator may ignore; it must not be written to.

        Returns:
            (H, W, 2) float32, all finite. The same arguments give the same flow.
        """


class PairEstimator(Protocol):
    """Optical flow between frames of one clip, several pairs at once."""

    @property
    def batch_pairs(self) -> int:
        """Pairs that it likes to be given at once."""

    @property
    def concurrent(self) -> bool:
        """Whether it may be called from several threads at once."""

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> Sequence[FlowEstimate]:
        """The flow of pairs (source, target) of frame indices, each with a guess to start from or None.

        The flow of a pair does not depend on the other pairs.
        """


@runtime_checkable
class ClipEstimator(Protocol):
    """Optical flow by frame index: the full form, for what encodes each frame once, or knows tracks of the clip."""

    def open(self, clip: Clip) -> PairEstimator:
        """Get ready for a clip.

        Raises:
            OmnitrackError: It cannot: a missing file of weights, or tracks of another video.
        """


@dataclass(frozen=True)
class OneByOne:
    """A `FlowEstimator` as a `PairEstimator`."""

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
