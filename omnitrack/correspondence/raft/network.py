"""The networks of RAFT, large and small: encoders of a frame, and the recurrent update of the flow.

Whatever is constant over the iterations is computed once per frame: the context enters every convolution of the
recurrent unit linearly, so its contribution is a term to add. Flow is computed at 1/8 of the frame's size.

Source:
    Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020, and its appendix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.correspondence.raft.correlation import LEVELS, Correlation

STRIDE = 8  # pixels of the frame per cell of the network


@dataclass(frozen=True)
class Architecture:
    """The sizes in which the published networks differ.

    Attributes:
        name: Name for users.
        bottleneck: Whether residual blocks have three convolutions instead of two.
        widths: Channels after the encoder's first convolution and after each of its three stages.
        features: Channels of the features that are correlated.
        hidden: Channels of the recurrent state.
        context: Channels of the context.
        radius: Radius of the correlations read around a point, in cells.
        correlation_widths: Channels of the motion encoder's layers over the correlations.
        flow_widths: Channels of its layers over the flow.
        motion: Channels of its output, including the two of the flow.
        head: Channels of the layer before the flow update.
        kernels: (height, width) of the convolutions of each recurrent unit.
        context_norm: Whether the context encoder has batch normalisation; the feature encoder normalises each frame.
        convex: Whether flow is upsampled by learned weights instead of bilinearly.
    """

    name: str
    bottleneck: bool
    widths: tuple[int, int, int, int]
    features: int
    hidden: int
    context: int
    radius: int
    correlation_widths: tuple[int, ...]
    flow_widths: tuple[int, int]
    motion: int
    head: int
    kernels: tuple[tuple[int, int], ...]
    context_norm: bool
    convex: bool


SMALL = Architecture(
    "small",
    True,
    (32, 32, 64, 96),
    128,
    96,
    64,
    3,
    (96,),
    (64, 32),
    82,
    128,
    ((3, 3),),
    context_norm=False,
    convex=False,
)
LARGE = Architecture(
    "large", False, (64, 64, 96, 128), 256, 128, 128, 4, (256, 192), (128, 64), 128, 256, ((1, 5), (5, 1)),
    context_norm=True, convex=True,
)  # fmt: skip


@dataclass(frozen=True)
class EncodedFrames:
    """The encoding of B frames, h x w cells each.

    Attributes:
        features: (B, C, h, w) features to correlate.
        hidden: (B, hidden, h, w) initial recurrent state.
        terms: Per recurrent unit, (B, 3 hidden, h, w): what the context adds to its gates, biases included.
    """

    features: Tensor
    hidden: Tensor
    terms: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for part in (self.features, self.hidden, *self.terms))

    def at(self, index: int) -> EncodedFrames:
        """Return one of the frames, as a batch of one."""
        one = slice(index, index + 1)
        terms = tuple(part[one].clone() for part in self.terms)
        return replace(self, features=self.features[one].clone(), hidden=self.hidden[one].clone(), terms=terms)

    @staticmethod
    def join(frames: list[EncodedFrames]) -> EncodedFrames:
        """Join the encodings of several frames into one batch, in order."""
        if len(frames) == 1:
            return frames[0]
        terms = zip(*(frame.terms for frame in frames), strict=True)
        return EncodedFrames(
            torch.cat([frame.features for frame in frames]),
            torch.cat([frame.hidden for frame in frames]),
            tuple(torch.cat(unit) for unit in terms),
        )


class RaftNetwork(nn.Module):
    """RAFT for inference; call `prepare` once its parameters are set.

    Args:
        architecture: `SMALL` or `LARGE`.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.features = Encoder(architecture, architecture.features, "frame")
        context = architecture.hidden + architecture.context
        self.context = Encoder(architecture, context, "batch" if architecture.context_norm else "none")
        self.motion = MotionEncoder(architecture)
        inputs = architecture.context + architecture.motion
        self.gru = nn.ModuleList(GatedUnit(architecture.hidden, inputs, kernel) for kernel in architecture.kernels)
        self.head = Head(architecture.hidden, architecture.head, 2, 3)
        if architecture.convex:
            self.mask = Head(architecture.hidden, 256, 9 * STRIDE**2, 1)
        self.compute_type = torch.float32

    def prepare(self, half: torch.dtype = torch.float32) -> RaftNetwork:
        """Prepare for inference: arrange the weights for the iterations.

        Args:
            half: Type of the iterations; the flow itself and the encoders stay float32.
        """
        self.eval().requires_grad_(False)
        for parameter in self.parameters():
            if parameter.dim() == 4:  # convolutions on a CPU are faster in this layout
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.compute_type = half
        for unit in self._units:
            unit.prepare(self.architecture.context, half)
        self.motion.prepare(self.architecture.radius, half)
        self.head.first.to(half)
        return self

    @property
    def _units(self) -> list[GatedUnit]:
        return [unit for unit in self.gru if isinstance(unit, GatedUnit)]

    def encode(self, frames: Tensor) -> EncodedFrames:
        """Encode frames.

        Args:
            frames: (B, 3, H, W) RGB in [-1, 1]; the sides are multiples of 8.
        """
        frames = frames.contiguous(memory_format=torch.channels_last)
        hidden, context = self.context(frames).split([self.architecture.hidden, self.architecture.context], 1)
        context = context.relu()
        terms = tuple(unit.context_terms(context).to(self.compute_type) for unit in self._units)
        return EncodedFrames(self.features(frames), hidden.tanh().to(self.compute_type), terms)

    def iterate(self, source: EncodedFrames, correlation: Correlation, flow: Tensor, iterations: int) -> Tensor:
        """Refine flow.

        Args:
            source: The source frames of the flow.
            correlation: Correlation of their features with the features of the target frames.
            flow: (B, 2, h, w) initial flow, in cells.
            iterations: Number of iterations.

        Returns:
            (B, 2, H, W) flow in pixels.
        """
        hidden = source.hidden
        for _ in range(iterations):
            motion = self.motion(correlation.around(flow), flow)
            for unit, term in zip(self._units, source.terms, strict=True):
                hidden = unit(hidden, motion, term)
            flow = flow + self.head(hidden)
        return self._upsampled(flow, hidden)

    def _upsampled(self, flow: Tensor, hidden: Tensor) -> Tensor:
        if not self.architecture.convex:
            size = [STRIDE * side for side in flow.shape[2:]]
            return STRIDE * F.interpolate(flow, size, mode="bilinear", align_corners=True)
        batch, _, height, width = flow.shape
        # A pixel's flow is a weighted mean over its cell and the eight around it. 0.25: the published networks' scale.
        weights = (0.25 * self.mask(hidden.float())).view(batch, 1, 9, STRIDE, STRIDE, height, width).softmax(2)
        around = F.unfold(STRIDE * flow, 3, padding=1).view(batch, 2, 9, 1, 1, height, width)
        full = (weights * around).sum(2).permute(0, 1, 4, 2, 5, 3)
        return full.reshape(batch, 2, STRIDE * height, STRIDE * width)


