"""Reading a project's torch files: verified by their checksums, and only plain tensors of finite numbers."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError
from omnitrack.torch_file import load_torch

# Errors of reading a file that is damaged or has another form.
NOT_PLAIN = (
    *(OSError, RuntimeError, EOFError, TypeError, ValueError, KeyError, IndexError, AttributeError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
)


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read the dictionary in a file to the CPU, without running any code in it.

    Torch itself does not verify the checksums in its files.

    Raises:
        OSError: The file cannot be read; or another error of `NOT_PLAIN`: it has another form, or is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it unpacks to more than it is")
        damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} in it is damaged")
    try:
        content = load_torch(path)
    except OmnitrackError as error:  # its content is too large for a file of its size
        raise ValueError(error.message) from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    for name, tensor in _tensors_in(content, "", set()):
        if tensor.requires_grad or (tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())):
            raise ValueError(f"{name} has values that are not finite")
    return content


def _tensors_in(content: object, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dictionaries and lists, with their paths; a shared container is visited once."""
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, (dict, list, tuple)) and id(content) not in seen:
        seen.add(id(content))
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _tensors_in(value, f"{name}.{key}" if name else str(key), seen)
