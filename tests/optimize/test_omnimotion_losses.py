"""The terms of an OmniMotion fit, by hand on a field with a known volume, and the exact savings."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from moments import moment
from torch import Tensor, nn

from omnitrack.motion.frame_map import FrameMap
from omnitrack.motion.geometry import Camera
from omnitrack.motion.omnimotion import OmniMotionField, RayShape
from omnitrack.motion.rendering import stratified_depths
from omnitrack.motion.warp import CanonicalWarp
from omnitrack.optimize import omnimotion as recipe
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.method import StepContext
from omnitrack.optimize.methods import get_method
from omnitrack.optimize.ray_batches import carry
from omnitrack.settings import FitSettings, OmniMotionSettings

SIZE = (64, 64)  # 4 px at 256 x 256 are one pixel; 32 pixels, and so 128 px at 256 x 256, one local unit
ZERO_PX = 1e-3  # robust_distance of no difference at all
PLANE = 0.25  # depth of the opaque plane
GREY = (0.2, 0.4, 0.6)
TINY = OmniMotionSettings(
    plane_resolutions=(3, 6),
    plane_channels=4,
    time_channels=2,
    code_width=6,
    hidden=(8, 6),
    two_networks_hidden=(8, 6),
    canonical_hidden=8,
    canonical_layers=2,
    samples=6,
)
ONLY_FLOW = replace(
    TINY,
    photometric_weight=0.0,
    depth_range_weight=0.0,
    smoothness_weight=0.0,
    distortion_weight=0.0,
    depth_prior_weight=0.0,
    guided_share=0.0,
)


class OpaquePlane(nn.Module):
    """Empty in front of the depth PLANE, opaque behind it; one colour."""

    def forward(self, canonical: Tensor) -> tuple[Tensor, Tensor]:
        density = torch.where(canonical[:, 2] >= PLANE, 1e3, 0.0)
        return density, torch.tensor(GREY).expand(len(canonical), 3)


class Drift(FrameMap):
    """Moves frame t by t times `speed` pixels plus t squared times `push`, at any depth."""

    def __init__(self, speed: tuple[float, float], push: float = 0.0) -> None:
        super().__init__(3)
        self.speed, self.push = torch.tensor(speed), push

    def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        maps = torch.eye(2, 3).repeat(len(frames), 1, 1)
        t = frames[:, None].float()
        maps[:, :, 2] = -(t * self.speed + t**2 * self.push) / 32
        return maps


def make_field(
    speed: tuple[float, float] = (0.0, 0.0), push: float = 0.0, num_frames: int = 3, samples: int = 6
) -> OmniMotionField:
    """Return the plane of OpaquePlane in motion."""
    fitted = recipe.assemble(Camera(SIZE), torch.eye(2, 3).repeat(num_frames, 1, 1), TINY)
    assert isinstance(fitted, OmniMotionField)
    assert isinstance(fitted.warp, CanonicalWarp)
    warp = CanonicalWarp(Drift(speed, push), fitted.warp.time, list(fitted.warp.layers))
    return OmniMotionField(Camera(SIZE), warp, OpaquePlane(), num_frames, RayShape(-1, 1, samples))  # type: ignore[arg-type]


def make_batch(
    source_pixels: list[tuple[float, float]],
    target_pixels: list[list[tuple[float, float]]],
    target_frames: list[list[int]],
    confidence: list[list[float]] | None = None,
    occluded: list[list[bool]] | None = None,
    source_frame: int = 0,
    colors: list[tuple[float, float, float]] | None = None,
) -> Batch:
    shape = (len(target_frames), len(target_frames[0]))
    return Batch(
        source_frames=torch.full(shape[:1], source_frame),
        source_pixels=torch.tensor(source_pixels, dtype=torch.float32),
        target_frames=torch.tensor(target_frames),
        target_pixels=torch.tensor(target_pixels, dtype=torch.float32),
        confidence=torch.ones(shape) if confidence is None else torch.tensor(confidence),
        occluded=torch.zeros(shape, dtype=torch.bool) if occluded is None else torch.tensor(occluded),
        colors=torch.tensor([GREY] * shape[0] if colors is None else colors),
        cells=torch.zeros(shape[0], dtype=torch.long),
    )


def some_batch(count: int = 8, num_frames: int = 3) -> Batch:
    """Return anchors all over the middle frame, each with a target before and after, all slightly off."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(count, 2, generator=generator) * torch.tensor([63.0, 47.0])
    targets = pixels[:, None] + torch.randn(count, 2, 2, generator=generator)
    return Batch(
        source_frames=torch.ones(count, dtype=torch.long),
        source_pixels=pixels,
        target_frames=torch.tensor([[0, num_frames - 1]]).expand(count, 2),
        target_pixels=targets,
        confidence=torch.rand(count, 2, generator=generator),
        occluded=torch.rand(count, 2, generator=generator) > 0.8,
        colors=torch.rand(count, 3, generator=generator),
        cells=torch.zeros(count, dtype=torch.long),
    )