# --- encoders ---------------------------------------------------------------------------------------------------
class Encoder(nn.Module):
    """A residual network that maps a frame to cells of 8 x 8 pixels."""

    def __init__(self, architecture: Architecture, channels: int, norm: str) -> None:
        super().__init__()
        widths = architecture.widths
        self.stem = NormedConv(3, widths[0], 7, 2, norm)
        blocks = []
        for stage in (1, 2, 3):
            stride = 1 if stage == 1 else 2
            blocks.append(Block(widths[stage - 1], widths[stage], stride, norm, architecture.bottleneck))
            blocks.append(Block(widths[stage], widths[stage], 1, norm, architecture.bottleneck))
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Conv2d(widths[3], channels, 1)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.stem(frames).relu_()
        for block in self.blocks:
            x = block(x)
        return torch.as_tensor(self.out(x))


class Block(nn.Module):
    """A residual block; every convolution is followed by a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            inner = outputs // 4
            shapes = [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
        else:
            shapes = [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)]
        self.convs = nn.ModuleList(NormedConv(*shape, norm) for shape in shapes)
        self.skip = NormedConv(inputs, outputs, 1, stride, norm) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs:
            y = conv(y).relu_()
        if self.skip is not None:
            x = self.skip(x)
        return (x + y).relu_()


class NormedConv(nn.Module):
    """A convolution and its normalisation: per frame (instance), by batch statistics of the training, or none."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, stride, side // 2)
        self.norm = nn.BatchNorm2d(outputs) if norm == "batch" else None
        self.per_frame = norm == "frame"

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return F.instance_norm(x) if self.per_frame else x


