"""Where a fit starts: the camera's motion, and depth from motion and occlusion.

With all depths equal a moving object cannot part from what it covers, because a bijection of one surface is
continuous. So, without a depth prior, depth starts from motion: what moves against the camera's motion is taken to be
nearer, and what is seen to cover something is nearer than what it covers.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.units import raster_scale

FAR, NEAR = 0.5, -0.5
HALF_WAY_PX = 3.0  # residual motion, at 256 x 256, that puts a point half way between far and near
REACH = 8  # frames: residual motion is measured against targets up to this far away
RANSAC_PX = 2.0
LEAST_EVIDENCE = 8.0  # occlusions seen on a track and around it that do not count yet
STILL_DEPTH = 0.15  # depth from motion beyond which a surface moves like the camera
SMOOTHING_ROUNDS = 4
ALIKE_REACH = 6  # grid points around that hear of an occlusion ...
ALIKE_COLOR = 0.15  # ... as much as their colour, RGB in [0, 1], ...
ALIKE_DEPTH = 0.1  # ... and depth from motion are alike
CHUNK_MAPS = 32  # frames at once, of what takes many times the memory of its result
COVER_MARGIN = 0.25  # of the range from near to far, between what covers and what is covered


def camera_motion(data: Correspondences, camera: Camera) -> Tensor:
    """The dominant motion as one affine map per frame.

    Adjacent frames are related by a RANSAC affine through their correspondences; the maps are accumulated to the
    middle frame and scaled so that the frames' union fits in [-1, 1].

    Returns:
        (T, 2, 3) float32 maps from a frame's local (x, y, 1) to canonical (x, y).
    """
    num_frames = data.num_frames
    steps = [_adjacent_affine(data, camera, t) for t in range(num_frames - 1)]  # t -> t + 1
    middle = num_frames // 2
    to_middle = {middle: np.eye(3)}
    for t in range(middle - 1, -1, -1):
        to_middle[t] = to_middle[t + 1] @ steps[t]
    for t in range(middle + 1, num_frames):
        to_middle[t] = to_middle[t - 1] @ np.linalg.inv(steps[t - 1])
    maps = np.stack([to_middle[t] for t in range(num_frames)])
    width, height = np.array(data.size) / max(data.size)
    corners = np.array([[x, y, 1.0] for x in (-width, width) for y in (-height, height)]).T
    extent = (maps @ corners)[:, :2]
    low, high = extent.min(axis=(0, 2)), extent.max(axis=(0, 2))
    fit = np.diag([*(2 / (high - low)).min(keepdims=True).repeat(2), 1.0])
    fit[:2, 2] = -fit[0, 0] * (low + high) / 2
    return torch.as_tensor((fit @ maps)[:, :2], dtype=torch.float32)


def depth_from_motion(data: Correspondences, camera: Camera, affine: Tensor) -> Tensor:
    """Initial depth of every grid point of every frame, (T, rows, columns), from FAR (0.5) to NEAR (-0.5).

    Args:
        data: Correspondences; sources that are missing take their depth from the nearest source frame.
        camera: The frames' camera.
        affine: `camera_motion`.
    """
    depth = motion_share(data, camera, affine)
    depth = _bring_covers_forward(data, _part_at_occlusions(data, depth), depth)
    rows, columns = data.grid_shape
    depth = _median(depth.view(-1, 1, rows, columns))[:, 0]
    return of_all_frames(data, depth)


def motion_share(data: Correspondences, camera: Camera, affine: Tensor) -> Tensor:
    """Depth from motion alone: FAR what moves like the camera, the nearer the more unlike, one depth a track. (S, P)"""
    residual = torch.stack([_residual_motion(data, camera, affine, s) for s in range(len(data.sources))])
    share = residual / (residual + HALF_WAY_PX)
    return _carry_along_tracks(data, FAR + (NEAR - FAR) * share)


def of_all_frames(data: Correspondences, values: Tensor) -> Tensor:
    """Values (S, ...) of the source frames for all frames (T, ...): each takes those of the nearest source frame."""
    frames = torch.arange(data.num_frames, device=values.device)
    return values[(frames[:, None] - data.sources[None]).abs().argmin(1)]


def _adjacent_affine(data: Correspondences, camera: Camera, frame: int) -> NDArray[np.float64]:
    """3 x 3 map of local coordinates from `frame` to the next; the identity where too little is known."""
    for source, target in ((frame, frame + 1), (frame + 1, frame)):
        entry = torch.nonzero((data.sources[:, None] == source) & (data.targets == target))
        if not len(entry):
            continue
        s, k = entry[0].tolist()
        valid = torch.nonzero((data.confidence[s, k] > 0) & ~data.occluded[s, k]).flatten()
        here = data.grid[valid]
        there = data.landing(torch.full_like(valid, s), torch.full_like(valid, k), valid)
        zeros = torch.zeros(len(valid), device=here.device)
        a = camera.lift(here, zeros)[:, :2].contiguous().cpu().numpy()
        b = camera.lift(there, zeros)[:, :2].contiguous().cpu().numpy()
        if len(a) < 16:
            continue
        threshold = RANSAC_PX * raster_scale(data.size) / camera.half_extent_px
        affine, _ = cv2.estimateAffine2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=threshold)
        if affine is not None and 0.5 < np.linalg.det(affine[:, :2]) < 2.0:
            whole = np.vstack([affine, [0, 0, 1]])
            return whole if source == frame else np.linalg.inv(whole)
    return np.eye(3)


def _residual_motion(data: Correspondences, camera: Camera, affine: Tensor, s: int) -> Tensor:
    """Mean motion of each grid point against the camera's, over targets within reach; (P,) px at 256 x 256."""
    points = camera.lift(data.grid, torch.zeros(len(data.grid), device=data.grid.device))[:, :2]
    source = int(data.sources[s])
    scale = camera.half_extent_px / raster_scale(data.size)
    total = torch.zeros(len(points), device=points.device)
    weight = torch.zeros_like(total)
    for k, target in enumerate(data.targets[s].tolist()):
        if target < 0 or abs(target - source) > REACH:
            continue
        there = data.grid + data.displacement[s, k] * data.unit_px
        there = camera.lift(there, torch.zeros(len(there), device=there.device))[:, :2]
        gap = _apply(affine[target].to(there), there) - _apply(affine[source].to(points), points)
        linear = affine[source, :, :2].det().abs().sqrt()
        length = gap.norm(dim=-1) / linear.to(gap) * scale
        sure = data.confidence[s, k] / 255.0
        total += sure * length
        weight += sure
    return total / weight.clamp_min(1e-3)


