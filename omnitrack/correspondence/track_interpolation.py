"""Dense flow between two frames from the tracks that are visible in both.

Every pixel uses the k nearest tracks of its frame, weighted by nearness and similarity in colour. A track predicts the
pixel's motion by its own motion and an affine map fitted to the tracks around it, so rotation and zoom cause no error
between the tracks. Where the predictions disagree, the pixel follows the largest group of them, not their mean: at the
edge of a moving object, the mean is the motion of neither side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raster import Array, inside, lengths, pixel_grid
from omnitrack.units import raster_scale

KD_TREE_SINGLE = 4  # FLANN's exact k-d tree: the same points give the same neighbours
# The next three are tuned on exact tracks of two synthetic scenes, 4 to 16 px apart.
COLOUR_SCALE = 0.05  # difference of colours, as a share of the whole range, at which a track has half its weight
NEAREST_SHARE = 0.1  # of the distance to the farthest neighbour, at which a track has half its weight
SEEN_POWER = 2  # of the share of tracks that are visible in the target: with three in ten occluded, confidence halves
BLUR_PX = 0.7  # blur of the colours that are compared, at 256 x 256
AGREE_PX = 1.0  # difference of two predictions, at 256 x 256, at which their support for each other is 1/2
ONE_GROUP = 0.9  # share of the weight that agrees with the mean, from which the mean is used
MOST_STRAIN = 0.5  # tracks whose motions differ by more than this share of their distance are on different surfaces
SLACK_PX = 0.5  # ... plus this, at 256 x 256, for the tracker's own errors
STIFFNESS_PX = 2.0  # the affine map gives way to a translation where tracks are closer together than this, at 256 x 256
NEAR_POWER = 4  # of distance / reach: flat where the affine maps hold, steep near the reach
DENSE_SHARE = 0.25  # tracks per pixel above which nothing needs extrapolation: each pixel has a track close to it
GONE_REACH = 2.0  # times the reach: farther from every track, confidence is 0
CHUNK = 1 << 15  # pixels processed at once: bounds the memory


@dataclass(frozen=True)
class Neighbours:
    """The k nearest tracks of Q positions.

    Attributes:
        rows: (k, Q) indices of the tracks.
        distance: (k, Q) in pixels of the frame, nearest first; infinite where there are fewer tracks than k.
    """

    rows: NDArray[np.int32]
    distance: Array


@dataclass(frozen=True)
class SourceTracks:
    """The M tracks that are visible in a source frame, and their weights for each of its P pixels.

    Attributes:
        positions: (M, 2) pixels of the frame.
        around: The tracks around each track, itself included.
        alike: (k, M) similarity in colour of the tracks around each track to it, 0 to 1.
        near: The tracks near each pixel of the frame, row by row.
        weight: (k, P) of the tracks near each pixel, by nearness and colour; the weights of a pixel add up to 1.
        size: (width, height) of the frame.
    """

    positions: Array
    around: Neighbours
    alike: Array
    near: Neighbours
    weight: Array
    size: tuple[int, int]


def nearest(points: Array, places: Array, count: int) -> Neighbours:
    """The `count` points (M, 2) nearest to each of the places (Q, 2); M is at least 1."""
    k = min(count, len(points))
    flann: Any = cv2  # missing in OpenCV's type stubs
    tree = flann.flann_Index(np.ascontiguousarray(points, np.float32), {"algorithm": KD_TREE_SINGLE})
    found, squared = tree.knnSearch(np.ascontiguousarray(places, np.float32), k, params={"checks": -1, "eps": 0.0})
    rows = np.zeros((count, len(places)), np.int32)
    distance = np.full((count, len(places)), np.inf, np.float32)
    rows[:k], distance[:k] = found.T, np.sqrt(squared).T
    return Neighbours(rows, distance)


def prepare_source(frame: NDArray[np.uint8], positions: Array, count: int) -> SourceTracks:
    """Compute what all pairs of a source frame share.

    Args:
        frame: (H, W, 3) uint8.
        positions: (M, 2) the tracks that are visible in the frame, in its pixels; M is at least 1.
        count: Number of neighbours k.
    """
    height, width = frame.shape[:2]
    scale = raster_scale((width, height))
    near = nearest(positions, pixel_grid((width, height)), count)
    colours = cv2.GaussianBlur(frame, (0, 0), max(BLUR_PX * scale, 0.3)).astype(np.float32) / np.float32(255)
    x, y = np.rint(positions).astype(int).clip(0, [width - 1, height - 1]).T
    own, theirs = colours.reshape(-1, 3), colours[y, x]
    weight = np.empty_like(near.distance)
    for first in range(0, width * height, CHUNK):
        part = np.s_[:, first : first + CHUNK]
        farthest = np.where(np.isfinite(near.distance[part]), near.distance[part], 0).max(0)
        share = near.distance[part] / np.maximum(farthest, scale)  # independent of the spacing of the tracks
        alike = _likeness(own[first : first + CHUNK], theirs[near.rows[part]])
        weight[part] = alike / (NEAREST_SHARE**2 + share**2)
    weight /= weight.sum(0)
    around = nearest(positions, positions, count)
    alike = _likeness(theirs, theirs[around.rows]) * np.isfinite(around.distance)
    return SourceTracks(positions, around, alike, near, weight, (width, height))


def _likeness(colours: Array, others: Array) -> Array:
    """Similarity (k, Q) of colours (Q, 3) and (k, Q, 3): 1 for the same colour, 1/2 at `COLOUR_SCALE`."""
    return np.asarray(1 / (1 + ((colours - others) ** 2).mean(-1) / COLOUR_SCALE**2), np.float32)


def interpolate(source: SourceTracks, landed: Array, sure: Array, reach_px: float) -> tuple[Array, Array]:
    """Interpolate the flow of every pixel, with a confidence.

    The confidence is the product of the nearness of the closest track (1 at a track, 1/2 at the reach, 0 from twice the
    reach on), the squared share of the weight whose tracks are visible in the target, the share of these tracks that
    agree, and the tracker's confidence in them. It is 0 where the flow leads out of the frame.

    Args:
        source: The result of `prepare_source`.
        landed: (M, 2) positions of the tracks in the target, in its pixels; arbitrary where they are occluded.
        sure: (M,) confidence of each track in both frames, 0 if occluded in the target.
        reach_px: Reach of a track, at 256 x 256.

    Returns:
        flow (H, W, 2), 0 where no track near a pixel is visible in both frames, and confidence (H, W).
    """
    width, height = source.size
    scale = raster_scale(source.size)
    grid = pixel_grid(source.size)
    seen = (sure > 0).astype(np.float32)
    affine = local_affine(source, np.where(seen[:, None] > 0, landed - source.positions, 0), seen > 0)
    flow, confidence = np.zeros((len(grid), 2), np.float32), np.zeros(len(grid), np.float32)
    for first in range(0, len(grid), CHUNK):
        part = slice(first, first + CHUNK)
        rows = source.near.rows[:, part]
        held = source.weight[:, part] * seen[rows]
        x, y = grid[part].T
        predicted = [a[rows] * x + b[rows] * y + c[rows] for a, b, c in affine]
        flow[part], agreed = follow_the_most(predicted[0], predicted[1], held, AGREE_PX * scale)
        share = held.sum(0)
        distance = np.where(held > 0, source.near.distance[:, part], np.inf).min(0) / (reach_px * scale)
        close = np.where(distance < GONE_REACH, np.exp2(-(np.minimum(distance, GONE_REACH) ** NEAR_POWER)), 0)
        known = (held * sure[rows]).sum(0) / np.maximum(share, 1e-12)
        confidence[part] = close * agreed * known * share**SEEN_POWER
    confidence[~inside(grid + flow, source.size)] = 0
    return flow.reshape(height, width, 2), confidence.clip(0, 1).reshape(height, width)


def local_affine(source: SourceTracks, motion: NDArray[np.floating], seen: NDArray[np.bool_]) -> Array:
    """The motion that each track predicts at any pixel (x, y): a x + b y + c, (2, 3, M) for both coordinates.

    Least squares over the tracks around it, weighted by similarity in colour, with a and b regularised towards 0.
    Tracks whose motion differs by more than a surface can stretch are left out, and those that do not fit the others'
    map count less, in two rounds. With more than `DENSE_SHARE` tracks per pixel, a and b are 0.

    Args:
        source: The tracks.
        motion: (M, 2) in pixels.
        seen: (M,) bool, visible in the target; other tracks are left out.
    """
    scale = raster_scale(source.size)
    if len(motion) > DENSE_SHARE * source.size[0] * source.size[1]:
        return _rows(np.zeros((len(motion), 2, 2), np.float32), motion)
    rows = source.around.rows
    offset = source.positions[rows] - source.positions  # (k, M, 2)
    change = motion[rows] - motion
    most = MOST_STRAIN * source.around.distance + SLACK_PX * scale
    same = source.alike * (seen[rows] & (lengths(change) <= most))
    weight = same
    for last in (False, False, True):
        held = offset * weight[..., None]
        normal = np.einsum("kmi,kmj->mij", held, offset) + np.eye(2) * (STIFFNESS_PX * scale) ** 2
        strain = np.einsum("kmi,kmj->mij", change, held) @ np.linalg.inv(normal)  # (M, 2, 2): d motion_i / d position_j
        if not last:
            left = change - np.einsum("mij,kmj->kmi", strain, offset)
            weight = same * _support(left[..., 0], left[..., 1], AGREE_PX * scale)
    return _rows(strain, motion - np.einsum("mij,mj->mi", strain, source.positions))


def _rows(strain: NDArray[np.floating], constant: NDArray[np.floating]) -> Array:
    """Arrange (M, 2, 2) and (M, 2) as (2, 3, M)."""
    return np.ascontiguousarray(np.concatenate([strain, constant[..., None]], -1).transpose(1, 2, 0), np.float32)


def follow_the_most(x: Array, y: Array, weight: Array, agree_px: float) -> tuple[Array, Array]:
    """The weighted mean of the largest agreeing group among k weighted predictions, and the group's share.

    Where the predictions are close together, it is their weighted mean. Elsewhere the prediction with the most support,
    sum_j w_j / (1 + (sqrt(2) - 1) |v_i - v_j|^2 / agree^2)^2, leads, and the others count by their support for it.

    Args:
        x: (k, P) predictions.
        y: (k, P).
        weight: (k, P).
        agree_px: Distance at which the support of two predictions for each other is 1/2.

    Returns:
        (P, 2), 0 where all weights are 0, and (P,) in [0, 1].
    """
    total = np.maximum(weight.sum(0), 1e-12)
    flow = np.stack([(weight * x).sum(0), (weight * y).sum(0)], 1) / total[:, None]
    share = (weight * _support(x - flow[:, 0], y - flow[:, 1], agree_px)).sum(0) / total
    torn = np.flatnonzero((share < ONE_GROUP) & weight.any(0))
    if len(torn):
        x, y, held = x[:, torn], y[:, torn], weight[:, torn]
        support = np.stack([(held * _support(x - a, y - b, agree_px)).sum(0) for a, b in zip(x, y, strict=True)])
        leader = np.where(held > 0, support, -1).argmax(0)[None]
        held = held * _support(x - np.take_along_axis(x, leader, 0), y - np.take_along_axis(y, leader, 0), agree_px)
        group = np.maximum(held.sum(0), 1e-12)
        flow[torn] = np.stack([(held * x).sum(0), (held * y).sum(0)], 1) / group[:, None]
        share[torn] = group / total[torn]
    return flow.astype(np.float32), share.astype(np.float32)


def _support(dx: Array, dy: Array, agree_px: float) -> Array:
    sharpness = np.float32((np.sqrt(2) - 1) / agree_px**2)
    return np.asarray(1 / (1 + (dx * dx + dy * dy) * sharpness) ** 2, np.float32)
