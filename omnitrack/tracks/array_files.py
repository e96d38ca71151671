"""Named arrays from files that other programs wrote with numpy (.npz) or torch (.pt, .pth)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.numpy_file import read_npz
from omnitrack.torch_file import load_torch

TORCH_SUFFIXES = (".pt", ".pth")
Arrays = dict[str, NDArray[Any]]


class Mismatch(Exception):
    """What is wrong with a file; the caller adds the name of the file."""


def read_arrays(path: Path, keys: Collection[str], in_order: tuple[str, ...] = ()) -> Arrays:
    """Read those of the named arrays that a file contains.

    No code in the file is run, and the size of every array is known before it is read.

    Args:
        path: A .npz file, or a .pt or .pth file with a dictionary of tensors.
        keys: Names of the arrays to read; other arrays in the file are not read.
        in_order: Names for the tensors of a .pt file that contains a plain list.

    Raises:
        Mismatch: The file is unreadable, truncated or foreign, or its arrays are not numeric.
        OmnitrackError: The content would take more memory than `omnitrack.limits` allows.
    """
    if path.suffix.lower() in TORCH_SUFFIXES:
        arrays = _read_torch(path, keys, in_order)
    else:
        try:
            arrays = read_npz(path, lambda names: [name for name in names if name in keys])
        except (OSError, ValueError) as error:
            raise Mismatch(f"is not a readable .npz: {error}") from None
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise Mismatch(f"has {key} of type {array.dtype}")
    return arrays


def _read_torch(path: Path, keys: Collection[str], in_order: tuple[str, ...]) -> Arrays:
    try:
        content = load_torch(path)
    except (OSError, ValueError) as error:
        raise Mismatch(f"is not a readable {path.suffix}: {error}") from None
    if isinstance(content, (list, tuple)):
        if not in_order:
            raise Mismatch("holds a list of tensors without names; save a dictionary, or name the layout")
        content = dict(zip(in_order, content, strict=False))
    if not isinstance(content, Mapping):
        raise Mismatch(f"holds a {type(content).__name__}, not a dictionary of tensors")
    return {key: _as_array(key, value) for key, value in content.items() if key in keys}


def _as_array(key: str, value: Any) -> NDArray[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
    try:
        return np.asarray(value)  # plain numbers, or lists of numbers
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Mismatch(f"has {key} that is no array of numbers") from None
