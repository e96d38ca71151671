"""The data that one step is fitted to: indices drawn in proportion to weights, and their correspondences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences, read_at


@dataclass(frozen=True)
class Extras:
    """What a batch contains in addition to its correspondences, because a loss reads it.

    Attributes:
        neighbours: The grid neighbour of every anchor, in the same targets.
        blank_frames: See `Batch`.
    """

    neighbours: bool = False
    blank_frames: bool = False


NO_EXTRAS = Extras()


@dataclass(frozen=True)
class Batch:
    """B anchors with M targets each.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        source_frames: (B,) frame of each anchor.
        source_pixels: (B, 2) its pixel.
        target_frames: (B, M) frames in which it was found.
        target_pixels: (B, M, 2) its pixels in these frames.
        confidence: (B, M) in [0, 1]; zero where an anchor has no correspondence.
        occluded: (B, M) bool: trusted, but occluded in the target frame.
        colors: (B, 3) RGB of the anchors in [0, 1].
        cells: (B,) the region of each anchor, an index into the flattened `Sampler.error`.
        blank_frames: (B,) one of the frames in which an anchor was searched for; -1 if it was found visible in it, or
            if the frame is beside a cut. None if they were not requested.
        beside_cut: (B,) bool: the anchor's frame has a neighbour in another shot. None for matches.
    """

    source_frames: Tensor
    source_pixels: Tensor
    target_frames: Tensor
    target_pixels: Tensor
    confidence: Tensor
    occluded: Tensor
    colors: Tensor
    cells: Tensor
    blank_frames: Tensor | None = None
    beside_cut: Tensor | None = None


def gather_batch(
    data: Correspondences,
    source: Tensor,
    slot: Tensor,
    point: Tensor,
    cells: Tensor,
    extras: Extras,
    generator: torch.Generator,
) -> Batch:
    """Gather the batch of B anchors.

    Args:
        data: Correspondences to read.
        source: (B,) index into `data.sources`.
        slot: (B, M) indices into the targets of that source.
        point: (B,) index into `data.grid`.
        cells: (B,) region of each anchor.
        extras: With neighbours there are 2 B anchors: the second half contains the neighbours of the first. A neighbour
            that was not found in a target has zero confidence in it.
        generator: Picks the frames that may be blank.
    """
    if extras.neighbours:
        columns = data.grid_shape[1]
        beside = torch.where(point % columns < columns - 1, point + 1, point - 1)
        point, source, slot, cells = torch.cat([point, beside]), source.repeat(2), slot.repeat(2, 1), cells.repeat(2)
    entries, source_frames = (source[:, None], slot, point[:, None]), read_at(data.sources, source)
    return Batch(
        source_frames=source_frames,
        source_pixels=read_at(data.grid, point),
        target_frames=read_at(data.targets, *entries[:2]).clamp_min(0),
        target_pixels=data.landing(*entries),
        confidence=read_at(data.confidence, *entries) / 255.0,
        occluded=read_at(data.occluded, *entries),
        colors=read_at(data.colors, source, point) / 255.0,
        cells=cells,
        blank_frames=_blank_frames(data, source, point, generator) if extras.blank_frames else None,
        beside_cut=read_at(data.beside_cut, source_frames),
    )


def _blank_frames(data: Correspondences, source: Tensor, point: Tensor, generator: torch.Generator) -> Tensor:
    """One target frame of each point (B,) of a source (B,); -1 if the point was visible in it, or beside a cut."""
    uniform = torch.rand(len(source), generator=generator, device=source.device)
    slot = (uniform * data.targets.shape[1]).long()
    frames = read_at(data.targets, source, slot)
    beside_cut = read_at(data.beside_cut, frames.clamp_min(0))
    return torch.where(data.seen(source, slot, point) | beside_cut, -1, frames)


def draw_in_proportion(weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices drawn, with replacement, with probabilities in proportion to weights.

    Args:
        weights: (N,) or (L, N) non-negative, with at least one above zero per row. An entry of zero is never drawn.
        uniform: (n,) or (L, n) float64 in [0, 1); float32 would not reach every entry of a long row evenly.

    Returns:
        (n,) or (L, n) indices below N.
    """
    cumulative = weights.double().cumsum(-1)
    index = torch.searchsorted(cumulative, uniform * cumulative[..., -1:], right=True)
    return index.clamp_max(weights.shape[-1] - 1)  # stay within the array if weights are not finite
