"""The state of a fit: copying it, writing it back, and checking that a saved one belongs to this fit."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def copied(state: Mapping[str, Any], into: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Copy a state.

    Args:
        state: In the form of `omnitrack.optimize.engine.Engine.state_dict`.
        into: A copy of the same run that is no longer needed; the new copy reuses its arrays.
    """
    optimizer = state["optimizer"]
    if into is None:
        moments = {index: _cloned(own) for index, own in optimizer["state"].items()}
        field, region_error = _cloned(state["field"]), state["region_error"].clone()
    else:
        write_back(state, into)
        moments, field, region_error = into["optimizer"]["state"], into["field"], into["region_error"]
    copy_of_optimizer = {"state": moments, "param_groups": copy.deepcopy(optimizer["param_groups"])}
    return {**state, "field": field, "optimizer": copy_of_optimizer, "region_error": region_error}


def _cloned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def write_back(state: Mapping[str, Any], into: Mapping[str, Any]) -> None:
    """Write the arrays of one state into the arrays of another state of the same run, in one operation."""
    torch._foreach_copy_(_arrays(into), _arrays(state))


def _arrays(state: Mapping[str, Any]) -> list[Tensor]:
    """All arrays of a state that are on the device."""
    moments = state["optimizer"]["state"].values()
    return [*state["field"].values(), *(m for own in moments for m in own.values()), state["region_error"]]


def check_state(state: Mapping[str, Any], own: Mapping[str, Any], parameters: list[Tensor]) -> None:
    """Compare a saved state with the engine's own: torch would cast, broadcast, or fail in the middle of a step.

    Args:
        state: The saved state.
        own: `omnitrack.optimize.engine.Engine.state_dict` of a fit with the same data and settings.
        parameters: What the optimiser steps, in its order.

    Raises:
        ValueError: A part is missing, or differs in shape, type or value.
        TypeError: A part has an unusable Python type.
    """
    if set(state) != set(own):
        raise ValueError(f"it has {', '.join(sorted(map(str, state)))}")
    _check_tensors(state["field"], own["field"], "field")
    _check_tensors(state, {key: own[key] for key in ("generator", "region_error")}, "state")
    if not (isinstance(state["rate_scale"], float) and 0 < state["rate_scale"] <= 1):
        raise ValueError(f"rate_scale is {state['rate_scale']}")
    _check_groups(state["optimizer"]["param_groups"], own["optimizer"]["param_groups"])
    for index, moments in state["optimizer"]["state"].items():
        like = parameters[index].detach()
        _check_tensors(moments, {"step": torch.zeros(()), "exp_avg": like, "exp_avg_sq": like}, "optimizer")


def _check_groups(found: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]) -> None:
    """Compare the options that the own groups have; the optimiser of earlier versions saved further ones."""
    pairs = zip(found, own, strict=True)  # read only if there are as many
    if len(found) != len(own) or any(
        group[key] != value for group, like in pairs for key, value in like.items() if key != "lr"
    ):
        raise ValueError("it was optimised in another way")
    if not all(math.isfinite(group["lr"]) for group in found):
        raise ValueError("a learning rate is not finite")


def _check_tensors(found: Mapping[str, Any], own: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in own.items():
        value = found.get(name)
        if not isinstance(value, Tensor) or value.shape != tensor.shape or value.dtype != tensor.dtype:
            told = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} of its {where} is {told}, not {tensor.dtype} {tuple(tensor.shape)}")
