"""The kernels for a GPU against their reference in torch: in Triton's interpreter, or on a GPU if there is one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from omnitrack.motion.conditioner import PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.encoding import TimeFeatures
from omnitrack.motion.frame_map import FrameAffine
from omnitrack.motion.fused import fused as compiled
from omnitrack.motion.fused import trust
from omnitrack.motion.fused.packing import pack, shape_of
from omnitrack.motion.warp import CanonicalWarp, PlainLayers

pytest.importorskip("triton", reason="the kernels for a GPU are tested with the extra test-kernels")
from omnitrack.motion.fused import gpu_carrying

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FRAMES, TOLERANCE = 5, 2e-5
COUPLINGS = (2, 0, 1, 0)  # one coordinate is changed twice
# sides of the planes, their channels, widths of the hidden layers
SHAPES = {"default": ((12, 48), 16, (32, 16)), "odd": ((2, 5, 3), 4, (21, 5))}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as few programs as possible: each takes the interpreter half a second."""
    monkeypatch.setattr(gpu_carrying, "BLOCK", 32)


def warp_of(scalar_map: str, shape: str = "default", scale: float = 0.1) -> CanonicalWarp:
    """Return a warp with random weights."""
    torch.manual_seed(0)
    sides, channels, hidden = SHAPES[shape]
    time = TimeFeatures(FRAMES, 2)
    layers = [
        Coupling(c, PlaneConditioner(sides, channels, time.width, hidden), SCALAR_MAPS[scalar_map]) for c in COUPLINGS
    ]
    warp = CanonicalWarp(FrameAffine(torch.eye(2, 3).repeat(FRAMES, 1, 1)), time, layers)
    with torch.no_grad():
        for parameter in warp.parameters():
            parameter.add_(torch.randn(parameter.shape) * scale)
    return warp.to(DEVICE)


def results(warp: CanonicalWarp, count: int, inverse: bool, kernels: bool) -> list[Tensor]:
    """Return carried points, and the gradients of their weighted sum by the points and every parameter."""
    generator = torch.Generator().manual_seed(count)
    dtype = next(warp.parameters()).dtype
    points, weight = torch.randn(2, 3, count, generator=generator).to(DEVICE, dtype)
    frames = torch.randint(0, FRAMES, (count,), generator=generator).to(DEVICE)
    points = points.requires_grad_()
    columns = [layer.column(warp.time()) for layer in warp.layers]
    if kernels:
        shape = shape_of(warp.layers)
        assert shape is not None and gpu_carrying.knows(shape)
        landed = gpu_carrying.carried(points, frames, pack(warp.layers, columns), shape, inverse)
    else:
        landed = torch.stack(PlainLayers(warp.layers, columns).carry(list(points.unbind()), frames, inverse))
    return [landed.detach(), *torch.autograd.grad((landed * weight).sum(), [points, *warp.parameters()])]


@pytest.mark.parametrize("inverse", [False, True], ids=["there", "back"])
@pytest.mark.parametrize(("scalar_map", "shape", "count"), [
    ("spline", "default", 37), ("spline", "odd", 1), ("affine", "default", 1), ("affine", "odd", 37),
])  # fmt: skip
def test_values_and_gradients_are_those_of_the_reference(
    scalar_map: str, shape: str, inverse: bool, count: int
) -> None:
    warp = warp_of(scalar_map, shape)
    ours, torchs = (results(warp, count, inverse, kernels) for kernels in (True, False))
    exact = results(warp.double(), count, inverse, False)
    for index, (found, usual, expected) in enumerate(zip(ours, torchs, exact, strict=True)):
        allowed = TOLERANCE * max(float(expected.abs().max()), 1e-3), 4 * float((usual - expected).abs().max())
        assert float((found - expected).abs().max()) <= max(allowed), index


