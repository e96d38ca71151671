"""The camera's motion: the dominant affine map between frames, accumulated over the clip."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.units import raster_scale

RANSAC_PX = 2.0  # at 256 x 256
LEAST_POINTS = 16  # from which a map is estimated
REVISIT_FRAMES = 64  # a frame farther away than this that shows the same scene is linked directly
REVISIT_STEPS = 8  # length of a direct link, which is as reliable as this many steps between adjacent frames
REVISIT_SHARE = 0.5  # of the points, which have to be visible in both frames of a direct link


def camera_motion(data: Correspondences, camera: Camera) -> Tensor:
    """The dominant motion as one affine map per frame.

    Adjacent frames, and frames that show the same scene again, are related by a RANSAC affine map through their
    correspondences. The maps are accumulated to the middle frame along the shortest paths, so that they drift little in
    a long clip whose camera comes back, and scaled so that the frames' union fits in [-1, 1].

    Returns:
        (T, 2, 3) float32 maps from a frame's local (x, y, 1) to canonical (x, y).
    """
    num_frames, middle = data.num_frames, data.num_frames // 2
    towards = _ways_to(middle, num_frames, _revisits(data))
    known = _links(data, camera, {(min(pair), max(pair)) for pair in towards.items()})
    to_middle = {middle: np.eye(3)}
    for frame, nearer in towards.items():  # in order of path length, so that the nearer frame is done
        link = _affine(data, camera, known, min(frame, nearer), max(frame, nearer))
        to_middle[frame] = to_middle[nearer] @ (link if frame < nearer else np.linalg.inv(link))
    maps = np.stack([to_middle[t] for t in range(num_frames)])
    width, height = np.array(data.size) / max(data.size)
    corners = np.array([[x, y, 1.0] for x in (-width, width) for y in (-height, height)]).T
    extent = (maps @ corners)[:, :2]
    low, high = extent.min(axis=(0, 2)), extent.max(axis=(0, 2))
    fit = np.diag([*(2 / (high - low)).min(keepdims=True).repeat(2), 1.0])
    fit[:2, 2] = -fit[0, 0] * (low + high) / 2
    return torch.as_tensor((fit @ maps)[:, :2], dtype=torch.float32)


def _revisits(data: Correspondences) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of frames far apart in time that show the same scene."""
    far = (data.targets - data.sources[:, None]).abs() * (data.targets >= 0) > REVISIT_FRAMES
    source, slot = torch.nonzero(far).unbind(1)
    seen = data.seen(source, slot).sum(1)
    enough = (seen >= LEAST_POINTS) & (seen > REVISIT_SHARE * len(data.grid))
    pairs = torch.stack([data.sources[source], data.targets[source, slot]], 1)[enough].tolist()
    return sorted({(min(pair), max(pair)) for pair in pairs})


def _ways_to(middle: int, num_frames: int, revisits: list[tuple[int, int]]) -> dict[int, int]:
    """The next frame on the shortest path of each frame to the middle one, in order of path length (Dijkstra)."""
    again: dict[int, list[int]] = defaultdict(list)
    for earlier, later in revisits:
        again[earlier].append(later)
        again[later].append(earlier)
    towards: dict[int, int] = {}
    ahead = [(0, middle, middle)]
    while ahead:
        length, frame, nearer = heapq.heappop(ahead)
        if frame in towards:
            continue
        towards[frame] = nearer
        steps = [(t, 1) for t in (frame - 1, frame + 1) if 0 <= t < num_frames]
        for other, more in (*steps, *((t, REVISIT_STEPS) for t in again[frame])):
            heapq.heappush(ahead, (length + more, other, frame))
    del towards[middle]
    return towards


@dataclass(frozen=True)
class _Links:
    """Correspondences of some pairs of frames on the host.

    Attributes:
        index: Row of each measured pair.
        here: (P, 2) local coordinates of the grid points.
        there: (n, P, 2) local coordinates of their positions in the other frame.
        valid: (n, P) which of them are trusted and visible.
    """

    index: dict[tuple[int, int], int]
    here: NDArray[np.float32]
    there: NDArray[np.float32]
    valid: NDArray[np.bool_]


def _links(data: Correspondences, camera: Camera, wanted: set[tuple[int, int]]) -> _Links:
    """Fetch at once what `_affine` reads of pairs (earlier, later), in both directions."""
    sources, targets = data.sources[:, None], data.targets
    pairs = torch.minimum(sources, targets) * data.num_frames + torch.maximum(sources, targets)  # below 0: no target
    numbers = [earlier * data.num_frames + later for earlier, later in wanted]
    entries = torch.isin(pairs, torch.tensor(numbers, dtype=torch.long, device=pairs.device))
    source, slot = torch.nonzero(entries).unbind(1)
    frames = torch.stack([data.sources[source], targets[source, slot]], 1).tolist()
    there = data.grid + data.displacement[source, slot] * data.unit_px
    valid = data.seen(source, slot)
    here, there = (camera.lift(pixels, torch.zeros_like(pixels[..., 0]))[..., :2] for pixels in (data.grid, there))
    index = {(a, b): row for row, (a, b) in reversed(list(enumerate(frames)))}  # keep the first of equal pairs
    return _Links(index, here.cpu().numpy(), there.cpu().numpy(), valid.cpu().numpy())


def _affine(data: Correspondences, camera: Camera, links: _Links, earlier: int, later: int) -> NDArray[np.float64]:
    """3 x 3 map of local coordinates from one frame to a later one; the identity if it cannot be estimated."""
    for source, target in ((earlier, later), (later, earlier)):
        row = links.index.get((source, target))
        if row is None:
            continue
        valid = links.valid[row]
        a, b = np.ascontiguousarray(links.here[valid]), np.ascontiguousarray(links.there[row][valid])
        if len(a) < LEAST_POINTS:
            continue
        threshold = RANSAC_PX * raster_scale(data.size) / camera.half_extent_px
        affine, _ = cv2.estimateAffine2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=threshold)
        if affine is not None and 0.5 < np.linalg.det(affine[:, :2]) < 2.0:
            whole = np.vstack([affine, [0, 0, 1]])
            return whole if source == earlier else np.linalg.inv(whole)
    return np.eye(3)
