"""Long-range matches: which cells of two feature maps show the same thing, and where exactly.

Mutual nearest neighbours by the cosine of their features, of which those are kept that are alike enough, distinctive
in their own frame, the same seen from either side, and not alone:

- self-similarity: a cell that resembles a good part of its own frame (sky, water, asphalt) could be anywhere;
- local similarity: a cell unlike its own surroundings is noise, one just like them has no place of its own;
- refinement: between the cells, the peak of similarity seen from one frame lies where it is seen from the other;
- isolation: true matches come in groups. A match whose two nearest others are far off in either frame is dropped.

The first two ask each frame by itself, so a frame is prepared once for all its pairs (`prepare_cells`). Both frames
are treated alike: the matches of (b, a) are those of (a, b), turned round.

Source:
    CaDeX++ (ECCV 2024), section 3.3 and its published code, for DINOv2 on 34 x 61 cells of a 480 x 854 frame. What the
    code counts in cells of that map is a share of the map or a distance at 256 x 256 here; its window of 10 x 10 cells
    is centred, and a mean, so that the border does not count as unlike. The refinement is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from omnitrack.settings import MatchSettings
from omnitrack.units import raster_scale

CHUNK_ENTRIES = 1 << 24  # of a matrix of similarities: bounds the memory
LEAST_MATCHES = 4  # of a pair of frames: fewer cannot vouch for each other (published)
NEIGHBOURS = 2  # other matches that must be near (published)
SELF_SHARE = 100 / (34 * 61)  # of its own frame's cells that a cell may resemble: 100 cells (published)
LOCAL_WINDOW = 10 / (34 * 61) ** 0.5  # side of the window around a cell, a share of the frame's: 10 cells (published)
NO_LOCAL_LIMITS = (-1.0, 1.01)


@dataclass(frozen=True)
class Calibration:
    """Limits on cosines, which every extractor needs its own of.

    Attributes:
        similarity: Least of a match.
        self_similarity: From which on a cell resembles another one of its frame.
        local: Between which the mean over the window around a cell must lie.
    """

    similarity: float
    self_similarity: float
    local: tuple[float, float]


PUBLISHED = Calibration(0.75, 0.55, (0.3, 1.0))
# Measured on the development clips, 10 to 31 frames apart (tests/benchmarks/match_precision.py): of the mutual nearest
# cells 0.76 are within 4 pixels and 0.09 hidden in the other frame, with these limits 0.92 and 0.01. The local limits
# only cost matches there.
CALIBRATIONS = {"xfeat": Calibration(0.85, 0.65, NO_LOCAL_LIMITS)}


@dataclass(frozen=True)
class Matches:
    """Matches of one pair of frames, in pixels (x, y), centres at integers.

    Attributes:
        source: (M, 2) float32 pixels of the one frame.
        target: (M, 2) of the other.
        similarity: (M,) cosine of their cells.
    """

    source: Tensor
    target: Tensor
    similarity: Tensor

    def __len__(self) -> int:
        return len(self.similarity)

    def __getitem__(self, chosen: Tensor | slice) -> Matches:
        """Some of them, by a mask (M,), indices or a slice."""
        return Matches(self.source[chosen], self.target[chosen], self.similarity[chosen])


@dataclass(frozen=True)
class FrameCells:
    """The cells of one frame, ready to be matched.

    Attributes:
        features: (h * w, C) of unit length, row by row.
        shape: (h, w).
        distinctive: (h * w,) bool: passes the filters that ask this frame alone.
    """

    features: Tensor
    shape: tuple[int, int]
    distinctive: Tensor


def calibrated(settings: MatchSettings, extractor: str) -> MatchSettings:
    """The settings with the limits of an extractor where they are 0; of one that is not known, those of DINOv2."""
    own = CALIBRATIONS.get(extractor, PUBLISHED)
    return replace(
        settings,
        similarity=settings.similarity or own.similarity,
        self_similarity=settings.self_similarity or own.self_similarity,
        local_least=settings.local_least or own.local[0],
        local_most=settings.local_most or own.local[1],
    )


def prepare_cells(features: Tensor, settings: MatchSettings) -> FrameCells:
    """The cells of a map (h, w, C) of unit length, on the device that will match them; settings `calibrated`."""
    height, width = features.shape[:2]
    return FrameCells(features.flatten(0, 1), (height, width), distinctive_cells(features, settings))


def distinctive_cells(features: Tensor, settings: MatchSettings) -> Tensor:
    """(h * w,) which cells of a map (h, w, C) of unit length could be told from the others of their frame."""
    local = local_similarity(features, LOCAL_WINDOW).flatten()
    rare = self_similar_share(features.flatten(0, 1), settings.self_similarity) < SELF_SHARE
    return rare & (local > settings.local_least) & (local < settings.local_most)


def match_cells(a: FrameCells, b: FrameCells, size: tuple[int, int], settings: MatchSettings) -> Matches:
    """The matches of two frames.

    Args:
        a: Of the one.
        b: Of the other.
        size: (width, height) of both in pixels.
        settings: `calibrated`.
    """
    source, target, similarity = mutual_nearest(a, b, settings.similarity)
    there, back = peak_offset(a, b, source, target), peak_offset(b, a, target, source)
    shift = (there - back) / 2  # half of it on either side: no frame comes first
    found = Matches(
        _cell_pixels(source, -shift / 2, a.shape, size), _cell_pixels(target, shift / 2, b.shape, size), similarity
    )
    found = found[(there + back).norm(dim=-1) <= settings.cycle_cells]
    for reach_px in settings.isolation_px:
        found = found[in_company(found, reach_px * raster_scale(size))]
    return found


# --- the steps --------------------------------------------------------------------------------------------------
def mutual_nearest(a: FrameCells, b: FrameCells, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Distinctive cells of which each is the other's nearest among all cells: their indices, and their cosines.

    Args:
        a: Of the one frame.
        b: Of the other.
        least: Cosine that is not enough.
    """
    source = a.distinctive.nonzero()[:, 0]
    similarity, target = _nearest(a.features[source], b.features)
    sure = (similarity > least) & b.distinctive[target]
    source, target, similarity = source[sure], target[sure], similarity[sure]
    mutual = _nearest(b.features[target], a.features)[1] == source  # asked for few cells only
    return source[mutual], target[mutual], similarity[mutual]


