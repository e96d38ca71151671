"""Depth maps from other sources, and how far a clip's own motion supports them.

A depth prior may be wrong in any way: upside down, of other frames, or noise. So it is tested before it is used. Its
frames are aligned to one scale along the correspondences; then it has to pass three tests. Does a point keep its depth
along its track? Do depths move with moving points, rather than stay or go elsewhere? If one surface occludes another,
is it nearer, at least as often as in depth from motion? If the prior passes, in the whole clip and around a point, it
replaces the depth from motion at that point; a prior that fails leaves it unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.along_tracks import among_alike, sum_along_tracks
from omnitrack.optimize.camera_motion import camera_motion
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_alignment import align_frames
from omnitrack.optimize.depth_from_motion import depth_by_motion, of_all_frames
from omnitrack.optimize.occlusion_order import FAR, NEAR, HiddenEntries
from omnitrack.units import raster_scale

LEAST_SHARE = 0.05  # of the median depth: smaller depths are raised to this, so that the inverse stays finite
ENDS = 0.02, 0.98  # quantiles of the clip's depth that become NEAR and FAR
BEYOND = 0.1  # of the range, by which depths may lie beyond NEAR and FAR
UNLIKE_MOTION = 0.25  # of the range: with a larger difference, two surfaces, not one that seems to occlude itself
UNLIKE_DEPTH = 0.1  # of the range: a larger difference between two depths is not noise
CLEAR_STEP = 0.2  # of the range: from this difference on, a prior is certain which of two surfaces is in front
ORDER_TRUST = 0.65, 0.85  # share of occlusions that agree: a half is chance, and noise in flow masks what is above
CONSISTENCY_TRUST = 0.4, 0.8  # share of the variance that is between tracks, not along them
SPREAD_TRUST = -0.2, -0.08  # minus the standard deviation along a track, as a share of the range
BETTER_THAN_MOTION = -0.25, -0.1  # share of occlusions that agree, minus that share for depth from motion
# `Belief.follows`: on four clips, correct maps have 0.8 to 0.9, with noise of a tenth 0.25 to 0.8; wrong ones under 0.2
FOLLOWS_TRUST = 0.2, 0.35
MOVED_PX = 4.0  # at 256 x 256: from this displacement on, a point has moved
CLIP_EVIDENCE = 50.0  # pseudo-count of occlusions in the whole clip, between surfaces a full range apart
LOCAL_EVIDENCE = 8.0  # pseudo-count of occlusions around a point


@dataclass(frozen=True)
class DepthPrior:
    """Depth of every frame from another source, on an unknown scale that may change from frame to frame.

    Attributes:
        maps: (T, h, w) float32, covering the whole frame at any resolution.
        inverse: Larger is nearer (disparity, as relative models give it), not farther. If larger is farther, values
            that are not above zero are holes.
    """

    maps: Tensor
    inverse: bool


@dataclass(frozen=True)
class Belief:
    """How far a prior is trusted.

    Attributes:
        depth: (S, P) the prior in the field's units, its frames aligned.
        weight: (S, P) trust in [0, 1].
        order: Share of the clip's occlusions whose order the prior gets right; a half if there are none.
        consistency: Share of its variance that is between tracks, not along them; mean over the points, 0 to 1.
        follows: How much better it agrees along the tracks of moving points than if these had stayed; 1 is exactly, 0
            no better, as for noise, an image that never changes, and maps of other frames.
    """

    depth: Tensor
    weight: Tensor
    order: float
    consistency: float
    follows: float


def believe(prior: DepthPrior, data: Correspondences, camera: Camera) -> Belief:
    """Align a prior and estimate how far it can be trusted.

    Args:
        prior: Depth of all T frames.
        data: Correspondences.
        camera: Camera of the field, which sets the units of the depth.
    """
    motion = depth_by_motion(data, camera, camera_motion(data, camera))
    values, known = sample(prior, data)
    scale, shift = align_frames(values, known, data)
    depth = to_field(values * scale[:, None] + shift[:, None], known, camera, prior.inverse)
    follows = _follows(data, depth, known)
    depth, spread, consistency = _along_tracks(data, depth, known)
    local_order, better, order = _order(data, depth, known, motion)
    weight = _ramp(local_order, ORDER_TRUST) * _ramp(better, BETTER_THAN_MOTION)
    weight = weight * _ramp(-spread, SPREAD_TRUST) * known
    for overall, trust in ((order, ORDER_TRUST), (consistency, CONSISTENCY_TRUST), (follows, FOLLOWS_TRUST)):
        weight = weight * _ramp(overall, trust)
    return Belief(depth, weight, float(order), float(consistency), float(follows))


def mix(data: Correspondences, motion: Tensor, belief: Belief) -> Tensor:
    """The initial depth of a fit: the prior where the clip supports it, and depth from motion elsewhere.

    Args:
        data: Correspondences.
        motion: (T, rows, columns) from `omnitrack.optimize.depth_from_motion`.
        belief: Belief in the prior.

    Returns:
        (T, rows, columns) depth; where the prior is not trusted, it is `motion`.
    """
    there = motion[data.sources]
    mixed = torch.lerp(there.flatten(1), belief.depth, belief.weight)
    return of_all_frames(data, mixed.view_as(there))


def sample(prior: DepthPrior, data: Correspondences) -> tuple[Tensor, Tensor]:
    """Sample the prior at the grid points of every source frame, larger is farther, and where it is known; (S, P)."""
    maps = prior.maps[data.sources]
    _, height, width = maps.shape
    x = ((data.grid[:, 0] + 0.5) * (width / data.size[0])).long().clamp(0, width - 1)
    y = ((data.grid[:, 1] + 0.5) * (height / data.size[1])).long().clamp(0, height - 1)
    values = maps.flatten(1)[:, y * width + x].to(data.grid)
    if prior.inverse:
        return -values, torch.ones_like(values, dtype=torch.bool)
    return values, values > 0


# --- the field's units ------------------------------------------------------------------------------------------------
def to_field(depth: Tensor, known: Tensor, camera: Camera, inverse: bool) -> Tensor:
    """Convert aligned depths (S, P) to the field's units: the clip's range becomes NEAR to FAR.

    An orthographic field represents only the order, and gets inverse depth, in which near objects are not crowded into
    a corner of the range. In a perspective field, the distance from the pinhole is a linear map of the depth, or its
    inverse a linear map of the disparity.

    Args:
        depth: Larger is farther.
        known: (S, P) whether each depth is known.
        camera: Camera of the field.
        inverse: The values are negative disparities.
    """
    if not bool(known.any()):
        return torch.zeros_like(depth)
    if not camera.perspective and not inverse:
        middle = depth[known].median()
        if middle > 0:
            depth = -middle / torch.maximum(depth, LEAST_SHARE * middle)
    some = depth[known]
    low, high = torch.quantile(some[:: 1 + len(some) // 1_000_000], torch.tensor(ENDS).to(some))
    share = ((depth - low) / (high - low).clamp_min(1e-12)).clamp(-BEYOND, 1 + BEYOND)
    if camera.perspective and inverse:
        near, far = camera.plane_distance + NEAR, camera.plane_distance + FAR
        return 1 / (1 / near + (1 / far - 1 / near) * share) - camera.plane_distance
    return NEAR + (FAR - NEAR) * share


# --- tests of the prior -----------------------------------------------------------------------------------------
def _follows(data: Correspondences, depth: Tensor, known: Tensor) -> Tensor:
    """See `Belief.follows`; small differences are noise and do not count."""
    tolerance = UNLIKE_DEPTH * (FAR - NEAR)
    rows = data.target_rows()
    along, staying = torch.zeros(2, device=depth.device)
    for k in range(rows.shape[1]):
        row, moved = rows[:, k].clamp_min(0), data.displacement[:, k] * data.unit_px
        at = data.nearest_point(data.grid + moved)
        sure = data.confidence[:, k] / 255.0 * ~data.occluded[:, k] * (rows[:, k, None] >= 0)
        sure = sure * known * known[row] * known[row[:, None], at]
        sure = sure * (moved.norm(dim=-1) > MOVED_PX * raster_scale(data.size))
        along += (sure * ((depth - depth[row[:, None], at]).abs() - tolerance).relu()).sum()
        staying += (sure * ((depth - depth[row]).abs() - tolerance).relu()).sum()
    return (1 - along / staying.clamp_min(1e-6)).clamp_min(0) * (staying > 0)


def _along_tracks(data: Correspondences, depth: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Statistics of a point's depth along its track.

    Returns:
        (S, P) the mean along the track; (S, P) the standard deviation along it, as a share of the range, smoothed over
        neighbours; and the share of the variance of depth that is between tracks, mean over the points.
    """
    values = torch.where(known, depth, 0.0)
    count, total, squares = sum_along_tracks(data, torch.stack([known.float(), values, values**2]))
    mean = torch.where(known, total / count.clamp_min(1), depth)
    variance = (squares / count.clamp_min(1) - mean**2).clamp_min(0) * count / (count - 1).clamp_min(1)
    followed = known & (count > 2)
    chance = depth[known].var() if int(known.sum()) > 1 else depth.new_tensor(0.0)
    if not bool(followed.any()) or float(chance) < 1e-6 * (FAR - NEAR) ** 2:
        return mean, torch.ones_like(depth), depth.new_tensor(0.0)
    smooth = _box(torch.where(followed, variance, variance[followed].mean()).view(-1, *data.grid_shape)).flatten(1)
    share = (1 - smooth / chance).clamp(0, 1)  # by point, so that a noisy part does not count against the others
    return mean, smooth.sqrt() / (FAR - NEAR), share[followed].mean()