def test_programs_share_the_points_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single program sums all weights, going through the blocks in turn."""
    warp = warp_of("affine", "odd")
    several = results(warp, 70, False, True)
    monkeypatch.setattr(gpu_carrying, "PROGRAMS", 1)
    for alone, shared in zip(results(warp, 70, False, True), several, strict=True):
        torch.testing.assert_close(alone, shared, rtol=1e-4, atol=1e-5)


def test_nothing_is_carried_nowhere() -> None:
    for found in results(warp_of("spline", "odd"), 0, True, True)[2:]:
        assert not found.any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_stays_with_its_point(bad: float) -> None:
    warp = warp_of("affine", "odd")
    points, frames = torch.randn(3, 9).to(DEVICE), torch.zeros(9, dtype=torch.long, device=DEVICE)
    spoilt = points.clone()
    spoilt[1, 5] = bad
    with torch.no_grad():
        columns = [layer.column(warp.time()) for layer in warp.layers]
        packed, shape = pack(warp.layers, columns), shape_of(warp.layers)
        assert shape is not None
        clean, found = (gpu_carrying.carried(p, frames, packed, shape, False) for p in (points, spoilt))
    others = torch.arange(9) != 5
    assert torch.equal(found[:, others], clean[:, others])
    assert bad == 1e30 or not found[:, 5].isfinite().all()


# --- where they are used ----------------------------------------------------------------------------------------
@pytest.fixture
def instead_of_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without a GPU, let the kernels do the work of a CPU."""
    if DEVICE.type == "cpu":
        monkeypatch.setitem(compiled.BACKENDS, "cpu", compiled.BACKENDS["cuda"])
    monkeypatch.setattr(trust, "POINTS", 5)
    compiled.trouble.cache_clear()
    yield
    compiled.trouble.cache_clear()


def test_a_warp_takes_them(instead_of_numba: None) -> None:
    warp = warp_of("spline")
    assert compiled.trouble(DEVICE.type) == ""
    columns = warp.time_columns()
    assert isinstance(columns, compiled.FusedLayers) and columns.carried is gpu_carrying.carried
    points, frames = torch.randn(20, 3, device=DEVICE), torch.arange(20, device=DEVICE) % FRAMES
    with torch.no_grad():
        canonical = warp(points, frames, columns)
        assert (canonical - points).abs().max() > 0.1
        torch.testing.assert_close(warp.inverse(canonical, frames, columns), points, rtol=1e-4, atol=1e-4)


def test_other_shapes_take_the_reference(instead_of_numba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "deviation", lambda carried, device: "")
    for hidden in ((8,), (8, 8, 8), (gpu_carrying.MOST_WIDE + 1, 8)):
        monkeypatch.setitem(SHAPES, "other", ((4,), 4, hidden))
        assert isinstance(warp_of("spline", "other").time_columns(), PlainLayers)


@pytest.mark.parametrize("what", ["values", "gradients", "crash"])
def test_a_wrong_kernel_is_found_out(what: str, instead_of_numba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = gpu_carrying.carried

    def wrong(points: Tensor, *rest: Any) -> Tensor:
        if what == "crash":
            raise RuntimeError("no kernel image is available\nsomewhere")
        found = right(points, *rest)
        return found + 0.01 if what == "values" else found + 0.01 * (points - points.detach())

    monkeypatch.setattr(gpu_carrying, "carried", wrong)
    said = compiled.trouble(DEVICE.type)
    assert said == "triton failed: no kernel image is available" if what == "crash" else "away from its" in said
    assert isinstance(warp_of("spline").time_columns(), PlainLayers)


def test_without_triton_the_reference_is_used(instead_of_numba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "triton" else find(name))
    assert compiled.trouble(DEVICE.type) == "triton is not installed"
    assert isinstance(warp_of("spline").time_columns(), PlainLayers)


# --- compiled ahead of time -------------------------------------------------------------------------------------
def test_the_way_there_fits_into_registers_and_uses_tensor_cores(tmp_path: Path) -> None:
    """Compiled for an A100 and an H100, without having either: nothing is spilled to memory."""
    script, file = Path(__file__).parents[1] / "benchmarks" / "kernels.py", tmp_path / "rows.json"
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(script), "--kernel", "carry", "--json", str(file)]
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    rows = json.loads(file.read_text())["tables"]["kernels"]
    assert {(row["arch"], row["shape"]) for row in rows} == {(a, s) for a in (80, 90) for s in ("default", "paper")}
    for row in rows:
        assert row["spilled"] == 0 and row["local"] == 0 and row["registers"] <= 255, row
        assert row["products"] > 0, row
