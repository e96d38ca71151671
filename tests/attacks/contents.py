"""The content of a project in a form that can be compared: everything except times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

TIMES = ("seconds", "steps_per_second")


def contents(root: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Return a digest of every file below a directory, or of the files with these names; equal for equal content."""
    if names is None:
        names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
    return {name: _digest(root / name) for name in names}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    readers = {".h5": _hdf5, ".pt": _checkpoint, ".npz": _npz, ".json": _json, ".jsonl": _json}
    digest.update(repr(readers.get(path.suffix, Path.read_bytes)(path)).encode())
    return digest.hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return the value without times, and with arrays as digests of their bytes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in sorted(value.items()) if key not in TIMES}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return value


def _hdf5(path: Path) -> Any:
    found: dict[str, Any] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        values = [item[()]] if isinstance(item, h5py.Dataset) else []
        found[name] = _plain([dict(item.attrs), *values])

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return found


def _checkpoint(path: Path) -> Any:
    return _plain(torch.load(path, weights_only=True))


def _npz(path: Path) -> Any:
    with np.load(path) as arrays:
        return _plain({name: arrays[name] for name in arrays.files})


def _json(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return [_plain(json.loads(part)) for part in (text.splitlines() if path.suffix == ".jsonl" else [text])]