def _nearest(cells: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Largest cosine (N,) of cells (N, C) with others (K, C), and whose it is."""
    rows = max(1, CHUNK_ENTRIES // len(among))
    found = [(part @ among.T).max(1) for part in cells.split(rows)]
    return torch.cat([values for values, _ in found]), torch.cat([index for _, index in found])


def self_similar_share(cells: Tensor, similarity: float) -> Tensor:
    """(N,) share of a frame's cells (N, C), itself among them, whose cosine with each is above `similarity`."""
    rows = max(1, CHUNK_ENTRIES // len(cells))
    return torch.cat([((part @ cells.T) > similarity).float().mean(1) for part in cells.split(rows)])


def local_similarity(features: Tensor, window: float) -> Tensor:
    """(h, w) mean cosine of each cell of a map (h, w, C) with those in a window around it, itself among them.

    Args:
        features: Of unit length.
        window: Side of the window, a share of the map's sides (geometric mean).
    """
    height, width = features.shape[:2]
    reach = max(1, round((window * (height * width) ** 0.5 - 1) / 2))
    planes = features.permute(2, 0, 1)[None]
    around = F.avg_pool2d(planes, 2 * reach + 1, 1, reach, count_include_pad=False)  # the mean of products with one
    return (around * planes).sum(1)[0]  # ... feature is the product with the mean


def peak_offset(a: FrameCells, b: FrameCells, source: Tensor, target: Tensor) -> Tensor:
    """(M, 2) where around cells `target` (M,) of b the similarity to cells `source` (M,) of a has its peak, in cells.

    That of the parabola through three cells along each axis, at most half a cell off; none at the border.
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
    """(M,) whether the two nearest other matches of each are nearer than `reach_px` pixels, in both frames.

    None is where there are fewer than four matches.
    """
    if len(matches) < LEAST_MATCHES:
        return torch.zeros_like(matches.similarity, dtype=torch.bool)
    return _crowded(matches.source, reach_px) & _crowded(matches.target, reach_px)


def _crowded(pixels: Tensor, reach_px: float) -> Tensor:
    """(M,) whether two others of the pixels (M, 2) are nearer than `reach_px` to each."""
    rows = max(1, CHUNK_ENTRIES // len(pixels))
    near = torch.cat([(torch.cdist(part, pixels) < reach_px).sum(1) for part in pixels.split(rows)])
    return near > NEIGHBOURS  # itself is one


def _cell_pixels(cells: Tensor, offset: Tensor, shape: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Pixels (M, 2) of cells (M,), moved by (M, 2) cells, of a map of `shape` on a frame of `size`."""
    height, width = shape
    centre = torch.stack([cells % width, cells // width], -1) + 0.5
    side = torch.tensor([size[0] / width, size[1] / height], device=cells.device)
    return (centre + offset) * side - 0.5
