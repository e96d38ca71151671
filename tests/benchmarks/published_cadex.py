"""A step of CaDeX++ as in its paper and its released configuration: our own re-implementation, for timing only.

The point of every pixel goes through six couplings, time features are read for every point, the depth maps of all pairs
of a batch are gathered for each of the nine reads of them, the matches are a separate pass, and a batch is drawn in
numpy from whole frames. Network, losses and batch are the published ones: 96 pairs of 1,024 points and of 4 matches.

Left out, in its favour: logging, all guards but one, and a canonical term with weight 0; matches read single texels.

Source:
    CaDeX++ (ECCV 2024) and its configuration "default".
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

PAIRS, POINTS, MATCHES = 96, 1024, 4
CHANNELS, RESOLUTIONS, TIME_CHANNELS = 32, (12, 96), 16
HIDDEN, NUMBERS, FAR = (56, 28), 10, 1e4
INTERVAL, SPREAD, ADJACENT = 12, 10.0, 4  # frames: largest gap, sigma of gaps, gaps equally likely up to here
DEPTH_SHARE = 0.3  # side of a depth map, as a share of the frame's
MATCH_WEIGHT = 0.01
Array = NDArray[Any]


class Drawn(NamedTuple):
    """Pairs of frames, (B,) each, their points (B, n, 2) in pixels, and weights (B,)."""

    first: Tensor
    second: Tensor
    here: Tensor
    there: Tensor
    weight: Tensor


class PiecewiseLinear(torch.autograd.Function):
    """Linear interpolation between six knots (P, 6); a mask selects the piece of each point."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, q: Tensor) -> Tensor:
        q = torch.maximum(torch.minimum(q, 0.99 * x[:, -1]), 0.99 * x[:, 0])
        within = (q[:, None] >= x[:, :-1]) & (q[:, None] < x[:, 1:])
        x0, x1, y0, y1 = x[:, :-1][within], x[:, 1:][within], y[:, :-1][within], y[:, 1:][within]
        ctx.save_for_backward(within, x0, x1, y0, y1, q)
        return y0 + (q - x0) / (x1 - x0) * (y1 - y0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        within, x0, x1, y0, y1, q = ctx.saved_tensors
        slope, t = (y1 - y0) / (x1 - x0), (q - x0) / (x1 - x0)
        parts = []
        for left, right in ((-slope * (1 - t), -slope * t), (1 - t, t)):
            knots = gradient.new_zeros(len(q), 6)
            for columns, share in ((slice(None, -1), left), (slice(1, None), right)):
                dense = gradient.new_zeros(len(q), 5)
                dense[within] = gradient * share
                knots[:, columns] += dense
            parts.append(knots)
        return parts[0], parts[1], gradient * slope


class Layer(nn.Module):
    """A coupling: two feature planes, a network of three layers, a monotone map."""

    def __init__(self, changed: int) -> None:
        super().__init__()
        self.changed, self.kept = changed, [c for c in range(3) if c != changed]
        self.planes = nn.ParameterList(nn.Parameter(1e-4 * torch.randn(1, CHANNELS, r, r)) for r in RESOLUTIONS)
        wide, narrow = HIDDEN
        inputs = CHANNELS * len(RESOLUTIONS) + 3 * TIME_CHANNELS
        self.network = nn.Sequential(
            nn.Linear(inputs, wide), nn.LeakyReLU(), nn.Linear(wide, narrow), nn.LeakyReLU(), nn.Linear(narrow, NUMBERS)
        )

    def forward(self, points: Tensor, time: Tensor, inverse: bool) -> Tensor:
        """Map points (P, 3) with time features (P, n)."""
        place = torch.tanh(points[:, self.kept])[None, :, None]
        read = [F.grid_sample(plane, place, align_corners=True)[0, :, :, 0].t() for plane in self.planes]
        x, y = knots(torch.sigmoid(self.network(torch.cat([*read, time], 1))))
        moved = points.clone()
        changed = points[:, self.changed]
        moved[:, self.changed] = (
            PiecewiseLinear.apply(y, x, changed) if inverse else PiecewiseLinear.apply(x, y, changed)
        )
        return moved


def knots(n: Tensor) -> tuple[Tensor, Tensor]:
    """Return six knots in x and in y, (P, 6) each, from numbers (P, 10)."""
    ends = []
    for outer_left, left, right, outer_right in (n[:, :4].unbind(1), n[:, 4:8].unbind(1)):
        ends.append([-left - outer_left, -left, right, right + outer_right])
    (x, y), slopes = ends, 2 * n[:, 8:]
    x = [x[0] - FAR, *x, x[-1] + FAR]
    y = [y[0] - FAR * slopes[:, 0], *y, y[-1] + FAR * slopes[:, 1]]
    return torch.stack(x, 1), torch.stack(y, 1)


class PublishedCadex(nn.Module):
    """The field, its data, and a step.

    Args:
        frames: Number of frames of the clip.
        size: (width, height) of a frame.
        share: Divisor of the published batch: 1 is all of it, 8 an eighth of the pairs.
    """

    def __init__(self, frames: int, size: tuple[int, int], share: int = 1) -> None:
        super().__init__()
        self.frames, self.size, self.pairs = frames, size, max(1, PAIRS // share)
        self.focal = size[0] / (2 * math.tan(math.radians(20)))
        order = [*torch.randperm(3).tolist(), *torch.randperm(3).tolist()]
        self.layers = nn.ModuleList(Layer(changed) for changed in order)
        base = max(1, frames // 20)
        self.time = nn.ParameterList(
            nn.Parameter(1e-3 * torch.randn(1, TIME_CHANNELS, 1, n * base)) for n in (1, 5, 13)
        )
        maps = 2 + torch.rand(frames, 1, int(DEPTH_SHARE * size[1]), int(DEPTH_SHARE * size[0]))
        self.depth = nn.Parameter(maps.clone())
        self.original = maps
        left, above = maps.roll(1, 3) - maps, maps.roll(1, 2) - maps
        self.original_steps = torch.cat([left, above], 1)
        deform = [p for name, p in self.named_parameters() if name != "depth"]
        self.optimizer = torch.optim.Adam([{"params": deform, "lr": 3e-3}, {"params": [self.depth], "lr": 5e-3}])
        height, width = size[1], size[0]
        self._random = np.random.RandomState(12)
        self._flow = np.zeros((2 * INTERVAL, height, width, 2), np.float32)  # of one frame, read for all others too
        self._mask, self._count = np.ones((height, width), np.float32), np.full((height, width), 20.0, np.float32)

    def draw(self) -> tuple[Drawn, Drawn]:
        """Draw a batch of the dense flow and one of matches, in numpy."""
        return self._draw(POINTS, dense=True), self._draw(MATCHES, dense=False)

    def step(self, batch: tuple[Drawn, Drawn]) -> float:
        """Take one step of the optimiser; return the loss."""
        dense, matches = batch
        terms = self._terms(dense, flow_gradient=0.044, depth=100.0, prior=1.0, gradient=1.0)
        more = self._terms(matches, flow_gradient=0.0, depth=100.0, prior=10.0, gradient=100.0)
        loss = sum(terms) + MATCH_WEIGHT * sum(more)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_([self.depth], 10.0)
        self.optimizer.step()
        assert not bool(torch.isnan(self.depth).any())
        return [float(term.detach()) for term in (*terms, *more, loss)][-1]  # type: ignore[union-attr]

    def _terms(self, drawn: Drawn, flow_gradient: float, depth: float, prior: float, gradient: float) -> list[Tensor]:
        here = self._read(self.depth, drawn.first, drawn.here)[:, 0]
        there = self._read(self.depth, drawn.second, drawn.there)[:, 0]
        was = self._read(self.original, drawn.second, drawn.there)[:, 0]
        lifted = self._lift(drawn.here, here)
        canonical = self._carry(lifted.flatten(0, 1), drawn.first, drawn.here.shape[1], inverse=False)
        points = self._carry(canonical, drawn.second, drawn.here.shape[1], inverse=True).view_as(lifted)
        z = points[..., 2]
        landed = self.focal * points[..., :2] / z[..., None] + torch.tensor(self.size) / 2
        seen = ((landed >= 0) & (landed < torch.tensor(self.size))).all(-1) & (z.abs() >= 1e-2)
        error = (landed - drawn.there).abs()
        weight = drawn.weight[:, None].expand_as(z)
        terms = [(weight[seen] * error[seen].mean(-1)).mean()]
        if flow_gradient:
            apart, sure = (landed - drawn.there)[seen], weight[seen]
            both = sure[1:] * sure[:-1]
            terms.append(flow_gradient * (both * (apart[1:] - apart[:-1]).abs().mean(-1)).sum() / both.sum())
        terms.append(depth * (z - there).abs()[z.abs() >= 1e-2].mean())
        terms.append(prior * (z - was).abs().mean())
        for frames, pixels, read in ((drawn.first, drawn.here, here), (drawn.second, drawn.there, there)):
            beside = [self._read(self.depth, frames, pixels - step)[:, 0] - read for step in torch.eye(2) / DEPTH_SHARE]
            bent = torch.stack(beside, 1) - self._read(self.original_steps, frames, pixels)
            terms.append(gradient * bent.norm(dim=1).mean())
        return terms

    def _carry(self, points: Tensor, frames: Tensor, each: int, inverse: bool) -> Tensor:
        """Map points (B * n, 3) of frames (B,) through all layers; time features are read for every point."""
        times = 2 * (frames + 1) / self.frames - 1
        place = torch.stack([times.repeat_interleave(each), torch.zeros(len(points))], -1)[None, :, None]
        time = torch.cat([F.grid_sample(g, place, align_corners=True)[0, :, :, 0].t() for g in self.time], 1)
        for layer in reversed(self.layers) if inverse else self.layers:
            points = layer(points, time, inverse)
        return points

    def _read(self, maps: Tensor, frames: Tensor, pixels: Tensor) -> Tensor:
        """Read the nearest texels (B, C, n) of maps (T, C, h, w) at pixels (B, n, 2)."""
        place = (2 * pixels / (torch.tensor(self.size) - 1) - 1).clamp(-1, 1)
        if pixels.shape[1] > MATCHES:  # the maps of all pairs are gathered
            return F.grid_sample(maps[frames].clone(), place[:, :, None], mode="nearest", align_corners=True)[..., 0]
        column, row = ((place + 1) / 2 * (torch.tensor(maps.shape[:1:-1]) - 1)).round().long().unbind(-1)
        return maps[frames[:, None], :, row, column].movedim(-1, 1)

    def _lift(self, pixels: Tensor, depth: Tensor) -> Tensor:
        xy = (pixels - torch.tensor(self.size) / 2) * depth[..., None] / self.focal
        return torch.cat([xy, depth[..., None]], -1)

    def _draw(self, points: int, dense: bool) -> Drawn:
        gaps = np.arange(1, min(INTERVAL, self.frames - 1) + 1)
        likely = np.exp(-0.5 * (np.maximum(gaps, ADJACENT) / SPREAD) ** 2)
        rows: list[tuple[int, int, Array, Array, float]] = []
        for _ in range(self.pairs):
            first, gap = self._random.randint(self.frames), self._random.choice(gaps, p=likely / likely.sum())
            second = first + gap if first + gap < self.frames else first - gap
            if dense:
                share = (self._mask / np.sqrt(self._count + 1)).ravel()
                chosen = self._random.choice(share.size, points, replace=False, p=share / share.sum())
            else:
                chosen = self._random.randint(self._mask.size, size=points)
            here = np.stack([chosen % self.size[0], chosen // self.size[0]], -1).astype(np.float32)
            there = here + self._flow[gap - 1].reshape(-1, 2)[chosen]
            ends = (first, second, here, there) if self._random.rand() < 0.5 else (second, first, there, here)
            rows.append((*ends, math.cos((gap - 1) / INTERVAL * math.pi / 3) if dense else 1.0))
        first, second, here, there, weight = (np.array(column) for column in zip(*rows, strict=True))
        return Drawn(*map(torch.from_numpy, (first, second, here, there, weight.astype(np.float32))))
