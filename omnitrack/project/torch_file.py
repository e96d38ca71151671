"""Reading a file that torch wrote: plain tensors in plain containers, of sizes that are known before they are taken."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# What reading raises where a file is not what it has to be.
NOT_PLAIN = (
    *(OSError, RuntimeError, EOFError, TypeError, ValueError, KeyError, IndexError, AttributeError, AssertionError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, NotImplementedError),
)
MAKERS = {"torch._utils _rebuild_tensor_v2", "collections OrderedDict"}  # names that a pickle may call


def read_torch_file(path: Path) -> dict[str, Any]:
    """The dictionary in a file, on the processor. Nothing in it is run.

    Torch itself looks neither at the checksums in its files nor at what a few bytes ask it to allocate.

    Raises:
        OSError: It cannot be read; or others of `NOT_PLAIN`: it is no such file, or damaged.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        if packed or sum(entry.file_size for entry in entries) > size:
            raise ValueError("it unpacks to more than it is")
        damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} in it is damaged")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                _check_calls(archive.read(entry))
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    for name, tensor in _tensors_in(content, "", set()):
        _check_tensor(name, tensor)
    return content


def _tensors_in(content: object, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested dictionaries and lists, with where they are; what is shared is looked at once."""
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, (dict, list, tuple)) and id(content) not in seen:
        seen.add(id(content))
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _tensors_in(value, f"{name}.{key}" if name else str(key), seen)


def _check_calls(code: bytes) -> None:
    """Refuse a pickle that calls anything but what rebuilds a tensor: ``bytearray(4000000000)`` is short to write."""
    for operation, argument, _ in pickletools.genops(code):
        named = operation.name == "GLOBAL"
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") or (
            named and argument not in MAKERS and not str(argument).endswith("Storage")
        ):
            raise ValueError(f"it calls {argument or operation.name}")


def _check_tensor(name: str, tensor: Tensor) -> None:
    """Refuse tensors that are not stored element by element, and NaN."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu" or tensor.requires_grad:
        raise ValueError(f"{name} is no plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"{name} has more elements than are stored")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} has values that are not finite")
