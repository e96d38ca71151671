"""Graphs of a GPU that does not exist: the operations of a step are recorded, and repeated with the same arrays.

As with a real one, a replay runs none of the step's Python: numbers that the host passed stay the same, arrays are
those of the recording, and results are written to the same memory. Random numbers are drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from device_watch import NoHostSync
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

UNWRITTEN = {"aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided"}  # memory is left unwritten


class PretendedGraph(TorchDispatchMode):
    """Records the operations that run while it is entered."""

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
        """Repeat the operations; the first time they have just been run."""
        self.replays += 1
        if self.replays == 1:
            return
        for func, args, kwargs, made in self.operations:
            found = [t for t in tree_flatten(func(*args, **kwargs))[0] if isinstance(t, Tensor)]
            for place, value in zip(made, found if made else [], strict=True):
                place.copy_(value)


class PretendedRecorder:
    """Records on a CPU, and fails where the host would have to read a number.

    Attributes:
        graphs: All recorded graphs.
        failing: Fail in the middle of every recording.
    """

    def __init__(self, failing: bool = False) -> None:
        self.graphs: list[PretendedGraph] = []
        self.failing = failing
        self.warm_ups = 0

    def warm_up(self, step: Callable[[], Any]) -> Any:
        """Run the step, as `omnitrack.optimize.recording.Recorder.warm_up` does."""
        self.warm_ups += 1
        return step()

    def record(self, step: Callable[[], Any], generator: torch.Generator) -> tuple[PretendedGraph, Any]:
        """Record the step as `omnitrack.optimize.recording.Recorder.record` does; it runs now, not at a replay."""
        if self.failing:
            torch.rand(3, generator=generator)
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        graph = PretendedGraph()
        self.graphs.append(graph)
        with NoHostSync(), graph:
            result = step()
        return graph, result
