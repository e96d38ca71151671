"""Whether a state that was read is one of the fit that it is to be loaded into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def check_state(state: Mapping[str, Any], own: Mapping[str, Any], parameters: list[Tensor]) -> None:
    """Compare a state with that of the engine itself: torch would cast, broadcast, or fail in the middle of a step.

    Args:
        state: What was read.
        own: `omnitrack.optimize.engine.Engine.state_dict` of a fit with the same data and settings.
        parameters: What the optimiser steps, in its order.

    Raises:
        ValueError: Something is not there, or of another shape or type.
        TypeError: Likewise.
    """
    if set(state) != set(own):
        raise ValueError(f"it has {', '.join(sorted(map(str, state)))}")
    _check_tensors(state["field"], own["field"], "field")
    _check_tensors(state, {key: own[key] for key in ("generator", "region_error")}, "state")
    if not (isinstance(state["rate_scale"], float) and 0 < state["rate_scale"] <= 1):
        raise ValueError(f"rate_scale is {state['rate_scale']}")
    groups = [{**group, "lr": 0.0} for group in state["optimizer"]["param_groups"]]
    if groups != [{**group, "lr": 0.0} for group in own["optimizer"]["param_groups"]]:
        raise ValueError("it was optimised in another way")
    if not all(math.isfinite(group["lr"]) for group in state["optimizer"]["param_groups"]):
        raise ValueError("a learning rate is not finite")
    for index, moments in state["optimizer"]["state"].items():
        like = parameters[index].detach()
        _check_tensors(moments, {"step": torch.zeros(()), "exp_avg": like, "exp_avg_sq": like}, "optimizer")


def _check_tensors(found: Mapping[str, Any], own: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in own.items():
        value = found.get(name)
        if not isinstance(value, Tensor) or value.shape != tensor.shape or value.dtype != tensor.dtype:
            told = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} of its {where} is {told}, not {tensor.dtype} {tuple(tensor.shape)}")
