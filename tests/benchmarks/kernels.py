"""Do the GPU kernels fit into the registers, and do they use tensor cores? No GPU is needed.

    python tests/benchmarks/kernels.py [--kernel carry] [--arch 80] [--arch 90] [--preset paper] [--json FILE]

Every kernel is compiled ahead of time for the shape of each preset, and its machine code is inspected. "Spilled" is the
number of bytes per thread that do not fit into its registers; "products" is the number of tensor-core instructions in
the PTX.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "0"  # before the kernels are imported
import torch
import triton
from common import Columns, Report, parser_of
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from omnitrack.motion.fused import gpu_carrying, gpu_couplings
from omnitrack.motion.fused.packing import Shape, shape_of
from omnitrack.motion.geometry import Camera
from omnitrack.optimize.cadex import assemble
from omnitrack.presets import preset_settings

KERNELS = {
    "carry": (gpu_couplings.carry_kernel, gpu_carrying.WARPS),
    "points_backward": (gpu_couplings.points_backward_kernel, gpu_carrying.WARPS),
    "weights_backward": (gpu_couplings.weights_backward_kernel, gpu_carrying.WEIGHTS_WARPS),
}
PRESETS = {"default": None, "paper": "paper"}
INTEGERS = {"frames": "*i64"} | dict.fromkeys(("changed", "sides", "firsts", "state_rows"), "*i32")
INTEGERS |= dict.fromkeys(("count", "num_frames", "nodes", "layers", "num_planes"), "i32")
COLUMNS: Columns = {
    "kernel": "{kernel}",
    "shape": "{shape}",
    "sm": "{arch}",
    "registers": "{registers}",
    "spilled": "{spilled}",
    "shared kB": lambda row: f"{row['shared'] / 1024:.0f}",
    "products": "{products}",
    "local loads and stores": "{local}",
}


def layers_of(preset: str | None) -> tuple[Shape, int]:
    """Return the shape of the couplings of CaDeX++ with a preset, and the number of channels of their planes."""
    settings = preset_settings(preset, "cadex").fit.cadex
    field = assemble(Camera((32, 24)), torch.eye(2, 3).repeat(2, 1, 1), torch.zeros(2, 4, 4), settings)
    shape = shape_of(field.warp.layers)
    assert shape is not None
    return shape, settings.plane_channels


def compiled(kernel: str, arch: int, preset: str) -> dict[str, Any]:
    """Compile a kernel and return its row of the table."""
    function, warps = KERNELS[kernel]
    shape, channels = layers_of(PRESETS[preset])
    meta = gpu_carrying.compiled_for(shape, channels, inverse=True) | {"KEEP": True}
    meta["BLOCK"] = gpu_carrying.BLOCK if kernel == "carry" else gpu_carrying.TILE // meta["PADDED"][0]
    meta = {name: value for name, value in meta.items() if name in function.arg_names}
    signature = {n: "constexpr" if n in meta else INTEGERS.get(n, "*fp32") for n in function.arg_names}
    # torch aligns arrays to multiples of 16 bytes
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(function.arg_names) if signature[n][0] == "*"}
    source = ASTSource(function, signature, meta, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": warps})
    used, ptx = resources(made.asm["cubin"]), made.asm["ptx"]
    return {
        "kernel": kernel,
        "shape": preset,
        "arch": arch,
        "registers": used["REG"],
        "spilled": used["STACK"],
        "shared": made.metadata.shared,
        "products": len(re.findall(r"wgmma\.mma_async|mma\.sync", ptx)),
        "local": len(re.findall(r"\b(?:ld|st)\.local", ptx)),
    }


def resources(machine_code: bytes) -> dict[str, int]:
    """Return the numbers of registers and stack bytes that machine code uses."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(machine_code)
        program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = subprocess.run([program, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"\b(REG|STACK):(\d+)", said)}


def rows(kernels: list[str], archs: list[int], presets: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a row per kernel, architecture and preset."""
    for kernel in kernels:
        for arch in archs:
            for preset in presets:
                yield compiled(kernel, arch, preset)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--kernel", choices=KERNELS, action="append")
    parser.add_argument("--arch", type=int, action="append", help="80: A100, 90: H100 and H200")
    parser.add_argument("--preset", choices=PRESETS, action="append")
    asked = parser.parse_args()
    report = Report(asked.json, triton=triton.__version__)
    table = report.table("kernels", COLUMNS, names=2)
    for row in rows(asked.kernel or list(KERNELS), asked.arch or [80, 90], asked.preset or list(PRESETS)):
        table.add(row)
    report.write()


if __name__ == "__main__":
    main()