def _order(data: Correspondences, depth: Tensor, known: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Share of the occlusions whose order the prior gets right, and its difference from the share of depth from motion.

    A trusted but occluded entry lands where its target frame shows the surface that occludes it, and counts if the two
    move differently. In the share, it counts if the prior has two distinct depths, weighted by their difference. In the
    comparison with motion, it always counts, as about half right if the prior hardly separates the two. Pseudo-counts
    pull the clip's share to a half, a point's share to the clip's, and a point's difference to zero.

    Returns:
        (S, P) share around each point, (S, P) its difference from motion's share, and the share in the clip.
    """
    entries, moving, flat, here = HiddenEntries.of(data), motion.flatten(), depth.flatten(), known.flatten()
    parted = moving[entries.hidden] - moving[entries.covers]
    counts = (parted.abs() > UNLIKE_MOTION * (FAR - NEAR)) & here[entries.hidden] & here[entries.covers]
    entries = entries.where(counts)
    step = (flat[entries.hidden] - flat[entries.covers]) / (FAR - NEAR)
    clear = step * (step.abs() > UNLIKE_DEPTH)
    more = ((step / CLEAR_STEP).clamp(-1, 1) - parted[counts].sign()) / 2
    given = (clear.relu(), (-clear).relu(), more, torch.ones_like(step))
    right, wrong, better, votes = (entries.summed(vote, vote) for vote in given)
    for_it, in_all = right.sum() / 2, (right + wrong).sum() / 2
    clip = (for_it + CLIP_EVIDENCE / 2) / (in_all + CLIP_EVIDENCE)
    pooled = sum_along_tracks(data, among_alike(data, torch.stack([right, wrong, better, votes]), motion))
    right, wrong, better, votes = pooled
    share = (right + LOCAL_EVIDENCE * clip) / (right + wrong + LOCAL_EVIDENCE)
    return share, better / (votes + LOCAL_EVIDENCE), clip


def _ramp(value: Tensor, ends: tuple[float, float]) -> Tensor:
    """0 up to the first end, 1 from the second end on, linear in between."""
    return ((value - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)


def _box(maps: Tensor) -> Tensor:
    """3 x 3 mean of (n, h, w)."""
    return torch.nn.functional.avg_pool2d(maps[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
