"""The compiled couplings against their reference in torch: values, every gradient, any number of points and threads."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from omnitrack.device import cpu_threads
from omnitrack.motion.conditioner import NetworkConditioner, PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.encoding import TimeFeatures
from omnitrack.motion.frame_map import FrameAffine
from omnitrack.motion.fused.fused import FusedLayers, fused, trouble
from omnitrack.motion.warp import CanonicalWarp, PlainLayers

pytest.importorskip("numba", reason="the compiled core is the extra fast")
from numba.core.dispatcher import Dispatcher

from omnitrack.motion.fused import blocks, carrying, couplings, maps, planes, trust
from omnitrack.motion.fused.blocks import BLOCK
from omnitrack.motion.fused.packing import Packed, shape_of

FRAMES, TOLERANCE = 5, 2e-5
# sides of the planes, their channels, widths of the hidden layers
SHAPES = {"default": ((12, 48), 16, (32, 16)), "odd": ((2, 5, 3), 4, (7,)), "deep": ((6,), 8, (9, 5, 6))}


def warp_of(scalar_map: str, shape: str = "default", scale: float = 0.1) -> CanonicalWarp:
    """Return a warp with random weights."""
    torch.manual_seed(0)
    sides, channels, hidden = SHAPES[shape]
    time = TimeFeatures(FRAMES, 2)
    layers = [
        Coupling(c, PlaneConditioner(sides, channels, time.width, hidden), SCALAR_MAPS[scalar_map])
        for c in (0, 1, 2, 0, 1, 2)
    ]
    warp = CanonicalWarp(FrameAffine(torch.eye(2, 3).repeat(FRAMES, 1, 1)), time, layers)
    with torch.no_grad():
        for parameter in warp.parameters():
            parameter.add_(torch.randn(parameter.shape) * scale)
    return warp


def results(warp: CanonicalWarp, count: int, inverse: bool, kind: type, dtype: torch.dtype) -> list[Tensor]:
    """Return carried points, and the gradients of their weighted sum by the points and every parameter."""
    generator = torch.Generator().manual_seed(count)
    points, weight = torch.randn(2, 3, count, generator=generator).to(dtype)
    frames = torch.randint(0, FRAMES, (count,), generator=generator)
    points = points.requires_grad_()
    columns = [layer.column(warp.time()) for layer in warp.layers]
    layers = PlainLayers(warp.layers, columns) if kind is PlainLayers else fused(warp.layers, columns)
    assert isinstance(layers, kind)
    landed = torch.stack(layers.carry(list(points.unbind()), frames, inverse))
    return [landed.detach(), *torch.autograd.grad((landed * weight).sum(), [points, *warp.parameters()])]


@pytest.mark.parametrize("inverse", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scalar_map", SCALAR_MAPS)
@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 5])
def test_values_and_gradients_are_those_of_the_reference(
    scalar_map: str, shape: str, inverse: bool, count: int
) -> None:
    warp = warp_of(scalar_map, shape)
    ours = results(warp, count, inverse, FusedLayers, torch.float32)
    torchs = results(warp, count, inverse, PlainLayers, torch.float32)
    exact = results(warp.double(), count, inverse, PlainLayers, torch.float64)
    for index, (found, usual, expected) in enumerate(zip(ours, torchs, exact, strict=True)):
        allowed = TOLERANCE * max(float(expected.abs().max()), 1e-3), 4 * float((usual - expected).abs().max())
        assert float((found - expected).abs().max()) <= max(allowed), index


@pytest.mark.parametrize("scalar_map", SCALAR_MAPS)
def test_gradients_at_the_start_of_a_fit(scalar_map: str) -> None:
    """All layers are the identity, and only the gradients of their last products are not zero."""
    warp = warp_of(scalar_map, scale=0.0)
    ours = results(warp, 500, True, FusedLayers, torch.float32)
    exact = results(warp.double(), 500, True, PlainLayers, torch.float64)
    for found, expected in zip(ours, exact, strict=True):
        assert float((found - expected).abs().max()) <= 2e-5 * max(float(expected.abs().max()), 1e-3)


@pytest.mark.parametrize("scalar_map", SCALAR_MAPS)
def test_back_undoes_there(scalar_map: str) -> None:
    warp = warp_of(scalar_map)
    points, frames = torch.randn(500, 3), torch.arange(500) % FRAMES
    with torch.no_grad():
        columns = warp.time_columns()
        assert isinstance(columns, FusedLayers)
        canonical = warp(points, frames, columns)
        assert (canonical - points).abs().max() > 0.1
        torch.testing.assert_close(warp.inverse(canonical, frames, columns), points, rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_threads_or_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    warp, count = warp_of("spline"), 40 * BLOCK + 1
    layers = warp.time_columns()  # computed by torch, whose products depend on the threads
    assert isinstance(layers, FusedLayers)
    leaves = [torch.randn(3, count), *(part.detach() for part in layers.packed)]
    frames, weight = torch.randint(0, FRAMES, (count,)), torch.randn(3, count)

    def carried_by(threads: int) -> list[Tensor]:
        points, *packed = (leaf.clone().requires_grad_() for leaf in leaves)
        with cpu_threads(threads):
            landed = layers.carried(points, frames, Packed(*packed), layers.shape, True)
            gradients = torch.autograd.grad(landed, [points, *packed], weight)
        return [landed.detach(), *gradients]

    found = [carried_by(threads) for threads in (1, 2, 5)]
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
    monkeypatch.setattr(carrying, "SLAB", 8 * BLOCK)
    for a, b in zip(found[0], carried_by(2), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # summed in another order


def test_a_point_does_not_depend_on_its_neighbours() -> None:
    warp = warp_of("spline")
    points, frames = torch.randn(BLOCK + 40, 3), torch.arange(BLOCK + 40) % FRAMES
    with torch.no_grad():
        columns = warp.time_columns()
        together = warp(points, frames, columns)
        alone = [warp(points[i : i + 1], frames[i : i + 1], columns) for i in range(0, len(points), 7)]
        assert torch.equal(torch.cat(alone), together[::7])
        assert warp(points[:0], frames[:0], columns).shape == (0, 3)


def test_sums_in_any_order_are_part_of_the_code_that_python_calls() -> None:
    """Otherwise results differ between the process that compiles and those that read its code from disk."""
    modules = blocks, couplings, maps, planes
    functions = {name: f for part in modules for name, f in vars(part).items() if isinstance(f, Dispatcher)}
    called = {name: functions.keys() & set(f.py_func.__code__.co_names) for name, f in functions.items()}

    def reorders(name: str) -> bool:
        fastmath = functions[name].targetoptions.get("fastmath") or ()
        return "reassoc" in fastmath or any(map(reorders, called[name]))

    within = {name for name in set().union(*called.values()) if reorders(name)}
    assert {"add_sums", "products_backward", "layer_backward"} <= within
    assert not {name for name in within if not functions[name].targetoptions.get("forceinline")}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_stays_with_its_point(bad: float) -> None:
    warp = warp_of("spline")
    points, frames = torch.randn(BLOCK + 3, 3), torch.arange(BLOCK + 3) % FRAMES
    spoilt = points.clone()
    spoilt[5, 1] = bad
    with torch.no_grad():
        columns = warp.time_columns()
        clean, found = warp(points, frames, columns), warp(spoilt, frames, columns)
    others = torch.arange(len(points)) != 5
    assert torch.equal(found[others], clean[others])
    assert bad == 1e30 or not found[5].isfinite().all()


# --- where it is used -------------------------------------------------------------------------------------------
@pytest.fixture
def fresh() -> Iterator[None]:
    """Reset the check, so that the next use counts as the first."""
    trouble.cache_clear()
    yield
    trouble.cache_clear()


def test_other_numbers_and_other_layers_take_the_reference() -> None:
    assert isinstance(warp_of("spline").time_columns(), FusedLayers)
    assert isinstance(warp_of("spline").double().time_columns(), PlainLayers)
    network = [Coupling(c, NetworkConditioner(6, (8, 6)), SCALAR_MAPS["affine"]) for c in (0, 1)]
    assert shape_of(network) is None
    uneven = [Coupling(0, PlaneConditioner((side,), 4, 6, (8, 6)), SCALAR_MAPS["affine"]) for side in (3, 4)]
    assert shape_of(uneven) is None
    assert shape_of([Coupling(0, PlaneConditioner((1,), 4, 6, (8, 6)), SCALAR_MAPS["affine"])]) is None


def test_without_numba_the_reference_is_used(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else find(name))
    assert trouble() == "numba is not installed"
    assert isinstance(warp_of("spline").time_columns(), PlainLayers)


@pytest.mark.parametrize("what", ["values", "gradients", "crash"])
def test_a_wrong_compiler_is_found_out(what: str, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right, right_back = carrying.carry, carrying.carry_backward

    def wrong(points: object, *rest: object) -> None:
        right(points, *rest)
        rest[-1][0] += 0.01  # type: ignore[index]

    def wrong_back(*arguments: object) -> None:
        right_back(*arguments)
        arguments[-4][0] *= 1.01  # type: ignore[index, operator]

    def crash(*arguments: object) -> None:
        raise RuntimeError("LLVM is out of sorts\nsomewhere")

    name = "carry_backward" if what == "gradients" else "carry"
    monkeypatch.setattr(carrying, name, {"values": wrong, "gradients": wrong_back, "crash": crash}[what])
    said = trouble()
    assert said == "numba failed: LLVM is out of sorts" if what == "crash" else "away from its reference" in said
    assert isinstance(warp_of("spline").time_columns(), PlainLayers)


def test_the_first_check_leaves_the_random_numbers_alone(fresh: None) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assert trouble() == ""
    assert torch.equal(torch.rand(4), expected)
    assert trust.TOLERANCE < 0.01
