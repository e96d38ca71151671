"""Long-range matches: which cells of two feature maps show the same point, and its position within the cells.

Matches are mutual nearest neighbours by the cosine of their features. They are kept if they are similar enough,
distinctive in their own frame, consistent in both directions, and not isolated:

- self-similarity: a cell that resembles a large part of its own frame (sky, water, asphalt) could be anywhere;
- local similarity: a cell unlike its own surroundings is noise, and a cell just like them has no distinct position;
- refinement: the peaks of similarity between the cells, found from one frame and from the other, coincide;
- isolation: correct matches come in groups. A match whose two nearest others are distant in either frame is dropped.

The first two depend on one frame only, so a frame is prepared once for all its pairs (`prepare_cells`). Both frames
are treated equally: the matches of (b, a) are those of (a, b), swapped.

Source:
    CaDeX++ (ECCV 2024), section 3.3 and its published code, for DINOv2 on 34 x 61 cells of a 480 x 854 frame. Numbers
    of cells in that code are shares of the map or distances at 256 x 256 here. The window of 10 x 10 cells is centred
    here, and takes a mean, so that the border does not count as dissimilar. The refinement is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from omnitrack.settings import MatchSettings
from omnitrack.units import raster_scale

CHUNK_ENTRIES = 1 << 24  # of a similarity matrix computed at once: bounds the memory
LEAST_MATCHES = 4  # of a pair of frames: fewer cannot support each other (published)
NEIGHBOURS = 2  # other matches that must be near (published)
SELF_SHARE = 100 / (34 * 61)  # of its own frame's cells that a cell may resemble: 100 cells (published)
LOCAL_WINDOW = 10 / (34 * 61) ** 0.5  # side of the window around a cell, a share of the frame's: 10 cells (published)


@dataclass(frozen=True)
class Matches:
    """Matches of one pair of frames, in pixels (x, y), centres at integers.

    Attributes:
        source: (M, 2) float32 pixels of one frame.
        target: (M, 2) float32 pixels of the other frame.
        similarity: (M,) cosine of their cells.
    """

    source: Tensor
    target: Tensor
    similarity: Tensor

    def __len__(self) -> int:
        return len(self.similarity)

    def __getitem__(self, chosen: Tensor | slice) -> Matches:
        """Select matches by a mask (M,), indices or a slice."""
        return Matches(self.source[chosen], self.target[chosen], self.similarity[chosen])


@dataclass(frozen=True)
class FrameCells:
    """The cells of one frame, ready to be matched.

    Attributes:
        features: (h * w, C) of unit length, row by row.
        shape: (h, w).
        distinctive: (h * w,) bool, whether each cell passes the filters that depend on this frame only.
    """

    features: Tensor
    shape: tuple[int, int]
    distinctive: Tensor


def prepare_cells(features: Tensor, settings: MatchSettings) -> FrameCells:
    """Prepare the cells of a map (h, w, C) of unit length on the device that will match them; settings `calibrated`."""
    height, width = features.shape[:2]
    return FrameCells(features.flatten(0, 1), (height, width), distinctive_cells(features, settings))


def distinctive_cells(features: Tensor, settings: MatchSettings) -> Tensor:
    """(h * w,) whether each cell of a map (h, w, C) of unit length is distinguishable from the others of its frame."""
    local = local_similarity(features, LOCAL_WINDOW).flatten()
    rare = self_similar_share(features.flatten(0, 1), settings.self_similarity) < SELF_SHARE
    return rare & (local > settings.local_least) & (local < settings.local_most)


def match_cells(a: FrameCells, b: FrameCells, size: tuple[int, int], settings: MatchSettings) -> Matches:
    """Match the cells of two frames.

    Args:
        a: Cells of one frame.
        b: Cells of the other frame.
        size: (width, height) of both frames in pixels.
        settings: `calibrated`.
    """
    source, target, similarity = mutual_nearest(a, b, settings.similarity)
    there, back = peak_offset(a, b, source, target), peak_offset(b, a, target, source)
    shift = (there - back) / 2  # half of it on either side: both frames are treated equally
    found = Matches(
        _cell_pixels(source, -shift / 2, a.shape, size), _cell_pixels(target, shift / 2, b.shape, size), similarity
    )
    found = found[(there + back).norm(dim=-1) <= settings.cycle_cells]
    for reach_px in settings.isolation_px:
        found = found[in_company(found, reach_px * raster_scale(size))]
    return found


# --- the steps --------------------------------------------------------------------------------------------------
def mutual_nearest(a: FrameCells, b: FrameCells, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of distinctive cells that are each other's nearest among all cells: their indices, and their cosines.

    Args:
        a: Cells of one frame.
        b: Cells of the other frame.
        least: Cosine that a pair must exceed.
    """
    source = a.distinctive.nonzero()[:, 0]
    similarity, target = _nearest(a.features[source], b.features)
    sure = (similarity > least) & b.distinctive[target]
    source, target, similarity = source[sure], target[sure], similarity[sure]
    mutual = _nearest(b.features[target], a.features)[1] == source  # computed for a few cells only
    return source[mutual], target[mutual], similarity[mutual]