def context(share: float = 0.0, settings: FitSettings | None = None) -> StepContext:
    return StepContext(moment(share, settings), torch.Generator().manual_seed(0))


def fit(settings: OmniMotionSettings, **others: object) -> FitSettings:
    return replace(FitSettings(method="omnimotion"), omnimotion=settings, **others)  # type: ignore[arg-type]


def terms_of(
    field: OmniMotionField, batch: Batch, settings: OmniMotionSettings, share: float = 0.0, **others: object
) -> tuple[dict[str, Tensor], Tensor]:
    of_fit = fit(settings, **others)
    terms, errors = recipe.omnimotion_losses(field, batch, of_fit, context(share, of_fit))
    return {name: value.detach() for name, value in terms.items()}, errors


@pytest.fixture
def shaken() -> OmniMotionField:
    """A field with random parameters: nothing is the identity, and surfaces are half transparent."""
    torch.manual_seed(0)
    field = recipe.assemble(Camera(SIZE), torch.eye(2, 3).repeat(3, 1, 1), TINY)
    assert isinstance(field, OmniMotionField)
    with torch.no_grad():
        for parameter in [*field.warp.parameters(), *field.volume.network.out.parameters()]:
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    return field


# --- the terms --------------------------------------------------------------------------------------------------
def test_an_exact_field_agrees_with_the_flow() -> None:
    batch = make_batch([(20, 30), (40, 10)], [[(22, 29), (24, 28)], [(42, 9), (44, 8)]], [[1, 2], [1, 2]])
    terms, errors = terms_of(make_field((2.0, -1.0)), batch, ONLY_FLOW)
    assert float(terms["flow"]) == pytest.approx(ZERO_PX, abs=1e-3)
    torch.testing.assert_close(errors, torch.zeros(2), atol=1e-3, rtol=0)


def test_flow_and_errors_by_hand() -> None:
    """A static field; targets are 5 pixels off (20 of the raster), and one of the two has half the confidence."""
    batch = make_batch(
        [(20, 30), (40, 10)],
        [[(23, 34), (20, 30)], [(40, 10), (40, 10)]],
        [[1, 2], [1, 2]],
        confidence=[[0.5, 1.0], [1.0, 1.0]],
    )
    terms, errors = terms_of(make_field(), batch, ONLY_FLOW)
    expected = (0.5 * 8 * math.log(1 + 20 / 8) + 3 * ZERO_PX) / 3.5
    assert float(terms["flow"]) == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(errors, torch.tensor([0.5 * 20 / 1.5, 0.0]), atol=1e-3, rtol=0)
    plain, _ = terms_of(make_field(), batch, replace(ONLY_FLOW, normalise_weights=False), outlier_px=0.0)
    assert float(plain["flow"]) == pytest.approx(0.5 * (12 + 16) / 2 / 4, rel=1e-3), "published: L1, by their number"


def test_hidden_correspondences_are_not_followed() -> None:
    batch = make_batch([(20, 30)], [[(60, 30), (20, 30)]], [[1, 2]], occluded=[[True, False]])
    terms, errors = terms_of(make_field(), batch, ONLY_FLOW)
    assert float(terms["flow"]) == pytest.approx(ZERO_PX, abs=1e-3)
    assert float(errors) == pytest.approx(0, abs=1e-3)


