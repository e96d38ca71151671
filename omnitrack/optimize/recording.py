"""A step as one GPU graph: recorded once, then launched as a whole instead of operation by operation.

A default step has some 1,200 operations. The host takes some 5 microseconds to launch each, the GPU far less to run it.
A recorded step reads and writes the memory that it was recorded with, and runs no Python. So it changes its arrays in
place, its schedules are on the device (`omnitrack.optimize.moment`), and it is recorded again when its stage changes.
Its random numbers come from a generator that is registered with the graph, and are new each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

WARM_UP = 3  # steps before one is recorded: they compile kernels, fill caches and allocate memory

Result = TypeVar("Result")
Step = Callable[[], Result]


class Graph(Protocol):
    """A recorded step."""

    def replay(self) -> None:
        """Run the step again."""


class Recorder(Protocol):
    """Records steps on a device."""

    def warm_up(self, step: Step[Result]) -> Result:
        """Run a step directly, before it is recorded."""

    def record(self, step: Step[Result], generator: torch.Generator) -> tuple[Graph, Result]:
        """Record a step without running it, with random numbers of a generator; return the graph and its result."""


class CudaRecorder:
    """Records steps on a CUDA device, on a separate stream, as torch requires."""

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
        # the outer context leaves the stream even if the inner one fails to end; other threads may continue meanwhile
        with (
            torch.cuda.stream(self._stream),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            result = step()
        return graph, result


def recorder_for(device: torch.device) -> Recorder | None:
    """The recorder for a device; None if its steps are run directly."""
    return CudaRecorder(device) if device.type == "cuda" else None


class RecordingError(Exception):
    """A step could not be recorded, and has not been run.

    Args:
        reason: Why it could not be recorded.
        generator_state: State of its generator, which must not be used any more: it may still be in recording mode.
    """

    def __init__(self, reason: str, generator_state: Tensor) -> None:
        super().__init__(reason)
        self.generator_state = generator_state


class Recording:
    """Runs steps: the first ones of a stage directly, then by replaying a recorded one.

    Args:
        recorder: Recorder of the device.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._stage: Any = None
        self._graph: Graph | None = None
        self._taken = 0
        self._result: Any = None

    def take(self, stage: Any, step: Step[Result], generator: torch.Generator) -> Result:
        """Run a step.

        Args:
            stage: What the Python of the step depends on: steps of a stage differ only in numbers on the device.
            step: Changes its arrays in place; its result contains no numbers.
            generator: Source of the step's random numbers.

        Raises:
            RecordingError: The step cannot be recorded.
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
            except Exception as error:  # the driver, torch or a kernel may fail in any way
                reason = f"{error or type(error).__name__}".partition("\n")[0]
                raise RecordingError(reason, before) from error
        self._graph.replay()
        result: Result = self._result
        return result