# --- the update -------------------------------------------------------------------------------------------------
class MotionEncoder(nn.Module):
    """Encodes the correlations around the current flow, and the flow itself, as features of the motion."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths, flow_widths = architecture.correlation_widths, architecture.flow_widths
        self.correlation = nn.Conv2d(LEVELS * (2 * architecture.radius + 1) ** 2, widths[0], 1)
        self.correlation_2 = nn.Conv2d(widths[0], widths[1], 3, padding=1) if len(widths) > 1 else None
        self.flow = nn.Conv2d(2, flow_widths[0], 7, padding=3)
        self.flow_2 = nn.Conv2d(flow_widths[0], flow_widths[1], 3, padding=1)
        self.out = nn.Conv2d(widths[-1] + flow_widths[1], architecture.motion - 2, 3, padding=1)

    def prepare(self, radius: int, half: torch.dtype) -> None:
        # The published networks order the correlations around a point column by column, `Correlation` row by row
        # with an additional column, which gets weight 0.
        side, weight = 2 * radius + 1, self.correlation.weight
        turned = F.pad(weight.view(-1, LEVELS, side, side).transpose(2, 3), (0, 1)).reshape(len(weight), -1, 1, 1)
        self.correlation.weight = nn.Parameter(turned, requires_grad=False)
        self.to(half)
        self.flow.float()  # half precision would round the flow itself

    def forward(self, correlation: Tensor, flow: Tensor) -> Tensor:
        half = self.out.weight.dtype
        seen = self.correlation(correlation.to(half)).relu_()
        if self.correlation_2 is not None:
            seen = self.correlation_2(seen).relu_()
        moved = self.flow_2(self.flow(flow).to(half).relu_()).relu_()
        return torch.cat([self.out(torch.cat([seen, moved], 1)).relu_(), flow.to(half)], 1)


class GatedUnit(nn.Module):
    """A convolutional gated recurrent unit whose gates are computed by one convolution.

    Its parameters are those of the published networks; `prepare` splits them into the part of the context, which is
    applied once per frame, and the rest.
    """

    def __init__(self, hidden: int, inputs: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.padding = (kernel[0] // 2, kernel[1] // 2)
        self.hidden = hidden
        self.update = nn.Conv2d(hidden + inputs, hidden, kernel)
        self.reset = nn.Conv2d(hidden + inputs, hidden, kernel)
        self.candidate = nn.Conv2d(hidden + inputs, hidden, kernel)
        for part in ("context_weight", "context_bias", "gates_weight", "candidate_weight"):
            self.register_buffer(part, None, persistent=False)

    def prepare(self, context: int, half: torch.dtype) -> None:
        convs = (self.update, self.reset, self.candidate)
        weight = torch.cat([conv.weight for conv in convs])
        own, of_context, of_motion = weight.split([self.hidden, context, weight.shape[1] - self.hidden - context], 1)
        of_rest = torch.cat([own, of_motion], 1).to(half)
        layout = torch.channels_last
        self.context_weight = of_context.contiguous(memory_format=layout)
        self.context_bias = torch.cat([torch.as_tensor(conv.bias) for conv in convs])
        self.gates_weight = of_rest[: 2 * self.hidden].contiguous(memory_format=layout)
        self.candidate_weight = of_rest[2 * self.hidden :].contiguous(memory_format=layout)

    def context_terms(self, context: Tensor) -> Tensor:
        """Return what the context (B, C, h, w) adds to update gate, reset gate and candidate: (B, 3 hidden, h, w)."""
        return F.conv2d(context, self.context_weight, self.context_bias, padding=self.padding)

    def forward(self, hidden: Tensor, motion: Tensor, terms: Tensor) -> Tensor:
        of_gates, of_candidate = terms.split([2 * self.hidden, self.hidden], 1)
        gates = F.conv2d(torch.cat([hidden, motion], 1), self.gates_weight, padding=self.padding)
        update, reset = gates.add_(of_gates).sigmoid_().chunk(2, 1)
        inputs = torch.cat([reset * hidden, motion], 1)
        candidate = F.conv2d(inputs, self.candidate_weight, padding=self.padding).add_(of_candidate).tanh_()
        return torch.lerp(hidden, candidate, update)


class Head(nn.Module):
    """Two convolutions over the recurrent state; the second is computed in float32."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width, outputs, side, padding=side // 2)

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.as_tensor(self.second(self.first(hidden).relu_().float()))