def test_photometric_terms_by_hand_rise_over_half_of_the_run() -> None:
    colors = [GREY, (0.5, 0.4, 0.6), (0.2, 0.4, 0.6), (0.2, 0.4, 0.0)]
    batch = make_batch([(20, 30)] * 4, [[(20, 30)]] * 4, [[1]] * 4, colors=colors)
    settings = replace(ONLY_FLOW, photometric_weight=2.0, photometric_gradient_weight=3.0)
    terms, _ = terms_of(make_field(), batch, settings, share=0.25)
    assert float(terms["photometric"]) == pytest.approx(0.5 * 2 * (0.3**2 + 0.6**2) / 12, rel=1e-4)
    # neighbours: first and third, second and fourth
    assert float(terms["photometric_gradient"]) == pytest.approx(0.5 * 3 * (0 + 0.3 + 0.6) / 6, rel=1e-4)
    random, _ = terms_of(make_field(), batch, replace(settings, random_neighbours=True), share=0.5)
    assert float(random["photometric_gradient"]) == pytest.approx(3 * (0.3 + 0.3 + 0.6) / 9, rel=1e-4)
    assert float(terms_of(make_field(), batch, settings, share=0.0)[0]["photometric"]) == 0.0


def test_points_that_leave_the_range_of_depth_are_called_back() -> None:
    """The samples of a ray lie between -1 and 1; the volume here covers only the part from -0.5 to 0.5."""
    field = make_field()
    batch = make_batch([(20, 30)] * 3, [[(20, 30)]] * 3, [[1]] * 3)
    depths = stratified_depths(3, -1, 1, 6, context().generator)
    field.shape = replace(field.shape, near=-1.0, far=1.0)
    assert float(terms_of(field, batch, replace(ONLY_FLOW, depth_range_weight=7.0))[0]["depth_range"]) == 0.0

    class Sunk(FrameMap):
        def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
            return torch.eye(2, 3).repeat(len(frames), 1, 1)

        def inverse(self, points: list[Tensor], frames: Tensor) -> list[Tensor]:
            return [points[0], points[1], points[2] + 0.5]

    assert isinstance(field.warp, CanonicalWarp)
    field.warp.frame_map = Sunk(3)
    terms, _ = terms_of(field, batch, replace(ONLY_FLOW, depth_range_weight=7.0))
    expected = 7 * (torch.relu(depths + 0.5 - 1) ** 2).mean()
    assert float(terms["depth_range"]) == pytest.approx(float(expected), rel=1e-4)


def test_smoothness_is_the_bend_of_a_path_in_units_of_depth() -> None:
    settings = replace(ONLY_FLOW, smoothness_weight=5.0)
    batch = make_batch([(20, 30)] * 4, [[(20, 30)]] * 4, [[2]] * 4, source_frame=1)
    assert float(terms_of(make_field((3.0, 1.0)), batch, settings)[0]["smoothness"]) == pytest.approx(0, abs=1e-5)
    # x = push t^2: the second difference is 2 push pixels in x and y, 0 in depth
    bent, _ = terms_of(make_field((3.0, 1.0), push=4.0), batch, settings)
    assert float(bent["smoothness"]) == pytest.approx(5 * 2 * (2 * 4 / 32) / 3, rel=1e-4)
    cut = replace(batch, beside_cut=torch.tensor([True] * 4))
    assert float(terms_of(make_field((3.0, 1.0), push=4.0), cut, settings)[0]["smoothness"]) == 0.0
    ends = replace(batch, source_frames=torch.tensor([0, 2, 0, 2]))
    assert float(terms_of(make_field((3.0, 1.0), push=4.0), ends, settings)[0]["smoothness"]) == 0.0


def test_distortion_comes_in_after_forty_per_cent() -> None:
    """The plane collects a ray's whole weight in one sample: what remains is a third of that sample's length."""
    settings = replace(ONLY_FLOW, distortion_weight=6.0)
    batch = make_batch([(20, 30)] * 2, [[(20, 30)]] * 2, [[1]] * 2)
    depths = stratified_depths(2, -1, 1, 6, context().generator)
    first = (depths >= PLANE).float().argmax(1)
    lengths = torch.cat([depths[:, 1:], depths[:, -1:]], 1) - depths
    expected = lengths.gather(1, first[:, None]).mean() / 3
    for share, part in ((0.4, 0.0), (0.5, 0.5), (0.6, 1.0), (1.0, 1.0)):
        terms, _ = terms_of(make_field(), batch, settings, share=share)
        assert float(terms["distortion"]) == pytest.approx(6 * part * float(expected), rel=1e-3)