def _apply(affine: Tensor, points: Tensor) -> Tensor:
    return points @ affine[:, :2].T + affine[:, 2]


def hidden_entries(data: Correspondences) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """The believed but hidden entries of every source and target frame that is itself a source.

    Yields:
        Rows of the source and of the target frame among the sources; the points (n,) that are hidden, and the points
        (n,) of the target frame that they land on: those cover them.
    """
    row_of = data.row_of_frame()
    for s in range(len(data.sources)):
        for k, target in enumerate(data.targets[s].tolist()):
            if target not in row_of:
                continue
            hidden = torch.nonzero(data.occluded[s, k] & (data.confidence[s, k] > 0)).flatten()
            if len(hidden):
                there = data.landing(torch.full_like(hidden, s), torch.full_like(hidden, k), hidden)
                yield s, row_of[target], hidden, data.nearest_point(there)


def sum_along_tracks(data: Correspondences, values: Tensor) -> Tensor:
    """Of every point, the sum of values (n, S, P) over its whereabouts in its own and all other frames."""
    row_of = data.row_of_frame()
    sums = values.clone()
    for s in range(len(data.sources)):
        for k, target in enumerate(data.targets[s].tolist()):
            if target not in row_of:
                continue
            there = data.grid + data.displacement[s, k] * data.unit_px
            sure = data.confidence[s, k] / 255.0 * ~data.occluded[s, k]
            sums[:, s] += sure * values[:, row_of[target]][:, data.nearest_point(there)]
    return sums


def _carry_along_tracks(data: Correspondences, depth: Tensor) -> Tensor:
    """Give every point the mean depth of its whereabouts in other frames: one surface, one depth. (S, P)"""
    total, weight = sum_along_tracks(data, torch.stack([depth, torch.ones_like(depth)]))
    return total / weight


def _part_at_occlusions(data: Correspondences, depth: Tensor) -> Tensor:
    """Push what is seen to be covered behind what covers it. (S, P)

    A believed but hidden entry (s, k, p) lands where frame k shows the surface that covers p. Where that surface is
    not nearer already, the two are parted around their mean.
    """
    margin = 0.2 * (FAR - NEAR)
    for _ in range(SMOOTHING_ROUNDS):
        total, weight = torch.zeros_like(depth), torch.zeros_like(depth)
        for s, cover, hidden, at in hidden_entries(data):
            push = torch.relu(margin + depth[cover][at] - depth[s][hidden]) / 2
            total[s].index_add_(0, hidden, push)
            weight[s].index_add_(0, hidden, torch.ones_like(push))
            total[cover].index_add_(0, at, -push)
            weight[cover].index_add_(0, at, torch.ones_like(push))
        depth = depth + total / weight.clamp_min(1)
        depth = _carry_along_tracks(data, depth)
    return depth.clamp(NEAR - margin, FAR + margin)


