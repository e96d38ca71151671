"""Depth maps from elsewhere, and how far a clip's own motion bears them out.

A depth prior may be wrong in any way: upside down, of other frames, or noise. So nothing is taken from it on trust. Its
frames are brought to one scale along the correspondences; then three things are asked of it. Does a point keep its
depth along its track? Do depths move with what moves, rather than stay or go elsewhere? Where one surface is seen to
hide another, is the one that hides nearer, at least as often as depth from motion has it? What passes, in the whole
clip and around a point, replaces the depth from motion there; a prior that fails leaves it as it was.
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

LEAST_SHARE = 0.05  # of the middle depth: what is nearer counts as this near, so that its inverse stays finite
ENDS = 0.02, 0.98  # quantiles of the clip's depth that become NEAR and FAR
BEYOND = 0.1  # of the range, that depths may lie beyond these
UNLIKE_MOTION = 0.25  # of the range from near to far: two surfaces, not one that seems to hide itself
UNLIKE_DEPTH = 0.1  # of that range: from which on two depths are two, not one and noise
CLEAR_STEP = 0.2  # of that range: from which on a prior is sure which of two surfaces is in front
ORDER_TRUST = 0.65, 0.85  # share of occlusions that agree: a half is chance, and noise in flow hides what is above
CONSISTENCY_TRUST = 0.4, 0.8  # share of the variance that is between tracks, not along them
SPREAD_TRUST = -0.2, -0.08  # minus the standard deviation along a track, of the range
BETTER_THAN_MOTION = -0.25, -0.1  # the same share, less that of depth from motion
# `Belief.follows`: on four clips right maps have 0.8 to 0.9, with noise of a tenth 0.25 to 0.8; wrong ones under 0.2
FOLLOWS_TRUST = 0.2, 0.35
MOVED_PX = 4.0  # at 256 x 256, from which on a point is somewhere else
CLIP_EVIDENCE = 50.0  # occlusions in the whole clip, of surfaces as far apart as can be, that do not count yet
LOCAL_EVIDENCE = 8.0  # ... and around a point


@dataclass(frozen=True)
class DepthPrior:
    """Depth of every frame as something else sees it, on an unknown scale that may change from frame to frame.

    Attributes:
        maps: (T, h, w) float32, laid over the whole frame at any resolution.
        inverse: Larger is nearer (disparity, as relative models give it), not farther. Where larger is farther, values
            that are not above zero are holes.
    """

    maps: Tensor
    inverse: bool


@dataclass(frozen=True)
class Belief:
    """How far a prior is believed.

    Attributes:
        depth: (S, P) the prior in the field's units, its frames aligned.
        weight: (S, P) in [0, 1].
        order: Share of the clip's occlusions whose order the prior has right; a half where there are none.
        consistency: Share of its variance that is between tracks, not along them; mean over the points, 0 to 1.
        follows: How much better it agrees along the tracks of what moves than if all stayed where it is; 1 is exactly,
            0 no better, as noise, a picture that never changes, and other frames' maps are.
    """

    depth: Tensor
    weight: Tensor
    order: float
    consistency: float
    follows: float


def believe(prior: DepthPrior, data: Correspondences, camera: Camera) -> Belief:
    """Align a prior and weigh it.

    Args:
        prior: Of all T frames.
        data: Correspondences.
        camera: Of the field, in whose units the depth comes.
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
    """Depth where a fit starts: the prior where the clip bears it out, and depth from motion elsewhere.

    Args:
        data: Correspondences.
        motion: (T, rows, columns) `omnitrack.optimize.depth_from_motion`.
        belief: In the prior.

    Returns:
        (T, rows, columns) depth; where nothing is believed it is `motion`.
    """
    there = motion[data.sources]
    mixed = torch.lerp(there.flatten(1), belief.depth, belief.weight)
    return of_all_frames(data, mixed.view_as(there))


def sample(prior: DepthPrior, data: Correspondences) -> tuple[Tensor, Tensor]:
    """The prior at the grid points of every source frame, larger farther, and where it is known; both (S, P)."""
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
    """Aligned depths (S, P), larger farther, in the field's units: the clip's range becomes NEAR to FAR.

    An orthographic field knows an order only, and takes inverse depth, in which near things are not crowded into a
    corner of the range. In a perspective one the distance from the pinhole is a linear map of the depth, or its inverse
    one of the disparity.

    Args:
        depth: Larger is farther.
        known: (S, P) where it is.
        camera: Of the field.
        inverse: These are negative disparities.
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


# --- how far it may be believed ---------------------------------------------------------------------------------
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
    """What becomes of a point's depth along its track.

    Returns:
        (S, P) the mean along the track; (S, P) the standard deviation along it, as a share of the range, with those
        around; and the share of the variance of depth that is between tracks, mean over the points.
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
    share = (1 - smooth / chance).clamp(0, 1)  # by point: some wild part says nothing against the others
    return mean, smooth.sqrt() / (FAR - NEAR), share[followed].mean()


def _order(data: Correspondences, depth: Tensor, known: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Share of the occlusions whose order the prior has right, and how much more that is than motion has.

    A believed but hidden entry lands where its target frame shows what hides it, and counts where the two move unlike:
    for the share, where the prior sees two depths, and the more the further these are apart; for the comparison with
    motion in any case, about half right where the prior hardly parts them. All begin at less than they show: the clip
    at a half, a point at the clip's share and at no difference.

    Returns:
        (S, P) share around each point, (S, P) difference from motion's share there, and the share in the clip.
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
    """0 up to the first end, 1 from the second one on."""
    return ((value - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)


def _box(maps: Tensor) -> Tensor:
    """3 x 3 mean of (n, h, w)."""
    return torch.nn.functional.avg_pool2d(maps[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