def test_the_prior_pulls_rays_to_the_depth_from_motion_and_lets_go() -> None:
    settings = replace(ONLY_FLOW, depth_prior_weight=2.0, guided_share=0.4)
    batch = make_batch([(20, 30)], [[(20, 30)]], [[1]])
    field = make_field()
    depths = stratified_depths(1, -1, 1, 6, context().generator)[0]
    hit = float(depths[(depths >= PLANE).float().argmax()])
    spacing = float(depths[-1] - depths[0]) / 6
    found = []
    for prior in (0.25, -0.6):
        field.first_depth = torch.full((3, 4, 4), prior)
        expected = -math.log(math.exp(-0.5 * ((hit - prior) / spacing) ** 2) + 1e-3)
        found.append(float(terms_of(field, batch, settings)[0]["depth_prior"]))
        assert found[-1] == pytest.approx(2 * expected, rel=1e-3)
    assert found[1] > found[0]
    assert float(terms_of(field, batch, settings, share=0.2)[0]["depth_prior"]) == pytest.approx(found[1] / 2)
    assert float(terms_of(field, batch, settings, share=0.4)[0]["depth_prior"]) == 0.0


def test_points_follow_the_prior_surface_first_and_the_volume_in_the_end() -> None:
    """In front of PLANE everything moves right by 8 pixels per frame, behind it nothing does; the prior is in front."""

    class Parted(FrameMap):
        def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
            maps = torch.eye(2, 3).repeat(len(frames), 1, 1)
            maps[:, 0, 2] = torch.where(depth < PLANE, -frames * 8 / 32, 0.0)
            return maps

    field = make_field()
    assert isinstance(field.warp, CanonicalWarp)
    field.warp.frame_map = Parted(3)
    field.first_depth = torch.full((3, 4, 4), -0.6)
    settings = replace(ONLY_FLOW, guided_share=0.4)
    batch = make_batch([(20, 30)], [[(20, 30)]], [[1]])
    errors = [float(terms_of(field, batch, settings, share=share)[1]) for share in (0.0, 0.2, 0.4)]
    assert errors == pytest.approx([32, 16, 0], abs=0.4)  # 8 pixels, each 4 of the raster
    assert float(terms_of(field, batch, replace(settings, guided_share=0.0))[1]) == pytest.approx(0, abs=1e-3)


def test_the_prior_is_read_where_the_ray_is() -> None:
    field = make_field()
    field.first_depth = torch.arange(3 * 3 * 4).view(3, 3, 4).float()
    pixels, frames = torch.tensor([[0.0, 0.0], [63.0, 47.0], [20.0, 30.0]]), torch.tensor([0, 2, 1])
    assert field.first_depths(pixels, frames).tolist() == [0, 35, 12 + 4 + 1]


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("flow_weight", "flow"),
        ("photometric_weight", "photometric"),
        ("photometric_gradient_weight", "photometric_gradient"),
        ("depth_range_weight", "depth_range"),
        ("smoothness_weight", "smoothness"),
        ("distortion_weight", "distortion"),
        ("depth_prior_weight", "depth_prior"),
    ],
)
def test_weights_are_factors(shaken: OmniMotionField, name: str, term: str) -> None:
    settings = replace(TINY, photometric_gradient_weight=1.0)
    at = 0.45  # every schedule has begun
    whole, _ = terms_of(shaken, some_batch(), settings, at, flow_gradient_weight=0.5)
    twice, _ = terms_of(
        shaken, some_batch(), replace(settings, **{name: 2 * getattr(settings, name)}), at, flow_gradient_weight=0.5
    )
    assert float(whole[term]) > 0
    changed = {key: pytest.approx(float(value)) for key, value in whole.items()}
    changed |= {term: pytest.approx(2 * float(whole[term]))}
    if term == "flow":  # the gradient term is part of the flow
        changed["flow_gradient"] = pytest.approx(2 * float(whole["flow_gradient"]))
    assert {key: float(value) for key, value in twice.items()} == changed


def test_gradients_reach_every_part_of_the_field(shaken: OmniMotionField) -> None:
    terms, errors = recipe.omnimotion_losses(shaken, some_batch(), fit(TINY), context(0.45, fit(TINY)))
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in shaken.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert not errors.requires_grad


