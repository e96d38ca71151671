"""Evidence for and against a measured hop, without ground truth: its own consistency, and detours to the same frame.

A false hop can pass its own cycle check: both directions make the same mistake. It rarely agrees by chance with a hop
that was measured between other frames. So each hop k -> t over g frames is compared with three detours:

    steps    k -> k + 1 -> ... -> t         the chain of adjacent hops
    halves   k -> k + g/2 -> t              two hops of half the length
    beyond   k -> k + 2g -> t               one of twice the length, and back

None of them is always right. Which one to trust is learned from scenes with ground truth (`hop_reliability.py`), from
all of the numbers below together: how far apart the landing positions are, which of them matches the start in
appearance, and how consistent each path is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches, Patches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.consistency import Hop, double_cycle_error, take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array, CoarseGrid, lengths, sample
from omnitrack.units import raster_scale

# All lengths at 256 x 256.
CONSISTENT_PX = 2.0  # cycle error below which a hop may be compared with another
STEP_CONSISTENT_PX = 1.0  # ... of each adjacent hop of a chain
DISAGREEMENT_PX = 3.0  # distance between a hop and the chain of adjacent hops above which one of the two is wrong
MOST_ERROR_PX, MOST_DISTANCE_PX = 20.0, 50.0  # larger values count as these
NEIGHBOUR_PX = 4.0  # distance over which the flow's change is measured
POOL_PX = 12.0  # standard deviation of the neighbourhood whose hops are counted
PRIOR_COUNT = 4.0  # weight of the whole clip's share, in comparisons
LONGEST_CHAIN = 16  # adjacent hops: longer chains have drifted too far to be evidence
PROBES = 8  # source frames from which the clip's shares are estimated

Shares = Mapping[int, tuple[float, float]]  # by gap: share of hops that chains contradict, share of inconsistent hops
OWN = ("gap", "cycle", "double_cycle", "speed", "displacement", "likeness", "texture", "unlike_first_step",
       "unlike_last_step", "gradient_here", "gradient_there", "border")  # fmt: skip
DETOURS = ("steps", "halves", "beyond")
OF_DETOUR = ("there", "distance", "likeness_gain", "error")
POOLED = ("contradicted_here", "contradicted", "inconsistent_here", "inconsistent")
NAMES = (*OWN, *(f"{detour}_{name}" for detour in DETOURS for name in OF_DETOUR), *POOLED)


@dataclass(frozen=True)
class Detour:
    """Another path to the target of a hop.

    Attributes:
        pixels: (P, 2) where it ends.
        there: (P,) bool, whether all of its hops are consistent.
        error: (P,) cycle error of the path, in pixels at 256 x 256.
    """

    pixels: Array
    there: NDArray[np.bool_]
    error: Array


def log_px(values: NDArray[np.floating], floor: float) -> Array:
    """Logarithm of lengths or ratios, flat below `floor`."""
    return np.asarray(np.log(values + floor), np.float32)


class HopEvidence:
    """Collects the evidence on the hops from one frame at a time; frames do not depend on each other.

    Args:
        flows: Pairwise flow.
        num_frames: T.
        frames: The T frames.
    """

    def __init__(self, flows: FlowSource, num_frames: int, frames: BlurredFrames) -> None:
        self._flows = flows
        self._num_frames = num_frames
        self._patches = FramePatches(frames)
        self._scale = raster_scale(flows.size)
        self.grid = CoarseGrid.of(flows.size)
        self._probed: dict[int, dict[int, _Judged]] = {}  # results of `shares`, reused by `of`

    def shares(self, targets: Callable[[int], list[int]]) -> dict[int, tuple[float, float]]:
        """Estimate the clip's `Shares` for each gap from a few of its frames.

        Args:
            targets: Returns the frames that a given frame has hops to.
        """
        counts: dict[int, list[Array]] = {}
        for source in np.unique(np.linspace(0, self._num_frames - 1, PROBES).astype(int)):
            found = self._probed[int(source)] = self._all(int(source), targets(int(source)))
            for target, (_, compared, contradicted, consistent) in found.items():
                row = np.array([contradicted.sum(), compared.sum(), (~consistent).sum(), consistent.size], np.float32)
                counts.setdefault(abs(target - int(source)), []).append(row)
        sums = {gap: np.sum(rows, axis=0) for gap, rows in counts.items()}
        return {gap: (float(a / max(b, 1)), float(c / max(d, 1))) for gap, (a, b, c, d) in sums.items()}

    def of(self, source: int, targets: list[int], shares: Shares) -> dict[int, Array]:
        """Evidence (P, F) on the hops from each grid place of frame `source`, by target; columns as in `NAMES`."""
        found = {}
        judged = self._probed.pop(source, None)
        if judged is None or judged.keys() != set(targets):
            judged = self._all(source, targets)
        for target, (columns, compared, contradicted, consistent) in judged.items():
            clip_contradicted, clip_inconsistent = shares.get(abs(target - source), (0.0, 0.0))
            against, comparisons = self._pooled(contradicted), self._pooled(compared)
            columns["contradicted_here"] = (against + PRIOR_COUNT * clip_contradicted) / (comparisons + PRIOR_COUNT)
            columns["contradicted"] = np.full(len(against), clip_contradicted)
            columns["inconsistent_here"] = self._pooled(~consistent) / self._pooled(np.ones_like(consistent))
            columns["inconsistent"] = np.full(len(against), clip_inconsistent)
            found[target] = np.stack([columns[name] for name in NAMES], 1).astype(np.float32)
        return found

    # --- all targets of a frame in one direction ------------------------------------------------------------------
    def _all(self, source: int, targets: list[int]) -> dict[int, _Judged]:
        found: dict[int, _Judged] = {}
        for direction in (1, -1):
            hops = {
                target: take_hop(self._flows, source, target, self.grid.pixels)
                for target in targets
                if (target - source) * direction > 0 and self._both_ways(source, target)
            }
            if hops:
                found |= self._side(source, direction, hops)
        return found

    def _side(self, source: int, direction: int, hops: Mapping[int, Hop]) -> dict[int, _Judged]:
        patches = self._patches.patches(source, self.grid.pixels)
        texture = log_px(patches.contrast(), 1.0)
        chains = self._chains(source, direction, {abs(target - source) for target in hops})
        first = hops.get(source + direction)
        found = {}
        for target, hop in hops.items():
            columns = self._own(source, target, hop, first)
            columns["likeness"] = likeness = self._patches.similarity(patches, target, hop.pixels)
            columns["texture"] = texture
            detours = {
                "steps": chains.get(abs(target - source)),
                "halves": self._by_way_of(source + direction * (abs(target - source) // 2), target, hops),
                "beyond": self._by_way_of(2 * target - source, target, hops),
            }
            for name, detour in detours.items():
                values = self._held_against(hop, detour, patches, likeness, target)
                columns |= {f"{name}_{of}": value for of, value in zip(OF_DETOUR, values, strict=True)}
            consistent = (self._px(hop.cycle_error) < CONSISTENT_PX) & hop.inside
            compared, contradicted = _contradicted(hop, detours["steps"], consistent, self._scale)
            found[target] = columns, compared, contradicted, consistent
        return found

    def _own(self, source: int, target: int, hop: Hop, first: Hop | None) -> dict[str, Array]:
        """Evidence from the hop itself: columns (P,) by name."""
        at, (width, height) = self.grid.pixels, self._flows.size
        gap, moved = abs(target - source), hop.pixels - at
        length = self._px(lengths(moved))
        direction = 1 if target > source else -1
        unlike_first, unlike_last = np.zeros(len(at), np.float32), np.zeros(len(at), np.float32)
        if first is not None:
            unlike_first = self._px(lengths(moved / gap - (first.pixels - at)))
        if self._flows.has(target, target - direction):
            back = sample(self._flows.flow(target, target - direction), hop.pixels)
            unlike_last = self._px(lengths(moved / gap + back))
        x, y = hop.pixels.T
        border = self._px(np.minimum.reduce([x + 0.5, width - 0.5 - x, y + 0.5, height - 0.5 - y]))
        return {
            "gap": np.full(len(at), np.log2(gap), np.float32),
            "cycle": log_px(self._most(hop.cycle_error), 0.05),
            "double_cycle": log_px(self._most(double_cycle_error(self._flows, source, target, hop)), 0.05),
            "speed": log_px(length / gap, 0.1),
            "displacement": log_px(length, 0.5),
            "unlike_first_step": log_px(unlike_first, 0.1),
            "unlike_last_step": log_px(unlike_last, 0.1),
            "gradient_here": log_px(self._gradient(self._flows.flow(source, target), at), 0.1),
            "gradient_there": log_px(self._gradient(self._flows.flow(target, source), hop.pixels), 0.1),
            "border": np.asarray(np.clip(border, -5, 20) / 10, np.float32),
        }

    def _gradient(self, flow: Array, pixels: Array) -> Array:
        """Largest change (P,) of the flow around pixels (P, 2), in pixels at 256 x 256."""
        here, step = sample(flow, pixels), NEIGHBOUR_PX * self._scale
        around = [pixels + np.array(o, np.float32) for o in ((step, 0), (-step, 0), (0, step), (0, -step))]
        return self._px(np.max([lengths(sample(flow, p) - here) for p in around], axis=0))

    # --- detours --------------------------------------------------------------------------------------------------
    def _chains(self, source: int, direction: int, gaps: set[int]) -> dict[int, Detour]:
        """Chains of adjacent hops over each of `gaps`, except gaps of 1 and above `LONGEST_CHAIN`."""
        pixels, there = self.grid.pixels, np.ones(len(self.grid.pixels), bool)
        variance, chains = np.zeros(len(pixels), np.float32), {}
        for gap in range(1, max((g for g in gaps if g <= LONGEST_CHAIN), default=0) + 1):
            start = source + direction * (gap - 1)
            if not self._both_ways(start, start + direction):
                break
            hop = take_hop(self._flows, start, start + direction, pixels)
            error = self._most(hop.cycle_error)
            there = there & (error < STEP_CONSISTENT_PX) & hop.inside
            pixels, variance = hop.pixels, variance + error**2
            if gap > 1 and gap in gaps:
                chains[gap] = Detour(pixels, there, np.sqrt(variance))
        return chains

    def _by_way_of(self, between: int, target: int, hops: Mapping[int, Hop]) -> Detour | None:
        """Two hops by way of the frame `between`; None if that is not a frame, or the hops are not measured."""
        if between == target or between not in hops or not self._both_ways(between, target):
            return None
        first = hops[between]
        second = take_hop(self._flows, between, target, first.pixels)
        error = self._most(np.maximum(first.cycle_error, second.cycle_error))
        return Detour(second.pixels, (error < CONSISTENT_PX) & first.inside & second.inside, error)

    def _held_against(
        self, hop: Hop, detour: Detour | None, patches: Patches, likeness: Array, target: int
    ) -> tuple[Array, Array, Array, Array]:
        """The columns `OF_DETOUR`; where the detour is not consistent, all but the error are zero."""
        if detour is None:
            nothing = np.zeros(len(likeness), np.float32)
            return nothing, nothing, nothing, nothing
        there = detour.there.astype(np.float32)
        apart = np.minimum(self._px(lengths(detour.pixels - hop.pixels)), MOST_DISTANCE_PX)
        gain = self._patches.similarity(patches, target, detour.pixels) - likeness
        return there, there * log_px(apart, 0.3), there * gain, log_px(detour.error, 0.05)

    # --- units and places -----------------------------------------------------------------------------------------
    def _both_ways(self, source: int, target: int) -> bool:
        inside = 0 <= source < self._num_frames and 0 <= target < self._num_frames
        return inside and self._flows.has(source, target) and self._flows.has(target, source)

    def _px(self, lengths: NDArray[np.floating]) -> Array:
        """Convert lengths in pixels of the frame to pixels at 256 x 256."""
        return np.asarray(lengths / self._scale, np.float32)

    def _most(self, errors: Array) -> Array:
        return np.minimum(self._px(errors), MOST_ERROR_PX)

    def _pooled(self, marks: NDArray[np.bool_]) -> Array:
        """Number (P,) of marked grid places around each, in a Gaussian window."""
        sigma = POOL_PX * self._scale / self.grid.stride
        image = marks.reshape(self.grid.shape).astype(np.float32)
        blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred.ravel() * (2 * np.pi * sigma**2), np.float32)


# Columns (P,) by name, and bool (P,): hops compared with their chains; those contradicted by them; consistent hops.
_Judged = tuple[dict[str, Array], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


def _contradicted(
    hop: Hop, chain: Detour | None, consistent: NDArray[np.bool_], scale: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Places (P,) whose hop is compared with the chain of adjacent hops: both consistent; and places that disagree."""
    if chain is None:
        return np.zeros_like(consistent), np.zeros_like(consistent)
    compared = chain.there & consistent
    apart = lengths(hop.pixels - chain.pixels) / scale
    return compared, compared & (apart > DISAGREEMENT_PX + 2 * chain.error)
