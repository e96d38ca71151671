"""A step as one graph of a GPU: recorded once, then launched as a whole instead of operation by operation.

A default step is some 1,200 operations, each of which the host takes some 5 microseconds to tell a GPU, and the GPU far
less to do. A recorded step reads and writes the places of memory that it was recorded with, and runs no Python. So what
it changes is changed in place, what it goes by is on the device (`omnitrack.optimize.moment`), and it is recorded anew
where its stage changes. Its random numbers come from a generator that the graph knows, and are new each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

WARM_UP = 3  # steps before one is recorded: they compile kernels, fill caches and find memory

Result = TypeVar("Result")
Step = Callable[[], Result]


class Graph(Protocol):
    """A recorded step."""

    def replay(self) -> None:
        """Do it again."""


class Recorder(Protocol):
    """What records steps on a device."""

    def warm_up(self, step: Step[Result]) -> Result:
        """Take a step as one takes it before it is recorded."""

    def record(self, step: Step[Result], generator: torch.Generator) -> tuple[Graph, Result]:
        """Record a step without taking it, with random numbers of a generator; what it returned."""


class CudaRecorder:
    """Records on a CUDA device, on a stream of its own, as torch asks for."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, step: Step[Result]) -> Result:
        """See `Recorder.warm_up`."""
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = step()
        here.wait_stream(self._stream)
        return result

    def record(self, step: Step[Result], generator: torch.Generator) -> tuple[Graph, Result]:
        """See `Recorder.record`."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(generator)
        # the outer context leaves the stream even where the inner one fails to end; other threads may go on meanwhile
        with (
            torch.cuda.stream(self._stream),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            result = step()
        return graph, result


def recorder_for(device: torch.device) -> Recorder | None:
    """What records steps on a device; None where they are taken as they are written."""
    return CudaRecorder(device) if device.type == "cuda" else None


class RecordingError(Exception):
    """A step could not be recorded, and has not been taken.

    Args:
        reason: Why.
        generator_state: Of its generator, which is not to be used any more: it may take itself to be recorded still.
    """

    def __init__(self, reason: str, generator_state: Tensor) -> None:
        super().__init__(reason)
        self.generator_state = generator_state


class Recording:
    """Takes steps: the first ones of a stage as they are written, then by replaying one.

    Args:
        recorder: Of the device.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._stage: Any = None
        self._graph: Graph | None = None
        self._taken = 0
        self._result: Any = None

    def take(self, stage: Any, step: Step[Result], generator: torch.Generator) -> Result:
        """Take a step.

        Args:
            stage: What the Python of the step depends on: steps of a stage differ in numbers on the device alone.
            step: Changes what it changes in place; its result holds no numbers.
            generator: Of the step's random numbers.

        Raises:
            RecordingError: It cannot be recorded.
        """
        if stage != self._stage:
            self._stage, self._graph, self._taken = stage, None, 0
        if self._graph is None and self._taken < WARM_UP:
            self._taken += 1
            return self._recorder.warm_up(step)
        if self._graph is None:
            before = generator.get_state()
            try:
                self._graph, self._result = self._recorder.record(step, generator)
            except Exception as error:  # whatever the driver, torch or a kernel has against it
                reason = f"{error or type(error).__name__}".partition("\n")[0]
                raise RecordingError(reason, before) from error
        self._graph.replay()
        result: Result = self._result
        return result
