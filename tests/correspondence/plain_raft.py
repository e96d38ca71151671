"""RAFT written plainly, pair by pair and operation by operation, as in the paper: the tests' reference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]  # named as in `RaftNetwork`


def flow(p: Parameters, first: Tensor, second: Tensor, iterations: int, radius: int, hidden: int) -> Tensor:
    """(1, 2, H, W) flow between two frames (1, 3, H, W) in -1..1."""
    features = [encode(p, "features", frame) for frame in (first, second)]
    state, context = encode(p, "context", first).split([hidden, p["context.out.bias"].shape[0] - hidden], 1)
    state, context = torch.tanh(state), torch.relu(context)
    _, channels, height, width = features[0].shape
    volume = torch.einsum("chw,cij->hwij", features[0][0], features[1][0]) / channels**0.5
    pyramid = [volume.reshape(height * width, 1, height, width)]
    for _ in range(3):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2, 2))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cells = torch.stack([x, y])[None].float()
    points = cells.clone()
    for _ in range(iterations):
        seen = look_up(pyramid, points, radius)
        move = points - cells
        corr = torch.relu(conv(p, "motion.correlation", seen))
        if "motion.correlation_2.weight" in p:
            corr = torch.relu(conv(p, "motion.correlation_2", corr))
        flo = torch.relu(conv(p, "motion.flow_2", torch.relu(conv(p, "motion.flow", move))))
        motion = torch.cat([torch.relu(conv(p, "motion.out", torch.cat([corr, flo], 1))), move], 1)
        inputs = torch.cat([context, motion], 1)
        for unit in range(2 if "gru.1.update.weight" in p else 1):
            both = torch.cat([state, inputs], 1)
            update = torch.sigmoid(conv(p, f"gru.{unit}.update", both))
            reset = torch.sigmoid(conv(p, f"gru.{unit}.reset", both))
            candidate = torch.tanh(conv(p, f"gru.{unit}.candidate", torch.cat([reset * state, inputs], 1)))
            state = (1 - update) * state + update * candidate
        points = points + conv(p, "head.second", torch.relu(conv(p, "head.first", state)))
    move = points - cells
    if "mask.first.weight" not in p:
        return 8 * F.interpolate(move, scale_factor=8, mode="bilinear", align_corners=True)
    return convex_upsampling(move, 0.25 * conv(p, "mask.second", torch.relu(conv(p, "mask.first", state))))


def conv(p: Parameters, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = p[f"{name}.weight"]
    return F.conv2d(x, weight, p[f"{name}.bias"], stride, (weight.shape[2] // 2, weight.shape[3] // 2))


def encode(p: Parameters, name: str, x: Tensor) -> Tensor:
    def normed(layer: str, x: Tensor, stride: int = 1) -> Tensor:
        x = conv(p, f"{layer}.conv", x, stride)
        if name == "features":
            mean, spread = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
            return (x - mean) / torch.sqrt(spread + 1e-5)
        if f"{layer}.norm.weight" in p:
            mean, spread, scale, shift = (
                p[f"{layer}.norm.{part}"][None, :, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            return (x - mean) / torch.sqrt(spread + 1e-5) * scale + shift
        return x

    x = torch.relu(normed(f"{name}.stem", x, 2))
    for block in range(6):
        layer = f"{name}.blocks.{block}"
        stride = 2 if block in (2, 4) else 1
        count = 3 if f"{layer}.convs.2.conv.weight" in p else 2
        y = x
        for index in range(count):
            strided = index == (1 if count == 3 else 0)
            y = torch.relu(normed(f"{layer}.convs.{index}", y, stride if strided else 1))
        if stride == 2:
            x = normed(f"{layer}.skip", x, 2)
        x = torch.relu(x + y)
    return conv(p, f"{name}.out", x)


def look_up(pyramid: list[Tensor], points: Tensor, radius: int) -> Tensor:
    """Look up correlations around points (1, 2, h, w), in the order of the published networks: x, then y."""
    _, _, height, width = points.shape
    centres = points[0].permute(1, 2, 0).reshape(-1, 1, 1, 2)
    reach = torch.arange(-radius, radius + 1.0)
    offsets = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), -1)
    found = []
    for level, volume in enumerate(pyramid):
        size = torch.tensor([volume.shape[3], volume.shape[2]])
        at = 2 * (centres / 2**level + offsets) / (size - 1) - 1
        read = F.grid_sample(volume, at, mode="bilinear", align_corners=True)
        found.append(read.view(height, width, -1).permute(2, 0, 1))
    return torch.cat(found)[None]


def convex_upsampling(move: Tensor, logits: Tensor) -> Tensor:
    """Return each pixel's flow: a mean over the nine cells around it, weighted by the softmax of their logits."""
    _, _, height, width = move.shape
    weights = logits.view(9, 8, 8, height, width).softmax(0)
    padded = F.pad(8 * move, (1, 1, 1, 1))[0]
    full = torch.zeros(1, 2, 8 * height, 8 * width)
    for pixel_y in range(8):
        for pixel_x in range(8):
            total = torch.zeros(2, height, width)
            for neighbour in range(9):
                y, x = divmod(neighbour, 3)
                total += weights[neighbour, pixel_y, pixel_x] * padded[:, y : y + height, x : x + width]
            full[0, :, pixel_y::8, pixel_x::8] = total
    return full
