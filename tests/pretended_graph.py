"""Graphs of a GPU that is not there: what a step asks of torch is written down, and done again with the same arrays.

As with a real one, a replay runs none of the step's Python: numbers that the host gave it stay what they were, arrays
are those of the recording, and results are written where they were then. Random numbers are drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from device_watch import NoHostSync
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

UNWRITTEN = {"aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided"}  # memory as it is


class PretendedGraph(TorchDispatchMode):
    """Written down while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        aliases = [returned.alias_info for returned in func._schema.returns]
        changes = any(
            argument.alias_info is not None and argument.alias_info.is_write for argument in func._schema.arguments
        )
        fresh = not any(aliases)
        if (fresh or changes) and func.name().split(".")[0] not in UNWRITTEN:  # a view needs no work
            made = [t for t in tree_flatten(found)[0] if isinstance(t, Tensor)] if fresh else []
            self.operations.append((func, args, kwargs or {}, made))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        """Do it again; the first time it has just been done."""
        self.replays += 1
        if self.replays == 1:
            return
        for func, args, kwargs, made in self.operations:
            found = [t for t in tree_flatten(func(*args, **kwargs))[0] if isinstance(t, Tensor)]
            for place, value in zip(made, found if made else [], strict=True):
                place.copy_(value)


class PretendedRecorder:
    """Records on a CPU, and fails where the host would have to know a number.

    Attributes:
        graphs: All that were recorded.
        failing: Fail in the middle of every recording.
    """

    def __init__(self, failing: bool = False) -> None:
        self.graphs: list[PretendedGraph] = []
        self.failing = failing
        self.warm_ups = 0

    def warm_up(self, step: Callable[[], Any]) -> Any:
        """See `omnitrack.optimize.recording.Recorder.warm_up`."""
        self.warm_ups += 1
        return step()

    def record(self, step: Callable[[], Any], generator: torch.Generator) -> tuple[PretendedGraph, Any]:
        """See `omnitrack.optimize.recording.Recorder.record`; the step is taken, and not at the first replay."""
        if self.failing:
            torch.rand(3, generator=generator)
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        graph = PretendedGraph()
        self.graphs.append(graph)
        with NoHostSync(), graph:
            result = step()
        return graph, result
