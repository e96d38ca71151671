"""Files that contain a dictionary of tensors, the usual format of published networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError
from omnitrack.torch_file import load_torch


def read_tensors(path: Path, failure: Callable[[str], OmnitrackError]) -> Mapping[str, Tensor]:
    """Read the tensors of a file by name, on the CPU.

    Args:
        path: The file.
        failure: Makes the error from a description of the problem.

    Raises:
        OmnitrackError: The file cannot be read, contains something else, or would take too much memory.
    """
    try:
        found = load_torch(path)
    except OSError as error:
        raise OmnitrackError(f"cannot read {path}: {error.strerror or error}", "check the file") from error
    except ValueError as error:
        raise failure(f"torch cannot read it: {error}") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise failure("it is not a dictionary of tensors")
    return found


def mismatch(entries: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: Iterable[str] = ()) -> str:
    """Describe how the entries of a file differ from the tensors of a network.

    Args:
        entries: The file's tensors.
        expected: The network's tensors by the file's names.
        optional: Names of expected tensors that the file may lack.

    Returns:
        The first problem, and the number of others; empty if there is none: names and shapes match, values are finite.
    """
    problems = [f"{name} is missing" for name in sorted(expected.keys() - entries.keys() - set(optional))]
    problems += [f"{name} is unknown" for name in sorted(entries.keys() - expected.keys())]
    for name in (name for name in expected if name in entries):
        found, wanted = tuple(entries[name].shape), tuple(expected[name].shape)
        if found != wanted:
            problems.append(f"{name} has shape {found}, not {wanted}")
        elif not torch.isfinite(entries[name]).all():
            problems.append(f"{name} is not finite")
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return problems[0] + more if problems else ""
