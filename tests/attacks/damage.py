"""Ways to damage a file: bytes that a disk or a copy has lost, and contents written by another program."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

Random = np.random.Generator
Damage = Callable[[Path, Random], None]


# --- bytes ------------------------------------------------------------------------------------------------------
def noise(path: Path, random: Random) -> None:
    path.write_bytes(random.bytes(int(random.integers(1, 3000))))


def cut(path: Path, random: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(random.integers(0, len(content)))])


def flip(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def zeros(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    first = int(random.integers(len(content)))
    last = min(len(content), first + int(random.integers(1, 600)))
    content[first:last] = bytes(last - first)
    path.write_bytes(content)


def lengthen(path: Path, random: Random) -> None:
    path.write_bytes(path.read_bytes() + random.bytes(50))


def empty(path: Path, random: Random) -> None:
    path.write_bytes(b"")


def directory(path: Path, random: Random) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path, random: Random) -> None:
    path.unlink()


BYTES: list[Damage] = [noise, cut, zeros, flip, empty, directory]


# --- arrays of HDF5 ---------------------------------------------------------------------------------------------
CHANGES: dict[str, Callable[[Any], Any]] = {
    "a row more": lambda values: np.concatenate([values, values[:1]]),
    "a row less": lambda values: values[:-1],
    "flat": lambda values: values.reshape(-1)[: max(1, values.size // 2)],
    "another type": lambda values: np.zeros(values.shape, np.float64),
    "text": lambda values: "text",
    "nothing": lambda values: h5py.Empty("f4"),
    "not finite": lambda values: np.full(values.shape, np.nan, np.float32),
    "link": lambda values: h5py.SoftLink("/"),
}


def replace_array(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Replace an array by something else."""
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        file[name] = change(values)


def array(path: Path, random: Random) -> None:
    """Replace any array that is not empty by something else."""
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.size else None)
    replace_array(path, str(random.choice(names)), CHANGES[str(random.choice(list(CHANGES)))])


def group(path: Path, random: Random) -> None:
    """Delete a group of a product."""
    with h5py.File(path, "r+") as file:
        del file[str(random.choice(list(file)))]


# --- tensors of a checkpoint ------------------------------------------------------------------------------------
TENSORS: dict[str, Callable[[torch.Tensor], Any]] = {
    "shape": lambda value: torch.zeros(3, *value.shape),
    "type": lambda value: value.double(),
    "not finite": lambda value: torch.full_like(value, torch.nan),
    "expanded": lambda value: torch.zeros(1).expand(10**12),
    "text": lambda value: "text",
    "gone": lambda value: None,
}


def _tensors(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the key of each tensor in a state."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, torch.Tensor):
            yield content, key
        elif isinstance(value, (dict, list)):
            yield from _tensors(value)


def replace_tensor(path: Path, change: str, random: Random) -> None:
    """Replace any floating-point tensor of a checkpoint's state by something else."""
    content = torch.load(path, weights_only=True)
    places = [(inside, key) for inside, key in _tensors(content["state"]) if inside[key].is_floating_point()]
    inside, key = places[int(random.integers(len(places)))]
    if change == "gone":
        del inside[key]
    else:
        inside[key] = TENSORS[change](inside[key])
    torch.save(content, path)


def tensor(path: Path, random: Random) -> None:
    """Apply any of the changes in `TENSORS`."""
    replace_tensor(path, str(random.choice(list(TENSORS))), random)


OF_FORMAT: dict[str, list[Damage]] = {".h5": [array, array, group], ".pt": [tensor, tensor]}


def restore(root: Path, name: str, whole: Path) -> Path:
    """Restore a copy of a project: delete the files that a try has added, and replace the damaged file.

    Returns:
        The restored file.
    """
    for old in root.rglob("*"):
        if old.is_file() and not (whole / old.relative_to(root)).exists():
            old.unlink()
    path = root / name
    if path.is_dir():
        shutil.rmtree(path)
    shutil.copy2(whole / name, path)
    return path
