"""Reading files of `torch.save`: scanned as data first, so that torch loads only plain and complete tensors.

`torch.load(weights_only=True)` runs no code, but it trusts the sizes of tensors in a file, inflates compressed entries
without a limit, and returns kinds of tensors that no reader here expects.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from omnitrack.bounded_pickle import BoundedUnpickler, StandIn
from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content

# Bytes of an element, by the last word of a storage's type; types that are missing are complex, quantised or newer.
_ITEM_BYTES = {
    **{"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "BoolStorage": 1},
    **{"LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "UntypedStorage": 1},
}
_STORAGES = {f"torch.{name}": name for name in _ITEM_BYTES} | {"torch.storage.UntypedStorage": "UntypedStorage"}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEADER = 3  # pickles before the content in files older than the zip format: magic, protocol, system
_MOST_AXES = 16


def load_torch(path: Path) -> Any:
    """Load a file of tensors to the CPU: containers, numbers, text, and dense tensors that own their memory.

    Raises:
        ValueError: The file is damaged or truncated, or contains something else.
        OmnitrackError: The content would take more memory than `omnitrack.limits` allows.
        OSError: The file cannot be read.
    """
    import torch

    try:
        _look_through(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OmnitrackError, OSError, ValueError):
        raise
    except Exception as error:  # torch, zip and pickle each fail in their own ways on a damaged file
        cause = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(cause) from error


def _look_through(path: Path) -> None:
    """Refuse a file that torch should not load."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                _look_through_zip(archive, str(path), size)
            return
        file.seek(0)
        readers = [_Looking(file, str(path), size, lambda key: size) for _ in range(_LEGACY_HEADER + 1)]
        try:
            magic, *_ = (reader.load() for reader in readers)
        except OmnitrackError:
            raise
        except Exception:  # a file that is not a pickle fails in as many ways as there are opcodes
            magic = None
        if magic != _LEGACY_MAGIC:
            raise ValueError("it is cut short, or nothing that torch wrote")
        _check_stored(sum(readers[-1].storages.values()), size - file.tell())


def _look_through_zip(archive: zipfile.ZipFile, what: str, size: int) -> None:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise ValueError("its entries are compressed, which torch does not do")
    _check_stored(sum(entry.file_size for entry in entries.values()), size)
    content = next((name for name in entries if name.rpartition("/")[2] == "data.pkl"), None)
    if content is None:
        raise ValueError("it has no data.pkl")
    folder = content.rpartition("/")[0]

    def length(key: str) -> int:
        entry = entries.get(f"{folder}/data/{key}")
        if entry is None:
            raise ValueError(f"it lacks the numbers of tensor {key}")
        return entry.file_size

    with archive.open(content) as file:
        _Looking(file, what, entries[content].file_size, length).load()  # type: ignore[arg-type]


def _check_stored(needed: int, there: int) -> None:
    """Refuse a file that announces more bytes than it has."""
    if needed > there:
        raise ValueError(f"it announces {needed} bytes of tensors, and {there} are there: it is cut short")


class _Looking(BoundedUnpickler):
    """Scans the pickle of a file of tensors without making any tensor.

    Args:
        file: Open where the pickle begins.
        what: The file's name.
        size: Size of the file that `file` reads.
        length: Returns the number of bytes stored under a key.
    """

    def __init__(self, file: BinaryIO, what: str, size: int, length: Callable[[str], int]) -> None:
        rebuild = "torch._utils._rebuild_"
        known: dict[str, Any] = {name: _StorageType(kind) for name, kind in _STORAGES.items()}
        known |= {f"{rebuild}tensor": self._tensor, f"{rebuild}tensor_v2": self._tensor}
        known |= {f"{rebuild}parameter": _first, f"{rebuild}parameter_with_state": _first, "torch.Size": tuple}
        super().__init__(file, what, size, known)
        self._length = length
        self.storages: dict[str, int] = {}  # bytes, by key

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a global; refuse sparse, quantised, nested and meta tensors by their names."""
        try:
            return super().find_class(module, name)
        except OmnitrackError:
            raise ValueError("it is damaged, or holds more than tensors, numbers and text") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the stand-in of a block of numbers: ``("storage", type, key, location, count[, view])``."""
        word, kind, key, _, count = pid[:5]
        if word != "storage" or not isinstance(kind, _StorageType) or not isinstance(key, str) or any(pid[5:]):
            raise ValueError("it refers to something that is no storage")
        needed = _whole(count) * _ITEM_BYTES[kind.name]
        _check_stored(needed, self._length(key))
        self.storages[key] = needed
        return _Storage(needed, _ITEM_BYTES[kind.name])

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        if not isinstance(storage, _Storage) or not len(shape) == len(strides) <= _MOST_AXES:
            raise ValueError("it has a tensor without numbers")
        sides, steps = [_whole(side) for side in shape], [_whole(step) for step in strides]
        last, count, extent = _whole(offset), 1, 1
        for side, step in zip(sides, steps, strict=True):
            last += max(side - 1, 0) * step
            count, extent = count * side, extent * max(side, 1)
        if count and (last + 1) * storage.item_bytes > storage.bytes:
            raise ValueError(f"it has a tensor of the shape {tuple(sides)} that reaches beyond its numbers")
        # Strides of zero repeat numbers that are stored once; a copy of the tensor takes memory for all of them.
        check_content(self._what, extent * storage.item_bytes, self._size)
        return _Tensor()


class _StorageType:
    def __init__(self, name: str) -> None:
        self.name = name


class _Storage:
    def __init__(self, count: int, item_bytes: int) -> None:
        self.bytes, self.item_bytes = count, item_bytes


class _Tensor(StandIn):
    """Stand-in of a tensor that passed the checks."""


def _first(tensor: Any, *_: Any) -> Any:
    return tensor


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"it has {number!r} where a number of elements is needed")
    return number
