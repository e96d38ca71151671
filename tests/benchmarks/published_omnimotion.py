"""A step of OmniMotion as in its paper and its released configuration: our own re-implementation, for timing only.

Eight pairs of 256 pixels, 32 samples per ray, six couplings whose codes are joined to every point, the pass to the
canonical volume repeated for the smoothness term, and a batch that is read from a flow file, a mask and two images of
each pair. Without the affine maps, like the released fields of TAP-Vid.

Left out, in its favour: logging, and the images that it renders every 500 steps.

Source:
    OmniMotion (ICCV 2023), supplement and configuration "default".
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from omnitrack.motion.gabor import GaborNetwork

PAIRS, POINTS, SAMPLES, SMOOTH = 8, 256, 32, 64
CODE, HIDDEN, FREQUENCIES = 128, 256, 4
NEAR, FAR, INTERVAL = 0.0, 2.0, 20
WEIGHTS = {"flow_gradient": 0.1, "rgb": 10.0, "depth": 10.0, "distortion": 10.0, "smoothness": 20.0}


class Drawn(NamedTuple):
    """Pairs of frames (B,), their pixels (B, n, 2) in both, weights (B, n) and colours (B, n, 3) in the first."""

    first: Tensor
    second: Tensor
    here: Tensor
    there: Tensor
    weight: Tensor
    color: Tensor


class Layer(nn.Module):
    """An affine coupling."""

    def __init__(self, changed: int) -> None:
        super().__init__()
        self.changed, self.kept = changed, [c for c in range(3) if c != changed]
        self.code = nn.Sequential(nn.Linear(CODE, CODE), nn.LeakyReLU(), nn.Linear(CODE, CODE))
        self.place = nn.Sequential(nn.Linear(2 + 4 * FREQUENCIES, HIDDEN), nn.LeakyReLU())
        widths = (CODE + HIDDEN, HIDDEN, HIDDEN, HIDDEN)
        hidden = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.LeakyReLU())]
        self.network = nn.Sequential(*hidden, nn.Linear(HIDDEN, 2))

    def forward(self, points: Tensor, codes: Tensor, inverse: bool) -> Tensor:
        """Map points (B, n, 3) of frames with codes (B, CODE)."""
        kept = points[..., self.kept]
        angles = (kept[..., None] * (math.pi * 2.0 ** torch.arange(FREQUENCIES))).flatten(-2)
        place = self.place(torch.cat([kept, torch.sin(angles), torch.cos(angles)], -1))
        code = self.code(codes)[:, None].expand(-1, points.shape[1], -1)
        scale, shift = self.network(torch.cat([code, place], -1)).unbind(-1)
        scale, q = scale.clamp(-8, 8), points[..., self.changed]
        moved = points.clone()
        moved[..., self.changed] = q * torch.exp(scale) + shift if inverse else (q - shift) * torch.exp(-scale)
        return moved


class PublishedOmniMotion(nn.Module):
    """The field, its data on disk, and a step.

    Args:
        frames: Number of frames of the clip.
        size: (width, height) of a frame.
        share: Divisor of the published batch: 1 is all of it, 8 one pair.
        folder: Directory of flow, masks and images, which are written once and read for every batch.
    """

    def __init__(self, frames: int, size: tuple[int, int], share: int, folder: Path) -> None:
        super().__init__()
        self.frames, self.size, self.pairs, self.folder = frames, size, max(1, PAIRS // share), folder
        order = [*torch.randperm(3).tolist(), *torch.randperm(3).tolist()]
        self.layers = nn.ModuleList(Layer(changed) for changed in order)
        self.codes = GaborNetwork(1, 256, 2, CODE, alpha=4.5)
        self.volume = GaborNetwork(3, 512, 3, 4, alpha=3.0)
        groups = ((self.codes, 1e-3), (self.layers, 1e-4), (self.volume, 3e-4))
        self.optimizer = torch.optim.Adam([{"params": list(part.parameters()), "lr": rate} for part, rate in groups])
        self._random = np.random.RandomState(12)
        self._write()

    def draw(self) -> Drawn:
        """Draw a batch, read from disk pair by pair."""
        rows = [self._pair() for _ in range(self.pairs)]
        columns = (np.stack(column) for column in zip(*rows, strict=True))
        return Drawn(*(torch.from_numpy(c if c.dtype == np.int64 else c.astype(np.float32)) for c in columns))

    def step(self, drawn: Drawn) -> float:
        """Take one step of the optimiser; return the loss."""
        terms = self._terms(drawn)
        loss = torch.stack(terms).sum()
        self.optimizer.zero_grad()
        loss.backward()
        for p in self.parameters():  # as published, tensor by tensor
            assert not bool(torch.isnan(p).any()) and not (p.grad is not None and bool(torch.isnan(p.grad).any()))
        self.optimizer.step()
        return [float(term.detach()) for term in (*terms, loss)][-1]

    def _terms(self, drawn: Drawn) -> list[Tensor]:
        codes = self.codes((torch.arange(1, self.frames + 1) / self.frames)[:, None])
        depths = self._depths(drawn.here.shape[:2])
        samples = self._rays(drawn.here, depths)
        canonical = self._carry(samples, codes[drawn.first], inverse=False)
        out = self.volume(_contracted(canonical.flatten(0, 2)))
        alpha = 1 - torch.exp(-nn.functional.softplus(out[:, 3] - 1)).view(depths.shape)
        weights = (
            alpha * torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha + 1e-10], -1), -1)[..., :-1]
        )
        color = (weights[..., None] * torch.sigmoid(out[:, :3]).view(*depths.shape, 3)).sum(-2)
        there = self._carry(canonical, codes[drawn.second], inverse=True)
        z = there[..., 2]
        inside = weights * ((z >= NEAR) & (z <= FAR))
        landed = (((inside[..., None] * there).sum(-2)[..., :2] + 1) / 2 * (torch.tensor(self.size) - 1)).flatten(0, 1)
        seen = ((landed >= 0) & (landed <= torch.tensor(self.size) - 1)).all(-1)
        target, sure = drawn.there.flatten(0, 1)[seen], drawn.weight.flatten()[seen]
        apart, colors = landed[seen] - target, color.flatten(0, 1) - drawn.color.flatten(0, 1)
        both = sure[1:] * sure[:-1]
        violation = torch.relu(z - FAR) + torch.relu(NEAR - z)
        return [
            (sure * _without_largest(apart.abs().mean(-1))).mean(),
            WEIGHTS["flow_gradient"] * (both * (apart[1:] - apart[:-1]).abs().mean(-1)).sum() / both.sum(),
            WEIGHTS["rgb"] * (colors**2).mean(),
            WEIGHTS["rgb"] * (colors[1:] - colors[:-1]).abs().mean(),
            WEIGHTS["depth"] * (violation**2).mean(),
            WEIGHTS["distortion"] * _distortion(inside, depths),
            WEIGHTS["smoothness"] * self._smoothness(samples[:, :SMOOTH], drawn.first, codes),
        ]

    def _carry(self, points: Tensor, codes: Tensor, inverse: bool) -> Tensor:
        """Map samples (B, n, K, 3) of frames with codes (B, CODE)."""
        flat = points.flatten(1, 2)
        for layer in reversed(self.layers) if inverse else self.layers:
            flat = layer(flat, codes, inverse)
        return flat.view_as(points)

    def _smoothness(self, samples: Tensor, frames: Tensor, codes: Tensor) -> Tensor:
        """Return the mean acceleration; the pass to the canonical volume is repeated for each neighbour."""
        whole = (frames > 0) & (frames < self.frames - 1)
        samples, frames = samples[whole], frames[whole]
        before, after = (
            self._carry(self._carry(samples, codes[frames], False), codes[frames + by], True) for by in (-1, 1)
        )
        return (2 * samples - before - after).abs().mean()

    def _depths(self, shape: torch.Size) -> Tensor:
        """Draw stratified depths (B, n, K)."""
        depths = torch.linspace(NEAR, FAR, SAMPLES)
        middle = (depths[1:] + depths[:-1]) / 2
        low, high = torch.cat([depths[:1], middle]), torch.cat([middle, depths[-1:]])
        return low + (high - low) * torch.rand(*shape, SAMPLES)

    def _rays(self, pixels: Tensor, depths: Tensor) -> Tensor:
        xy = 2 * pixels / (torch.tensor(self.size) - 1) - 1
        return torch.cat([xy[..., None, :].expand(*depths.shape, 2), depths[..., None]], -1)

    def _write(self) -> None:
        width, height = self.size
        picture = self._random.randint(0, 256, (height, width, 3)).astype(np.uint8)
        flow, mask = np.zeros((height, width, 2), np.float32), np.full((height, width, 3), 255, np.uint8)
        for i in range(self.frames):
            cv2.imwrite(str(self.folder / f"{i:05d}.jpg"), picture)
            cv2.imwrite(str(self.folder / f"{i:05d}_count.png"), np.full((height, width), 20, np.uint16))
        for j in range(1, min(INTERVAL, self.frames - 1) + 1):  # by gap: a file per pair would cost as much to read
            np.save(self.folder / f"flow_{j}.npy", flow)
            cv2.imwrite(str(self.folder / f"mask_{j}.png"), mask)

    def _pair(self) -> tuple[np.ndarray, ...]:
        width, height = self.size
        first = self._random.randint(self.frames)
        others = [j for j in range(self.frames) if 0 < abs(j - first) <= INTERVAL]
        likely = np.array([1.0 if abs(j - first) > 1 else len(others) / 2 for j in others])
        second = self._random.choice(others, p=likely / likely.sum())
        gap = abs(second - first)
        flow = np.load(self.folder / f"flow_{gap}.npy")
        mask = cv2.imread(str(self.folder / f"mask_{gap}.png"))[..., :2].any(-1)
        count = cv2.imread(str(self.folder / f"{first:05d}_count.png"), cv2.IMREAD_UNCHANGED)
        pictures = [cv2.imread(str(self.folder / f"{frame:05d}.jpg")) / 255.0 for frame in (first, second)]
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        grid = np.stack([x, y], -1).astype(np.float64)
        here, there, share = grid[mask], (grid + flow)[mask], 1 / np.sqrt(count[mask] + 1.0)
        chosen = self._random.choice(len(here), POINTS, replace=False, p=share / share.sum())
        weight = np.full(POINTS, math.cos((gap - 1) / INTERVAL * math.pi / 2))
        return np.array(first), np.array(second), here[chosen], there[chosen], weight, pictures[0][mask][chosen]


def _contracted(points: Tensor) -> Tensor:
    """Contract points (P, 3) into a ball of radius 2, with masks."""
    length = points.norm(dim=-1)
    found, outside = torch.zeros_like(points), length > 1
    found[~outside] = points[~outside]
    found[outside] = (2 - 1 / length[outside][:, None]) * points[outside] / length[outside][:, None]
    return found


def _without_largest(error: Tensor) -> Tensor:
    """Set the largest error to zero, found as a quantile."""
    return error * (error < torch.quantile(error.detach(), 1.0))


def _distortion(weights: Tensor, depths: Tensor) -> Tensor:
    """Return the distortion loss over all pairs of samples of a ray."""
    t = torch.cat([depths, depths[..., -1:]], -1)
    middle = (t[..., 1:] + t[..., :-1]) / 2
    apart = (middle[..., :, None] - middle[..., None, :]).abs()
    between = (weights * (weights[..., None, :] * apart).sum(-1)).sum(-1)
    return (between + (weights**2 * (t[..., 1:] - t[..., :-1])).sum(-1) / 3).mean()
