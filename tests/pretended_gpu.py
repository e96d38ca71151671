"""A device that does not exist: its tensors claim to be on it, and refuse to be mixed with others or read by the host.

The values are on the CPU, so that a fit runs as it would on a GPU: forward, backward and the optimiser.
"""

from __future__ import annotations

from typing import Any

import torch
from device_watch import waits
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
COPIES = {"aten::_to_copy", "aten::copy_", "aten::_foreach_copy_"}
_setup_privateuseone_for_python_backend(NAME)
DEVICE = torch.device(NAME, 0)


class OnDevice(Tensor):
    """A tensor whose values are in `held`, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        about = {"dtype": held.dtype, "device": DEVICE, "requires_grad": held.requires_grad}
        made = torch.Tensor._make_wrapper_subclass(cls, held.size(), held.stride(), held.storage_offset(), **about)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class OnDeviceGenerator(torch.Generator):
    """A generator that claims to be on the device."""

    device = DEVICE


class PretendedGpu(TorchDispatchMode):
    """Makes tensors that are created on the device in the block `OnDevice`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the values of the tensors."""
    name = func.name().split(".")[0]
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    here = any(isinstance(t, OnDevice) for t in tensors)
    if here:
        constant = name == "aten::lift_fresh"  # copied there once, and cached
        assert constant or not waits(func, args), f"{name} reads what is on the device"
        mixed = [t for t in tensors if not isinstance(t, OnDevice) and t.dim()]
        assert not mixed or name in COPIES, f"{name} of tensors on two devices"
    wanted = kwargs.get("device")
    stays = here if wanted is None else torch.device(wanted).type == NAME
    assert not (here and not stays), f"{name} copies to the host"
    held, held_kwargs = tree_map(lambda t: t.held if isinstance(t, OnDevice) else t, (args, dict(kwargs)))
    if wanted is not None:
        held_kwargs["device"] = torch.device("cpu")
    with torch._C.DisableTorchFunctionSubclass():
        found = func(*held, **held_kwargs)
    if stays:
        found = tree_map(lambda t: OnDevice(t) if isinstance(t, Tensor) else t, found)
    return return_and_correct_aliasing(func, args, kwargs, found) if here else found


# What `torch.tensor` of numbers calls, bypassing the mode.
def _empty_strided(size: Any, stride: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
    return OnDevice(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: Tensor, target: OnDevice, non_blocking: bool = False) -> Tensor:
    target.held.copy_(source)
    return target


_library = torch.library.Library("aten", "IMPL")
_library.impl("empty_strided", _empty_strided, "PrivateUse1")
_library.impl("_copy_from", _copy_from, "PrivateUse1")
