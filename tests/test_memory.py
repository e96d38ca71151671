"""One limit of memory: what users write, how it is divided, and how the five settings that it replaces are handled."""

from __future__ import annotations

import gc
import platform
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.memory import (
    BASE_BYTES,
    BYTES_PER_PIXEL,
    batch_bytes,
    cache_bytes,
    give_back,
    largest_pixels,
    looks_bytes,
    machine_bytes,
    most_at_once,
    most_workers,
    parse_gb,
)
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.stages import frame_jobs
from omnitrack.stages.frame_jobs import Budget, budget_of
from omnitrack.stages.init import _SizeFor, init_from_frames


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("8GB", 8.0), ("8", 8.0), (" 1.5 gb ", 1.5), ("512MB", 0.512), ("2GiB", 2.147483648), ("4g", 4.0)],
)
def test_amounts(text: str, gigabytes: float) -> None:
    assert parse_gb(text) == pytest.approx(gigabytes)


@pytest.mark.parametrize("text", ["", "GB", "much", "-1GB", "0", "8TBs", "nan", "1e3GB"])
def test_no_amounts(text: str) -> None:
    with pytest.raises(OmnitrackError, match="is not an amount of memory") as caught:
        parse_gb(text)
    assert caught.value.hint == "for example --max-memory 8GB"


@pytest.mark.parametrize("max_gb", [1.0, 2.0, 4.0, 64.0])
def test_no_stage_takes_more_than_there_is(max_gb: float) -> None:
    left = max_gb * 1e9 - BASE_BYTES
    assert cache_bytes(max_gb) + batch_bytes(max_gb) <= left
    for pixels in (256 * 256, 854 * 480, largest_pixels(max_gb)):
        workers = most_workers(64, max_gb, BYTES_PER_PIXEL * pixels)
        assert 1 <= workers <= 64
        assert cache_bytes(max_gb) + workers * BYTES_PER_PIXEL * pixels <= left * 1.001
    assert cache_bytes(max_gb) + 2 * looks_bytes(max_gb) <= left
    assert most_workers(2, max_gb, 1.0) == 2
    assert most_workers(8, max_gb, 1e15) == 1


def flow_of(pairs: int) -> FlowStore:
    return SimpleNamespace(size=(854, 480), decoded_bytes=pairs * 854 * 480 * 4)  # type: ignore[return-value]


@pytest.mark.parametrize(("cores", "max_gb", "processes"), [(64, 4.0, 5), (1, 4.0, 1), (64, 1.4, 1), (64, 8.0, 10)])
def test_each_process_caches_all_that_it_reads(
    monkeypatch: pytest.MonkeyPatch, cores: int, max_gb: float, processes: int
) -> None:
    """32 frames of 854 x 480 with 258 pairs, of 16,384 points each, by hand.

    The flow takes 423 MB, the frames 39 MB, a process 160 MB, its points 59 MB and its pixels 13 MB: 694.5 MB in all.
    Of 4 GB 3.55 are left, for 5.1 of them; of 1.4 GB 0.95, for 1.4; of 8 GB 7.55, for 10.9.
    """
    monkeypatch.setattr(frame_jobs, "usable_cores", lambda: cores)
    budget = budget_of(flow_of(258), 32, 31, 16384, max_gb)
    assert budget == Budget(processes, 258 * 854 * 480 * 4, 32 * 854 * 480 * 3)


def test_jobs_that_find_points_again_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, by hand: 11,360 points, 1,824 places: 462 + 160 + 60.2 + 13.1 + 29.2 MB, 4.9 times in 3,550."""
    monkeypatch.setattr(frame_jobs, "usable_cores", lambda: 64)
    assert budget_of(flow_of(258), 32, 31, 11360, 4.0, find_again=True).processes == 4


def test_a_job_of_a_long_clip_reads_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 202 frames, those up to 50 away and a tenth more: 465 of 846 MB of flow, 137 MB of frames; 834 MB in all."""
    monkeypatch.setattr(frame_jobs, "usable_cores", lambda: 64)
    budget = budget_of(flow_of(516), 202, 50, 16384, 4.0)
    assert budget.processes == 4
    assert budget.flow_bytes == pytest.approx(0.55 * 516 * 854 * 480 * 4)
    assert budget.looks_bytes == pytest.approx(0.55 * 202 * 854 * 480 * 3)


