"""A batch of CaDeX++ in its target frames: anchors are lifted, carried to them, and compared with the depth maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnitrack.motion.cadex import CadexField
from omnitrack.motion.warp import TimeColumns
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.correspondences import read_at
from omnitrack.units import raster_scale

SMOOTHNESS_SHARE = 4  # one anchor in this many has a smoothness term


@dataclass(frozen=True)
class Carried:
    """A batch's B anchors in their M target frames, and the depth maps at these positions.

    Attributes:
        difference: (B, M, 2) predictions minus correspondences, px at 256 x 256.
        depth: (B * M,) depth of the carried points.
        seen_depth: (B * M,) depth of the visible surfaces at the correspondences.
        prior_depth: (B * M,) depth of these surfaces at the start of the fit.
        steps: (2, B + B * M) change of the depth maps' steps to the left and up since the start of the fit, at the
            anchors and at the correspondences.
        passages: (n, 3) consecutive frames; an anchor was not found in the middle one. -1 if not all three exist.
        passing: (n, 3, 3) the anchors in these frames.
    """

    difference: Tensor
    depth: Tensor
    seen_depth: Tensor
    prior_depth: Tensor
    steps: Tensor
    passages: Tensor
    passing: Tensor


def carry_batches(field: CadexField, batches: Sequence[Batch]) -> list[Carried]:
    """Lift the anchors, and carry them to their targets and passages, all batches in one pass through the warp."""
    columns = field.warp.time_columns()
    texels = torch.cat([part for batch in batches for part in _texels(field, batch)])
    around = torch.cat([texels[None], field.depth.left_and_above(texels)])
    sizes = [len(batch.source_frames) + batch.target_frames.numel() for batch in batches]
    # read once, because each read costs a gradient of the maps' size
    surfaces = read_at(field.depth.maps.flatten(), around).split(sizes, 1)
    initials = read_at(field.depth.initial.flatten(), around).split(sizes, 1)
    lifted = [
        field.camera.lift(batch.source_pixels, surface[0, : len(batch.source_frames)])
        for batch, surface in zip(batches, surfaces, strict=True)
    ]
    frames = torch.cat([batch.source_frames for batch in batches])
    canonical = field.warp(torch.cat(lifted), frames, columns).split([len(points) for points in lifted])
    passages = [_passages(batch, field.num_frames) for batch in batches]
    tables = [table for batch, own in zip(batches, passages, strict=True) for table in (batch.target_frames, own)]
    points = _carry(field, [own for own in canonical for _ in range(2)], tables, columns)
    return [
        _compared(field, *parts)
        for parts in zip(batches, points[::2], passages, points[1::2], surfaces, initials, strict=True)
    ]


def _texels(field: CadexField, batch: Batch) -> tuple[Tensor, Tensor]:
    """The depth maps' texels at the anchors, and at their correspondences."""
    return (
        field.depth.texel(batch.source_pixels, batch.source_frames),
        field.depth.texel(batch.target_pixels.flatten(0, 1), batch.target_frames.flatten()),
    )


def _compared(
    field: CadexField,
    batch: Batch,
    points: Tensor,
    passages: Tensor,
    passing: Tensor,
    surface: Tensor,
    initial: Tensor,
) -> Carried:
    """Compare a batch's points (B * M, 3) with its correspondences and with depth maps (3, B + B * M)."""
    landed = field.camera.project(points).view(batch.target_pixels.shape)
    anchors = len(batch.source_frames)
    return Carried(
        difference=(landed - batch.target_pixels) * (1 / raster_scale(field.camera.size)),
        depth=points[:, 2],
        seen_depth=surface[0, anchors:],
        prior_depth=initial[0, anchors:],
        steps=(surface[1:] - surface[:1]) - (initial[1:] - initial[:1]),
        passages=passages,
        passing=passing.view(-1, 3, 3),
    )


def _passages(batch: Batch, num_frames: int) -> Tensor:
    """The blank frame of some anchors between its two neighbours, (n, 3); -1 if not all three exist."""
    if batch.blank_frames is None:
        return batch.source_frames.new_empty(0, 3)
    middle = batch.blank_frames[: -(-len(batch.blank_frames) // SMOOTHNESS_SHARE)]
    whole = (middle > 0) & (middle < num_frames - 1)
    return torch.where(whole[:, None], torch.stack([middle - 1, middle, middle + 1], 1), -1)


def _carry(
    field: CadexField, canonical: Sequence[Tensor], tables: Sequence[Tensor], columns: TimeColumns
) -> list[Tensor]:
    """Carry the first n of canonical points (B, 3) to frames (n, M), for several tables at once: (n * M, 3) each."""
    shared = [
        points[: len(table), None].expand(-1, table.shape[1], -1).flatten(0, 1)
        for points, table in zip(canonical, tables, strict=True)
    ]
    flat = torch.cat([table.flatten() for table in tables]).clamp_min(0)
    carried = field.warp.inverse(torch.cat(shared), flat, columns)
    return list(carried.split([table.numel() for table in tables]))
