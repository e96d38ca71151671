"""The operations that a program runs on a device: how many, and which of them make the host wait.

On a CPU nothing waits, but the operations are the same as on any other device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SYNCHRONISING = {
    "aten::_local_scalar_dense",  # item(), float(), int(), bool(), if tensor
    "aten::is_nonzero",
    "aten::equal",
    "aten::nonzero",  # where() with one argument
    "aten::masked_select",
    "aten::bincount",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::repeat_interleave",  # with repeats that are a tensor
    "aten::lift_fresh",  # torch.tensor() of Python numbers, which are copied to the device
}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
# Views and similar: no work on a device.
FREE = {
    "aten::view",
    "aten::_unsafe_view",
    "aten::_reshape_alias",
    "aten::select",
    "aten::slice",
    "aten::expand",
    "aten::t",
    "aten::transpose",
    "aten::permute",
    "aten::unsqueeze",
    "aten::squeeze",
    "aten::split",
    "aten::split_with_sizes",
    "aten::unbind",
    "aten::detach",
    "aten::alias",
    "aten::as_strided",
    "aten::unfold",
    "aten::diagonal",
    "aten::empty",
    "aten::empty_like",
    "aten::new_empty",
    "aten::empty_strided",
}


def waits(func: Any, args: Any) -> str:
    """Return the name of an operation that makes the host wait for the device, or an empty string for any other."""
    name: str = func.name().split(".")[0]
    if name in SYNCHRONISING:
        return name
    masked = name in INDEXING and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return f"{name} with a mask" if masked else ""


class NoHostSync(TorchDispatchMode):
    """Fails at an operation that makes the host wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = waits(func, args)
        assert not found, f"{found} waits for the device"
        return func(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    """Counts operations.

    Attributes:
        count: Number of operations that are work for a device, without views.
        waiting: Number of operations that make the host wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = self.waiting = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.name().split(".")[0] not in FREE
        self.waiting += bool(waits(func, args))
        return func(*args, **(kwargs or {}))
