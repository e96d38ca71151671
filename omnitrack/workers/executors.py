"""The executor for the options of a command line, and how it divides the machine."""

from __future__ import annotations

from omnitrack.errors import UsageError
from omnitrack.memory import GB, most_at_once
from omnitrack.progress import SILENT, Progress
from omnitrack.workers.contract import Executor, Share
from omnitrack.workers.here import Here
from omnitrack.workers.processes import Processes


def choose_executor(
    jobs: int | None,
    device: str,
    memory_gb: float,
    total: int | None = None,
    cluster: str | None = None,
    progress: Progress = SILENT,
) -> Executor:
    """Return the executor for a number of jobs at once.

    Args:
        jobs: Number of jobs at once; None: one, or as many as a cluster has room for.
        device: As for `omnitrack.device.pick_device`.
        memory_gb: Memory that each job may take.
        total: Total number of jobs, if known.
        cluster: Address for Ray, see `omnitrack.workers.cluster.Cluster`; None: this machine, without Ray.
        progress: Receives a note if memory allows fewer jobs.

    Raises:
        OmnitrackError: All jobs are to use one GPU, or Ray is not installed.
    """
    if cluster is not None:
        from omnitrack.workers.cluster import Cluster

        return Cluster(cluster, jobs, device, int(memory_gb * GB))
    count = min(jobs or 1, total or jobs or 1)
    if count > most_at_once(memory_gb):
        count = most_at_once(memory_gb)
        progress.note(f"there is memory for {count} at once, {memory_gb:g} GB each: --max-memory says how much")
    return Processes(local_shares(count, device)) if count > 1 else Here(device)


def local_shares(count: int, device: str) -> list[Share]:
    """Divide this machine into `count` parts: cores evenly, GPUs in turn.

    Raises:
        UsageError: All parts are to use one GPU.
    """
    from omnitrack.device import pick_device, usable_cores

    if device.startswith("cuda:"):
        raise UsageError(
            f"{count} jobs at once on {device} alone would wait for each other",
            "leave out --jobs, or give them all GPUs: --device cuda",
        )
    cores = max(1, usable_cores() // count)
    if pick_device(device).type == "cpu":
        return [Share(cores, device) for _ in range(count)]
    import torch

    return [Share(cores, f"cuda:{number % torch.cuda.device_count()}") for number in range(count)]