def _bring_covers_forward(data: Correspondences, depth: Tensor, motion: Tensor) -> Tensor:
    """Bring what moves like the camera, and so is taken to be far, in front of the moving things that it covers. (S, P)

    A believed but hidden entry (s, k, p) lands where frame k shows the surface that covers p. Entries between points of
    like motion are more often a surface that seems to cover itself than two, and do not count. A surface is seen to
    cover something in few frames and places only, so its entries are summed along the tracks and over neighbours, and
    have to outnumber those in which it is covered itself.

    Args:
        data: Correspondences.
        depth: (S, P) as it is.
        motion: (S, P) as it was from motion alone.
    """
    margin = COVER_MARGIN * (FAR - NEAR)
    seen = sum_along_tracks(data, among_alike(data, _covering(data, motion, margin), motion))
    covers, covered, before = seen
    sure = 4 * (covers - 2 * covered) > covers + covered + LEAST_EVIDENCE
    in_front = before / covers.clamp_min(1e-6) - 2 * margin
    lifted = sure & (depth - in_front > margin) & (motion > STILL_DEPTH)
    return torch.where(lifted, in_front.clamp_min(NEAR - 2 * margin), depth)


def _covering(data: Correspondences, depth: Tensor, margin: float) -> Tensor:
    """Of every point: how often it covers another, how often it is covered, and the depths of the others it covers.

    The last are summed. Depths (S, P); only entries that are more than `margin` apart count. Returns (3, S, P).
    """
    covers, covered, before = torch.zeros(3, *depth.shape, device=depth.device)
    for s, cover, hidden, at in hidden_entries(data):
        unlike = (depth[cover][at] - depth[s][hidden]).abs() > margin
        hidden, at = hidden[unlike], at[unlike]
        covered[s].index_add_(0, hidden, torch.ones_like(depth[s][hidden]))
        covers[cover].index_add_(0, at, torch.ones_like(depth[s][hidden]))
        before[cover].index_add_(0, at, depth[s][hidden])
    return torch.stack([covers, covered, before])


def among_alike(data: Correspondences, values: Tensor, depth: Tensor) -> Tensor:
    """Sums of values (n, S, P) over the grid points around, each as much as colour and depth (S, P) are alike."""
    parts = zip(data.colors.split(CHUNK_MAPS), values.split(CHUNK_MAPS, 1), depth.split(CHUNK_MAPS), strict=True)
    return torch.cat([_sum_over_alike(*part, data.grid_shape) for part in parts], 1)


def _sum_over_alike(colors: Tensor, values: Tensor, depth: Tensor, grid_shape: tuple[int, int]) -> Tensor:
    rows, columns = grid_shape
    maps = values.view(len(values), -1, rows, columns)
    colors = colors.view(-1, rows, columns, 3).movedim(-1, 0) / (255 * ALIKE_COLOR)
    channels = torch.cat([colors, depth.view(1, -1, rows, columns) / ALIKE_DEPTH])
    total = torch.zeros_like(maps)
    for dy in range(-ALIKE_REACH, ALIKE_REACH + 1):
        for dx in range(-ALIKE_REACH, ALIKE_REACH + 1):
            here, there = _overlap(dy, rows), _overlap(-dy, rows)
            here_x, there_x = _overlap(dx, columns), _overlap(-dx, columns)
            apart = ((channels[..., here, here_x] - channels[..., there, there_x]) ** 2).sum(0)
            total[..., here, here_x] += torch.exp(-apart) * maps[..., there, there_x]
    return total.view(values.shape)


def _overlap(shift: int, length: int) -> slice:
    """The part of a side that still has a partner when moved by `shift`."""
    return slice(max(0, -shift), length - max(0, shift))


def _median(maps: Tensor) -> Tensor:
    """3 x 3 median of (n, 1, h, w)."""
    return torch.cat([_median_of(part) for part in maps.split(CHUNK_MAPS)])


def _median_of(maps: Tensor) -> Tensor:
    patches = F.unfold(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3)
    return patches.median(dim=1, keepdim=True).values.view(maps.shape)
