"""The terms of the loss, on fields so simple that every number can be computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from omnitrack.motion.cadex import CadexField
from omnitrack.motion.geometry import Camera
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.cadex import assemble, cadex_losses
from omnitrack.optimize.losses import flow_gradient, robust_distance
from omnitrack.settings import CadexSettings

SIZE = (64, 64)  # 4 px at 256 x 256 are one pixel; 32 pixels, and so 128 px at 256 x 256, one unit of depth
ZERO_PX = 1e-3  # robust_distance of no difference at all: the square root's floor
SETTINGS = CadexSettings(
    depth_weight=2.0, depth_prior_weight=0.5, depth_gradient_weight=0.25, occlusion_weight=3.0, occlusion_margin=0.05
)


def make_field(
    depth: torch.Tensor, shift_px: tuple[float, float] = (0.0, 0.0), shaken: float = 0.0, jump_px: float = 0.0
) -> CadexField:
    """Return a plane that moves by `shift_px` per frame, its motion in the camera; maps (T, h, w) of depth.

    In every second frame it is `jump_px` further to the right.
    """
    camera = torch.eye(2, 3).repeat(len(depth), 1, 1)
    camera[:, :, 2] = -torch.arange(len(depth))[:, None] * torch.tensor(shift_px) / 32
    camera[1::2, 0, 2] -= jump_px / 32
    shape = CadexSettings(plane_resolutions=(3, 6), plane_channels=4, time_channels=2, hidden=(8, 6))
    field = assemble(Camera(SIZE), camera, depth, shape)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in field.warp.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * shaken)
    return field


def make_batch(
    source_pixels: list[tuple[float, float]],
    target_pixels: list[list[tuple[float, float]]],
    confidence: list[list[float]],
    occluded: list[list[bool]] | None = None,
    target_frames: list[list[int]] | None = None,
) -> Batch:
    """Return anchors in frame 0."""
    shape = (len(confidence), len(confidence[0]))
    return Batch(
        source_frames=torch.zeros(shape[0], dtype=torch.long),
        source_pixels=torch.tensor(source_pixels, dtype=torch.float32),
        target_frames=torch.ones(shape, dtype=torch.long) if target_frames is None else torch.tensor(target_frames),
        target_pixels=torch.tensor(target_pixels, dtype=torch.float32),
        confidence=torch.tensor(confidence),
        occluded=torch.zeros(shape, dtype=torch.bool) if occluded is None else torch.tensor(occluded),
        colors=torch.zeros(shape[0], 3),
        cells=torch.zeros(shape[0], dtype=torch.long),
    )


@pytest.mark.parametrize(
    ("difference", "outlier_px", "expected"),
    [
        ((3.0, 4.0), 8.0, 8 * math.log(1 + 5 / 8)),
        ((0.0, -8.0), 8.0, 8 * math.log(2)),
        ((6.0, 8.0), 2.0, 2 * math.log(6)),
        ((0.0, 0.0), 8.0, ZERO_PX),
        ((3.0, -4.0), 0.0, 3.5),  # as published: mean of the two sides
    ],
)
def test_robust_distance_by_hand(difference: tuple[float, float], outlier_px: float, expected: float) -> None:
    found = robust_distance(torch.tensor(difference, dtype=torch.float64), outlier_px)
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_robust_distance_gradients() -> None:
    """Also at zero, where a plain length has no gradient; the gradient falls to one half at the outlier distance."""
    x = torch.tensor([[0.3, -0.2], [5.0, 9.0], [0.01, 0.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: robust_distance(d, 8.0), (x,), eps=1e-8)
    x = torch.tensor([[0.0, 0.0], [8.0, 0.0]], dtype=torch.float64, requires_grad=True)
    robust_distance(x, 8.0).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 0.0], [0.5, 0.0]]).double(), atol=1e-6, rtol=0)


def test_an_exact_field_has_no_loss() -> None:
    field = make_field(torch.full((3, 8, 8), 0.2), shift_px=(2.0, -1.0))
    batch = make_batch(
        [(20, 30), (40, 10)],
        [[(22, 29), (24, 28)], [(42, 9), (44, 8)]],
        [[1.0, 0.5], [1.0, 1.0]],
        target_frames=[[1, 2], [1, 2]],
    )
    terms, errors = cadex_losses(field, batch, SETTINGS)
    assert set(terms) == {"flow", "depth", "depth_prior", "depth_gradient", "occlusion"}
    assert terms.pop("flow").item() == pytest.approx(ZERO_PX, abs=1e-3)
    assert all(value.item() == pytest.approx(0, abs=1e-4) for value in terms.values())
    torch.testing.assert_close(errors, torch.zeros(2), atol=1e-3, rtol=0)


def test_flow_term_and_anchor_errors_by_hand() -> None:
    """A static field: the first anchor is 5 pixels off (20 of the raster) in one target, and right in the other.

    The weights are 1 and 0.5 for the first anchor, 0 and 0 for the second.
    """
    field = make_field(torch.zeros(2, 6, 8))
    batch = make_batch([(20, 30), (40, 10)], [[(23, 34), (20, 30)], [(50, 10), (50, 10)]], [[1.0, 0.5], [0.0, 0.0]])
    terms, errors = cadex_losses(field, batch, SETTINGS)
    assert terms["flow"].item() == pytest.approx((8 * math.log(1 + 20 / 8) + 0.5 * ZERO_PX) / 1.5, rel=1e-3)
    torch.testing.assert_close(errors, torch.tensor([20 / 1.5, 0.0]), rtol=1e-4, atol=1e-4)


def test_depth_terms_by_hand() -> None:
    """A point at depth 0.1 lands on a surface that is at 0.4 now and began at 0.2; 128 px at 256 x 256 are one unit.

    That texel of frame 1 has moved by 0.2, its neighbours have not.
    """
    start = torch.full((2, 8, 8), 0.2)
    start[0] = 0.1
    field = make_field(start)
    with torch.no_grad():
        field.depth.maps[1, 3, 2] = 0.4  # texels are 8 x 8 pixels: this one contains (20, 30)
    terms, _ = cadex_losses(field, make_batch([(20, 30)], [[(20, 30)]], [[0.7]]), SETTINGS)
    assert terms["depth"].item() == pytest.approx(2.0 * 0.3 * 128, rel=1e-4)
    assert terms["depth_prior"].item() == pytest.approx(0.5 * 0.1 * 128, rel=1e-4)
    # differences to the left and upper texel changed by -0.2 each at the target's texel, not at the source's
    assert terms["depth_gradient"].item() == pytest.approx(0.25 * (0.2 + 0.2 + 0) / 2 * 128, rel=1e-4)
    assert terms["occlusion"].item() == 0


@pytest.mark.parametrize(
    ("blank", "expected"),
    [
        ([1] * 8, 2 * 3 * 4),  # x at 0, 3, 0: an acceleration of 6 px, 24 at 256 x 256; none in y and depth
        ([2] * 8, 2 * 3 * 4),
        ([1, -1, 9, 9, 9, 9, 9, 9], 2 * 3 * 4 / 2),  # a fourth of the anchors is used; one of the two was found
        ([-1] * 8, 0),
        ([0] * 8, 0),  # at the clip's ends one side has no frame
        ([3] * 8, 0),
    ],
)
def test_smoothness_by_hand(blank: list[int], expected: float) -> None:
    """Four frames of a plane that jumps back and forth by 3 pixels."""
    field = make_field(torch.zeros(4, 8, 8), jump_px=3.0)
    batch = make_batch([(20, 30)] * 8, [[(23, 30)]] * 8, [[1.0]] * 8)
    settings = replace(SETTINGS, smoothness_weight=0.5)
    terms, _ = cadex_losses(field, replace(batch, blank_frames=torch.tensor(blank)), settings)
    assert terms["smoothness"].item() == pytest.approx(0.5 * expected, rel=1e-3, abs=1e-3)


def test_even_motion_is_smooth() -> None:
    field = make_field(torch.full((3, 8, 8), 0.2), shift_px=(2.0, -1.0))
    batch = replace(make_batch([(20, 30)], [[(22, 29)]], [[1.0]]), blank_frames=torch.tensor([1]))
    terms, _ = cadex_losses(field, batch, SETTINGS)
    assert terms["smoothness"].item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("surface", "expected_depth"),
    [
        (0.3, 0.25),  # the point is at 0.1, in front of what occludes it: 0.05 + 0.3 - 0.1
        (0.08, 0.03),  # behind, but by less than the margin
        (0.0, 0.0),  # behind by more than the margin
    ],
)
def test_occlusion_term_by_hand(surface: float, expected_depth: float) -> None:
    depth = torch.full((2, 8, 8), 0.1)
    depth[1] = surface
    batch = make_batch([(20, 30)], [[(20, 30), (20, 30)]], [[0.5, 1.0]], occluded=[[True, False]])
    terms, _ = cadex_losses(make_field(depth), batch, SETTINGS)
    assert terms["occlusion"].item() == pytest.approx(3.0 * 0.5 * expected_depth * 128 / 1.5, abs=1e-4)
    assert terms["depth"].item() == pytest.approx(2.0 * abs(surface - 0.1) * 128 / 1.5, abs=1e-4), "the seen one only"


@pytest.mark.parametrize("term", ["depth", "depth_prior", "depth_gradient", "occlusion"])
def test_weights_are_factors(term: str) -> None:
    start = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(2))
    field = make_field(start)
    with torch.no_grad():
        field.depth.maps.add_(0.1 * torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(3)))
    pixels = [(float(x), 20.0) for x in range(0, 64, 4)]
    hidden = [[n % 2 == 0] for n in range(len(pixels))]
    batch = make_batch(pixels, [[p] for p in pixels], [[1.0]] * len(pixels), occluded=hidden)
    weight = getattr(SETTINGS, f"{term}_weight")
    once = cadex_losses(field, batch, SETTINGS)[0][term].item()
    twice = cadex_losses(field, batch, replace(SETTINGS, **{f"{term}_weight": 2 * weight}))[0][term].item()
    none = cadex_losses(field, batch, replace(SETTINGS, **{f"{term}_weight": 0.0}))[0][term].item()
    assert (twice, none) == (pytest.approx(2 * once), 0)
    assert once > 0


def test_nothing_believed_is_no_loss_and_no_nan() -> None:
    field = make_field(torch.zeros(2, 6, 8), shaken=0.1)
    terms, errors = cadex_losses(field, make_batch([(20, 30)], [[(50, 10)]], [[0.0]]), SETTINGS)
    torch.stack(list(terms.values())).sum().backward()
    assert terms["flow"].item() == 0
    assert errors.tolist() == [0]
    assert all(torch.isfinite(p.grad).all() for p in field.parameters() if p.grad is not None)


def test_gradients_reach_every_part_of_the_field() -> None:
    field = make_field(torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(1)), shaken=0.3)
    pixels = [(float(x), float(y)) for x in range(4, 64, 8) for y in range(4, 48, 8)]
    frames = [[1 + n % 2] for n in range(len(pixels))]
    batch = make_batch(
        pixels,
        [[(x + 1, y)] for x, y in pixels],
        [[1.0]] * len(pixels),
        occluded=[[n % 3 == 0] for n in range(len(pixels))],
        target_frames=frames,
    )
    terms, _ = cadex_losses(field, batch, SETTINGS)
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    assert field.depth.maps.grad is not None
    assert (field.depth.maps.grad.flatten(1).abs().max(1).values > 0).all(), "of source and target frames"


def test_anchor_errors_carry_no_gradient() -> None:
    _, errors = cadex_losses(
        make_field(torch.zeros(2, 6, 8), shaken=0.1), make_batch([(20, 30)], [[(25, 30)]], [[1.0]]), SETTINGS
    )
    assert not errors.requires_grad


def test_flow_gradient_by_hand() -> None:
    difference = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]], [[0.0, 3.0]], [[4.0, 4.0]]])  # anchors 0, 1; neighbours 2, 3
    weight = torch.tensor([[1.0], [0.5], [1.0], [0.5]])
    # |(1, -1)| has a mean of 1 with weight 1, |(-4, -4)| a mean of 4 with weight 1/4
    assert flow_gradient(difference, weight).item() == pytest.approx((1 + 4 / 4) / 1.25)
    assert flow_gradient(difference + 7, weight).item() == pytest.approx((1 + 4 / 4) / 1.25), "a common shift is free"
    assert flow_gradient(difference, torch.zeros(4, 1)).item() == 0


def test_flow_gradient_has_gradients() -> None:
    difference = torch.randn(6, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda d: flow_gradient(d, weight), (difference,))


def test_flow_gradient_is_a_term_where_it_is_weighed() -> None:
    field = make_field(torch.zeros(2, 6, 8))
    batch = make_batch([(20, 30), (21, 30)], [[(24, 30)], [(25, 32)]], [[1.0], [1.0]])
    assert "flow_gradient" not in cadex_losses(field, batch, SETTINGS)[0]
    terms, _ = cadex_losses(field, batch, SETTINGS, flow_gradient_weight=0.5)
    assert terms["flow_gradient"].item() == pytest.approx(0.5 * 1.0 * 256 / 64, rel=1e-3)  # mean of |(0, 2)| px
