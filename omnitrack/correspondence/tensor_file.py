"""Files that hold a dictionary of tensors, as networks are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError


def read_tensors(path: Path, failure: Callable[[str], OmnitrackError]) -> Mapping[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    Args:
        path: The file.
        failure: Makes the error of what is wrong with it.

    Raises:
        OmnitrackError: The file cannot be read, or holds something else.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise OmnitrackError(f"cannot read {path}: {error.strerror or error}", "check the file") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zip and pickle each fail in their own ways on what is not a checkpoint
        raise failure("torch cannot read it: it is cut short, or something else") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise failure("it is not a dictionary of tensors")
    return found