def _nearest(cells: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Largest cosine (N,) of cells (N, C) with others (K, C), and the index of the other cell (N,)."""
    rows = max(1, CHUNK_ENTRIES // len(among))
    found = [(part @ among.T).max(1) for part in cells.split(rows)]
    return torch.cat([values for values, _ in found]), torch.cat([index for _, index in found])


def self_similar_share(cells: Tensor, similarity: float) -> Tensor:
    """(N,) share of a frame's cells (N, C), itself included, whose cosine with each cell is above `similarity`."""
    rows = max(1, CHUNK_ENTRIES // len(cells))
    return torch.cat([((part @ cells.T) > similarity).float().mean(1) for part in cells.split(rows)])


def local_similarity(features: Tensor, window: float) -> Tensor:
    """(h, w) mean cosine of each cell of a map (h, w, C) with the cells in a window around it, itself included.

    Args:
        features: Map of unit length.
        window: Side of the window, as a share of the map's sides (geometric mean).
    """
    height, width = features.shape[:2]
    reach = max(1, round((window * (height * width) ** 0.5 - 1) / 2))
    planes = features.permute(2, 0, 1)[None]
    around = F.avg_pool2d(planes, 2 * reach + 1, 1, reach, count_include_pad=False)  # the mean of dot products ...
    return (around * planes).sum(1)[0]  # ... is the dot product with the mean


def peak_offset(a: FrameCells, b: FrameCells, source: Tensor, target: Tensor) -> Tensor:
    """(M, 2) offset, in cells, from cells `target` (M,) of b to the peak of similarity to cells `source` (M,) of a.

    The peak is that of a parabola through three cells along each axis, at most half a cell away; 0 at the border.
    """
    height, width = b.shape
    x, y = target % width, target // width
    wanted = a.features[source]

    def cosine(cells: Tensor) -> Tensor:
        return (b.features[cells] * wanted).sum(-1)

    here = cosine(target)
    offsets = []
    for position, side, step in ((x, width, 1), (y, height, width)):
        inner = (position > 0) & (position < side - 1)
        before = cosine((target - step).clamp_min(0))
        after = cosine((target + step).clamp_max(height * width - 1))
        bend = 2 * here - before - after
        offset = (after - before) / (2 * bend.clamp_min(1e-6))
        offsets.append(torch.where(inner & (bend > 0), offset.clamp(-0.5, 0.5), 0.0))
    return torch.stack(offsets, -1)


def in_company(matches: Matches, reach_px: float) -> Tensor:
    """(M,) whether the two nearest other matches of each match are nearer than `reach_px` pixels, in both frames.

    False for all if there are fewer than four matches.
    """
    if len(matches) < LEAST_MATCHES:
        return torch.zeros_like(matches.similarity, dtype=torch.bool)
    return _crowded(matches.source, reach_px) & _crowded(matches.target, reach_px)


def _crowded(pixels: Tensor, reach_px: float) -> Tensor:
    """(M,) whether each of the pixels (M, 2) has two others nearer than `reach_px`."""
    rows = max(1, CHUNK_ENTRIES // len(pixels))
    near = torch.cat([(torch.cdist(part, pixels) < reach_px).sum(1) for part in pixels.split(rows)])
    return near > NEIGHBOURS  # each counts itself


def _cell_pixels(cells: Tensor, offset: Tensor, shape: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Pixels (M, 2) of cells (M,), moved by (M, 2) cells, of a map of `shape` on a frame of `size`."""
    height, width = shape
    centre = torch.stack([cells % width, cells // width], -1) + 0.5
    side = torch.tensor([size[0] / width, size[1] / height], device=cells.device)
    return (centre + offset) * side - 0.5