def test_nothing_believed_is_no_loss_and_no_nan(shaken: OmniMotionField) -> None:
    batch = replace(some_batch(), confidence=torch.zeros(8, 2))
    terms, errors = terms_of(shaken, batch, TINY, flow_gradient_weight=1.0)
    assert float(terms["flow"]) == 0.0
    assert float(terms["flow_gradient"]) == 0.0
    assert torch.equal(errors, torch.zeros(8))


def test_two_networks_are_asked_to_be_inverse() -> None:
    settings = replace(TINY, mapping="two_networks", cycle_weight=2.0)
    affine = torch.tensor([[0.8, -0.1, 0.05], [0.1, 0.7, -0.02]])
    field = recipe.assemble(Camera(SIZE), affine.repeat(3, 1, 1), settings)
    assert isinstance(field, OmniMotionField)
    batch = some_batch()
    exact, _ = recipe.omnimotion_losses(field, batch, fit(settings), context(0.0, fit(settings)))
    assert exact["cycle"].item() == pytest.approx(0, abs=1e-3), "both start as the identity"
    with torch.no_grad():
        field.warp.there.last.bias.copy_(torch.tensor([0.5, 0.0, 0.0]))  # type: ignore[union-attr]
    off, _ = recipe.omnimotion_losses(field, batch, fit(settings), context(0.0, fit(settings)))
    moved = torch.linalg.solve(affine[:, :2], torch.tensor([0.5, 0.0])).abs().sum() / 3  # mean over x, y and depth
    assert off["cycle"].item() == pytest.approx(2 * 128 * float(moved), rel=1e-3)


def test_neighbours_are_drawn_only_where_a_true_gradient_is_asked_for() -> None:
    asked = replace(TINY, photometric_gradient_weight=1.0)

    def wants(settings: FitSettings) -> bool:
        return get_method("omnimotion").extras(settings).neighbours

    assert not wants(fit(TINY))
    assert wants(fit(asked))
    assert wants(fit(TINY, flow_gradient_weight=0.1))
    assert not wants(fit(replace(asked, random_neighbours=True)))


# --- exact savings ----------------------------------------------------------------------------------------------
def test_a_shared_canonical_pass_gives_what_separate_passes_give(shaken: OmniMotionField) -> None:
    """All targets at once against one at a time, each with its own canonical pass."""
    batch = some_batch()
    columns = shaken.warp.time_columns()
    depths = torch.linspace(-1, 1, 6)
    rays = shaken.cast(batch.source_pixels, batch.source_frames, depths, columns)
    together = carry(shaken, rays.canonical, batch.target_frames, columns)
    for column in range(2):
        for anchor in range(8):
            points = shaken.camera.lift(batch.source_pixels[anchor].expand(6, 2), depths)
            canonical = shaken.warp(points, batch.source_frames[anchor].expand(6), columns)
            alone = shaken.warp.inverse(canonical, batch.target_frames[anchor, column].expand(6), columns)
            torch.testing.assert_close(together[anchor, column], alone, rtol=0, atol=1e-5)


def test_carrying_all_samples_by_number_is_carrying_all(shaken: OmniMotionField) -> None:
    every, _ = terms_of(shaken, some_batch(), replace(TINY, tracked_samples=0), 0.45)
    six, _ = terms_of(shaken, some_batch(), replace(TINY, tracked_samples=6), 0.45)
    assert {name: float(value) for name, value in every.items()} == {name: float(v) for name, v in six.items()}


def test_the_strongest_samples_are_enough_where_surfaces_are_opaque(shaken: OmniMotionField) -> None:
    """One of six samples: exact for an opaque plane; for a fog an approximation that improves with more of them."""
    batch = make_batch([(20, 30), (40, 10)], [[(25, 30)], [(40, 16)]], [[1], [2]])
    field = make_field((2.0, -1.0))
    one, _ = terms_of(field, batch, replace(ONLY_FLOW, tracked_samples=1))
    every, _ = terms_of(field, batch, ONLY_FLOW)
    assert float(one["flow"]) == pytest.approx(float(every["flow"]), rel=1e-5)
    fog = [float(terms_of(shaken, some_batch(), replace(ONLY_FLOW, tracked_samples=n))[0]["flow"]) for n in range(1, 7)]
    assert abs(fog[4] - fog[5]) < abs(fog[0] - fog[5])
    assert fog[4] == pytest.approx(fog[5], rel=0.1)