def test_caches_that_are_too_small_are_shared_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above with ten times the flow, 4.2 GB: of 3.55 GB, 1.775 are for flow and 0.137 for frames, 1.64 for work.

    A process takes 232 MB of those, so 7 share the 1.775 GB, and the 0.53 for frames. With 0.45 + 0.232 + 4.653 + 0.137
    = 5.47 GB, one process would have enough.
    """
    monkeypatch.setattr(frame_jobs, "usable_cores", lambda: 64)
    assert budget_of(flow_of(5160), 202, 50, 16384, 4.0) == Budget(7, 1_775_000_000 // 7, 532_500_000 // 7, 5.5)
    assert budget_of(flow_of(5160), 202, 50, 16384, 5.5).processes == 1


def test_frames_that_wait_to_be_written_have_their_bound() -> None:
    """A frame of 3840 x 2160 is 8.3 MP, 75 MB while it is written; 550 MB of 1 GB are available."""
    size_for = _SizeFor(load_settings(overrides={"memory.max_gb": 1.0}), SILENT)
    assert size_for.most_waiting((3840, 2160), 128) == 7
    assert size_for.most_waiting((64, 48), 128) == 128


def test_clips_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("omnitrack.memory.CGROUP", tmp_path / "memory.max")
    (tmp_path / "memory.max").write_text("max\n")
    whole = machine_bytes()
    (tmp_path / "memory.max").write_text("9000000000\n")
    assert machine_bytes() == min(whole, 9e9)
    monkeypatch.setattr("omnitrack.memory.machine_bytes", lambda: 9e9)
    assert [most_at_once(each) for each in (1.0, 4.0, 9.0, 10.0)] == [9, 2, 1, 1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fit.data_mb", "fit.correspondences"),
        ("filter.cache_mb", "memory.max_gb"),
        ("flow.raft.cache_mb", "memory.max_gb"),
        ("flow.raft.correlation_mb", "memory.max_gb"),
        ("flow.descriptors.cache_mb", "memory.max_gb"),
    ],
)
def test_old_settings_are_told_their_new_name(old: str, new: str) -> None:
    with pytest.raises(OmnitrackError, match=f"^{old} is called {new} now$"):
        load_settings(overrides={old: 100})


def test_large_frames_are_worked_on_smaller_where_memory_is_little(tmp_path: Path) -> None:
    heard: list[str] = []
    progress = Progress()
    progress.note = heard.append  # type: ignore[method-assign]
    settings = load_settings(overrides={"init.max_size": 0, "memory.max_gb": 1.0, "init.cuts": "none"})
    frames = (np.full((1080, 1920, 3), 40 * t, np.uint8) for t in range(2))
    init_from_frames(frames, tmp_path / "clip", settings, 24.0, "frames", progress)
    project = Project(tmp_path / "clip")
    width, height = project.size
    assert project.meta.original_size == (1920, 1080)
    assert 0.97 < width * height / largest_pixels(1.0) < 1.001  # sides are rounded
    assert abs(width / height - 16 / 9) < 0.01
    assert [line for line in heard if "there is no room for frames of 1920x1080 in 1 GB of memory" in line]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_what_refers_to_itself_is_given_back(no_collector: None) -> None:
    class Node:
        itself: Node

    node = Node()
    node.itself = node
    alive = weakref.ref(node)
    del node
    assert alive() is not None
    give_back()
    assert alive() is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_a_thread_has_freed_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096

    def work() -> list[np.ndarray]:
        arrays = [np.ones(8000) for _ in range(2000)]  # 128 MB, in pieces that are not mapped one by one
        return arrays[::100]  # these keep the C library from returning the rest by itself

    give_back()
    before = resident()
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(work).result()
        assert resident() - before > 64e6
        give_back()
        assert resident() - before < 32e6
    assert len(kept) == 20
