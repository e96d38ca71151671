"""RAFT as an estimator of a clip: encoded frames are cached, pairs are computed in batches.

Source:
    Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from omnitrack.byte_cache import ByteCache
from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair
from omnitrack.correspondence.raft.checkpoints import PUBLISHED, load_network
from omnitrack.correspondence.raft.correlation import Correlation, Store, pair_bytes
from omnitrack.correspondence.raft.grid import Grid
from omnitrack.correspondence.raft.network import EncodedFrames, RaftNetwork
from omnitrack.device import usable_cores
from omnitrack.memory import batch_bytes, cache_bytes
from omnitrack.settings import RaftSettings
from omnitrack.weights import locate

_GPU_BATCH = 16  # pairs; a CPU is fastest with one pair, whose arrays stay in its cache

Flow = NDArray[np.float32]


class RaftEstimator:
    """RAFT, large or small, as set in `RaftSettings`; a `ClipEstimator`."""

    def __init__(self, settings: RaftSettings) -> None:
        self._settings = settings

    def open(self, clip: Clip) -> RaftPairs:
        """Load the network, downloading it if needed.

        Raises:
            OmnitrackError: No such weights, a failed download, or a file that is not a RAFT checkpoint.
        """
        path = locate(self._settings.weights, PUBLISHED, clip.progress, setting="flow.raft.weights")
        network = load_network(path).to(clip.device)
        return RaftPairs(network.prepare(half_type(self._settings, clip.device)), self._settings, clip)


class RaftPairs:
    """RAFT on the frames of one clip; a `PairEstimator`.

    Concurrent callers share the cores of a CPU; their number is limited by the memory for correlations. A GPU serves
    one caller at a time.

    Args:
        network: The prepared network, on the clip's device.
        settings: Size, iterations and batches.
        clip: The video.
    """

    concurrent = True

    def __init__(self, network: RaftNetwork, settings: RaftSettings, clip: Clip) -> None:
        self._network, self._settings, self._clip = network, settings, clip
        self._grid = Grid.fit(clip.size, settings.side)
        on_gpu = clip.device != "cpu"
        wanted = settings.batch_pairs or (_GPU_BATCH if on_gpu else 1)
        height, width = self._grid.cells
        one = pair_bytes(height, width, network.architecture.radius, network.compute_type)
        fitting = max(1, int(batch_bytes(clip.memory_gb) // one))
        self.batch_pairs = min(wanted, fitting)
        self._threads = torch.get_num_threads()
        self._slots = Slots(1 if on_gpu else min(usable_cores(), fitting // self.batch_pairs))
        self._encoding = threading.Lock()
        self._encoded: ByteCache[int, EncodedFrames] = ByteCache(
            cache_bytes(clip.memory_gb), lambda frames: frames.bytes
        )

    @torch.inference_mode()
    def estimate_pairs(self, pairs: Sequence[Pair], initial: Sequence[Flow | None]) -> list[FlowEstimate]:
        """Estimate the flow of pairs of frames; see `PairEstimator`."""
        estimates: list[FlowEstimate] = []
        for first in range(0, len(pairs), self.batch_pairs):
            batch = slice(first, first + self.batch_pairs)
            with self._slots.take() as (store, callers):
                torch.set_num_threads(max(1, self._threads // callers))
                try:
                    estimates += self._batch(pairs[batch], initial[batch], store)
                finally:
                    torch.set_num_threads(self._threads)  # threads that start later inherit it
        return estimates

    def _batch(self, pairs: Sequence[Pair], initial: Sequence[Flow | None], store: Store) -> list[FlowEstimate]:
        frames = self._frames({index for pair in pairs for index in pair})
        sources = EncodedFrames.join([frames[source] for source, _ in pairs])
        targets = torch.cat([frames[target].features for _, target in pairs])
        correlation = Correlation(
            sources.features,
            targets,
            self._network.architecture.radius,
            batch_bytes(self._clip.memory_gb) / self._slots.count,
            self._network.compute_type,
            store,
        )
        start = torch.from_numpy(np.stack([self._grid.to_cells(flow) for flow in initial])).to(self._clip.device)
        flows = self._network.iterate(sources, correlation, start, self._settings.iterations)
        return [FlowEstimate(self._grid.to_frame(flow)) for flow in flows.permute(0, 2, 3, 1).float().cpu().numpy()]

    def _frames(self, indices: set[int]) -> dict[int, EncodedFrames]:
        """Return encoded frames by index, from the cache if they are in it."""
        found = {}
        with self._encoding:  # otherwise two threads could encode the same frame
            for index in sorted(indices):
                encoded = self._encoded.get(index)
                if encoded is None:
                    image = torch.from_numpy(self._grid.from_frame(self._clip.frame(index))).to(self._clip.device)
                    encoded = self._network.encode(image.permute(2, 0, 1)[None].float() / 127.5 - 1)
                    self._encoded.put(index, encoded)
                found[index] = encoded
        return found


class Slots:
    """A limit on concurrent callers, each with memory that is reused.

    Args:
        count: Largest number of concurrent callers.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free: SimpleQueue[Store] = SimpleQueue()
        for _ in range(count):
            self._free.put(Store())

    @contextmanager
    def take(self) -> Iterator[tuple[Store, int]]:
        """Wait for a slot; yield its memory and the number of slots in use."""
        store = self._free.get()
        try:
            yield store, self.count - self._free.qsize()
        finally:
            self._free.put(store)


def half_type(settings: RaftSettings, device: str) -> torch.dtype:
    """Return the type of the iterations: half precision if it is faster on the device, else float32."""
    if not settings.half_precision:
        return torch.float32
    if device != "cpu":
        return torch.float16
    return torch.bfloat16 if _computes_in_bfloat16() else torch.float32


def _computes_in_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16, as only Linux reports; emulation is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
