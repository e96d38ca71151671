"""Where to compute."""

from __future__ import annotations

import torch

from omnitrack.errors import OmnitrackError


def pick_device(name: str) -> torch.device:
    """The device of that name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: No such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OmnitrackError(f"there is no device called {name!r}", "use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise OmnitrackError(
            f"device {name} is not there: torch sees {torch.cuda.device_count()} GPUs",
            "use --device cpu, or install a torch that supports your GPU (omnitrack doctor)",
        )
    return device
