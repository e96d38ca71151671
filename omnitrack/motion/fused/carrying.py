"""The compiled pass as a torch operation, distributed over the cores.

Points are divided into slabs of a fixed size, and slabs into a fixed number of chunks. All sums are computed in the
order of the chunks or the points, so that the result does not depend on the number of cores.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnitrack.device import kernel_threads
from omnitrack.motion.fused.blocks import BLOCK, Array
from omnitrack.motion.fused.couplings import Plan, carry, carry_backward, scatter
from omnitrack.motion.fused.packing import Packed, Shape

SLAB = 128 * BLOCK  # points whose feature gradients are kept at once: 4 kB each
CHUNKS = 16  # per slab, each with separate sums: more cores than that are not used

Span = tuple[int, int]  # first point, and one past the last


def knows(shape: Shape) -> bool:
    """Whether the pass supports layers of a shape: it supports any."""
    return True


def carried(points: Tensor, frames: Tensor, packed: Packed, shape: Shape, inverse: bool) -> Tensor:
    """Carry points (3, P) of frames (P,) through all layers, or back; differentiable except in shape and frames."""
    return _Carrying.apply(points, frames, *packed, shape, inverse)  # type: ignore[no-any-return, no-untyped-call]


class _Carrying(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        frames: Tensor,
        columns: Tensor,
        planes: Tensor,
        weights: Tensor,
        shape: Shape,
        inverse: bool,
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        count = points.shape[1] if keep else 0
        before = np.empty((len(shape.changed) if keep else 0, count), np.float32)
        out = np.empty((3, points.shape[1]), np.float32)
        start = points.detach().contiguous().numpy()
        plan = _plan(frames, shape, Packed(columns, planes, weights), inverse)
        _spread(lambda span: carry(start, plan, span[0], span[1], before, out), _chunks(0, points.shape[1]))
        landed = torch.from_numpy(out)
        ctx.save_for_backward(frames, columns, planes, weights, landed)
        ctx.before, ctx.shape, ctx.inverse = before, shape, inverse
        return landed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        frames, columns, planes, weights, landed = ctx.saved_tensors
        shape: Shape = ctx.shape
        plan = _plan(frames, shape, Packed(columns, planes, weights), ctx.inverse)
        back = np.array(gradient.detach().numpy(), np.float32, order="C")  # a copy: it is changed in place
        sums = [np.zeros((CHUNKS, *part.shape), np.float32) for part in (weights, columns)]
        plane_sums = np.zeros(planes.shape, np.float32)
        for begin in range(0, landed.shape[1], SLAB):
            spans = _chunks(begin, min(landed.shape[1], begin + SLAB))
            _slab_backward(landed.numpy(), plan, spans, ctx.before, back, sums, plane_sums)
        weight_sum, column_sum = (part.sum(0) for part in sums)
        return torch.from_numpy(back), None, *map(torch.from_numpy, (column_sum, plane_sums, weight_sum)), None, None


def _slab_backward(
    landed: Array, plan: Plan, spans: list[Span], before: Array, back: Array, sums: list[Array], plane_sums: Array
) -> None:
    """Backpropagate through the chunks of a slab: `back` in place, the sums of each chunk, the sums of the planes."""
    layers, sides, width = len(plan.changed), plan.sides, plan.widths[0]
    begin, end = spans[0][0], spans[-1][1]
    features = np.empty((layers, end - begin, width), np.float32)
    places = np.empty((layers, 2, end - begin), np.float32)

    def chunk(index: int) -> None:
        (first, last), (weights, columns) = spans[index], (part[index] for part in sums)
        carry_backward(landed, plan, first, last, before, back, begin, weights, columns, features, places)

    def plane(task: tuple[int, int]) -> None:
        scatter(features, places, sides, *task, plane_sums)

    _spread(chunk, range(len(spans)))
    _spread(plane, list(itertools.product(range(layers), range(len(sides)))))


def _plan(frames: Tensor, shape: Shape, packed: Packed, inverse: bool) -> Plan:
    columns, planes, weights = (part.detach().contiguous().numpy() for part in packed)
    known = frames.contiguous().numpy()
    return Plan(known, shape.changed, columns, planes, shape.sides, weights, shape.widths, inverse)


def _chunks(begin: int, end: int) -> list[Span]:
    """Divide points into chunks of whole blocks; `begin` is the first point of a block."""
    blocks = -(-(end - begin) // BLOCK)
    edges = [begin + BLOCK * (blocks * index // CHUNKS) for index in range(CHUNKS)] + [end]
    return [span for span in itertools.pairwise(edges) if span[0] < span[1]]


def _spread(job: Callable[[Any], None], parts: Sequence[Any]) -> None:
    """Run all parts of a job, in parallel as far as there are cores.

    The calling thread begins at once, and each thread takes the next part when it is free: waking another thread takes
    as long as a tenth of a step.
    """
    left = iter(parts)

    def work() -> None:
        for part in left:  # one iterator for all threads
            job(part)

    others = min(kernel_threads(), len(parts)) - 1
    begun = [_pool(others).submit(work) for _ in range(others)]
    work()
    for other in begun:
        other.result()


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "omnitrack-fused")
