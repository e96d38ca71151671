"""Named arrays from files that other programs wrote with numpy (.npz) or torch (.pt)."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TORCH_SUFFIXES = (".pt", ".pth")
Arrays = dict[str, NDArray[Any]]


class Mismatch(Exception):
    """What is wrong with a file; the caller says with which."""


def read_arrays(path: Path, keys: Collection[str], in_order: tuple[str, ...] = ()) -> Arrays:
    """Those of the named arrays that a file holds.

    No code in the file is run: pickled objects are refused in .npz, and .pt is read with ``weights_only=True``.

    Args:
        path: A .npz, or a .pt or .pth of a dictionary of tensors.
        keys: The names wanted; what else is in the file is not read.
        in_order: Names for the tensors of a .pt that holds a plain list of them.

    Raises:
        Mismatch: An unreadable, truncated or foreign file.
    """
    if path.suffix.lower() in TORCH_SUFFIXES:
        return _read_torch(path, keys, in_order)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key in keys}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise Mismatch(f"is not a readable .npz: {error}") from None


def _read_torch(path: Path, keys: Collection[str], in_order: tuple[str, ...]) -> Arrays:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise Mismatch(
            f"is not a readable {path.suffix}: it is damaged, or holds more than tensors, numbers and text"
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        cause = (str(error).splitlines() or ["it is cut short"])[0]
        raise Mismatch(f"is not a readable {path.suffix}: {cause}") from None
    if isinstance(content, (list, tuple)):
        if not in_order:
            raise Mismatch("holds a list of tensors without names; save a dictionary, or name the layout")
        content = dict(zip(in_order, content, strict=False))
    if not isinstance(content, Mapping):
        raise Mismatch(f"holds a {type(content).__name__}, not a dictionary of tensors")
    return {key: _as_array(value) for key, value in content.items() if key in keys}


def _as_array(value: Any) -> NDArray[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.is_floating_point() else value).numpy()  # numpy knows no bfloat16
    return np.asarray(value)
