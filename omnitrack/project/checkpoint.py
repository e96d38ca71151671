"""Checkpoints of a fit: written whole or not at all, and read without running any code."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from omnitrack.atomic import atomic_path
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.progress import Progress
from omnitrack.project.kept import keep
from omnitrack.project.project import Project
from omnitrack.project.replacing import remove_any, writing_to
from omnitrack.project.stamps import is_stamp
from omnitrack.project.torch_file import NOT_PLAIN, read_torch_file
from omnitrack.unavailable import unavailable

FORMAT = 3  # 2: couplings consist of parts; 3: each method has its own settings
KEEP = 2
ASIDE_NAME = "damaged.pt"  # of an unreadable checkpoint that is kept


@dataclass(frozen=True)
class Checkpoint:
    """A fit at some step.

    Attributes:
        path: Its file.
        stamp: What the fit is made from (`omnitrack.project.stamps`).
        seconds: Time spent on the fit so far.
        state: `omnitrack.optimize.engine.Engine.state_dict`.
    """

    path: Path
    stamp: dict[str, Any]
    seconds: float
    state: dict[str, Any]


def save_checkpoint(project: Project, stamp: dict[str, Any], seconds: float, state: dict[str, Any]) -> Path:
    """Write a checkpoint, then remove all but the newest two."""
    path = project.checkpoints_dir / f"step_{state['step']:06d}.pt"
    content = {
        "omnitrack_checkpoint": FORMAT,
        "frames": project.meta.fingerprint,
        "stamp": json.dumps(stamp),
        "seconds": float(seconds),
        "state": state,
    }
    with atomic_path(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # how torch's writer reports a full disk
            raise OSError(str(error)) from error
    keep(path)
    ours = [path, *(other for other in reversed(checkpoint_paths(project)) if other != path)]
    for old in ours[KEEP:]:
        remove_any(old)
    return path


def checkpoint_paths(project: Project) -> list[Path]:
    """Return the project's checkpoints, ordered by step."""
    return sorted(project.checkpoints_dir.glob("step_*.pt"))


def newest_checkpoint(project: Project) -> Path | None:
    """Return the checkpoint written last; None if there is none."""
    written: list[tuple[int, Path]] = []
    for path in checkpoint_paths(project):
        with suppress(FileNotFoundError):  # a running fit has removed it
            written.append((path.stat().st_mtime_ns, path))
    return max(written, default=(0, None))[1]


def step_towards_a_fit(project: Project) -> str:
    """Return the first missing step towards a fitted field, with the command for it."""
    for product, hint in (("flow", "first comes its flow: omnitrack flow"), ("filtered", "next: omnitrack filter")):
        if not project.product_path(product).exists():
            return f"{hint} {project.root}"
    return f"fit one: omnitrack fit {project.root}"


def load_checkpoint(project: Project, path: Path | None = None) -> Checkpoint:
    """Load a checkpoint, the newest one unless another is named.

    Raises:
        DamagedError: The checkpoint is damaged or foreign.
        UnavailableError: It cannot be read now, or access is denied.
        OmnitrackError: There is no checkpoint, or it belongs to other frames or another version.
    """
    if path is not None:
        return _load(project, path)
    while newest := newest_checkpoint(project):
        try:
            return _load(project, newest)
        except DamagedError:
            if newest.exists():
                raise  # otherwise a running fit has written a newer one and removed this one
    raise OmnitrackError(f"project {project.root} has no fitted field yet", step_towards_a_fit(project))


def _load(project: Project, path: Path) -> Checkpoint:
    command = f"omnitrack fit {project.root}"
    try:
        content = read_torch_file(path)
        found = content["omnitrack_checkpoint"]
        if found != FORMAT:
            raise OmnitrackError(
                f"{path} has format {found}, this omnitrack reads format {FORMAT}",
                f"update omnitrack, or fit again: {command}",
            )
        if content["frames"] != project.meta.fingerprint:
            raise OmnitrackError(
                f"{path} was fitted to other frames than project {project.root} has", f"fit again: {command}"
            )
        return _checked(path, content)
    except KeyError as error:
        raise _unreadable(path, f"it has no {error}", command) from error
    except NOT_PLAIN as error:
        raise unavailable(path, error) or _unreadable(path, str(error), command) from error


def set_damaged_aside(project: Project, progress: Progress) -> None:
    """Keep the newest damaged checkpoint under another name before a fit starts again, and report it."""
    for path in reversed(checkpoint_paths(project)):
        try:
            load_checkpoint(project, path)
        except DamagedError as error:
            aside = path.with_name(ASIDE_NAME)
            with writing_to(path, f"omnitrack fit {project.root}"):
                remove_any(aside)
                path.replace(aside)
            progress.warn(f"{error.message}: kept as {aside.name}, fitted anew")
            return
        except OmnitrackError:
            continue  # of other frames, or another format


def _checked(path: Path, content: dict[str, Any]) -> Checkpoint:
    stamp, seconds, state = json.loads(content["stamp"]), float(content["seconds"]), content["state"]
    if not is_stamp(stamp) or not isinstance(stamp["settings"].get("steps"), int):
        raise ValueError("its stamp makes no sense")
    _rename(stamp["settings"])
    if not isinstance(state, dict) or type(state.get("step")) is not int or state["step"] < 0:
        raise ValueError("its state makes no sense")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"it took {seconds} seconds")
    return Checkpoint(path, stamp, seconds, state)


def _rename(settings: dict[str, Any]) -> None:
    """Rename the settings of an earlier version's fit to their present names."""
    megabytes = settings.get("data_mb")  # now `fit.correspondences`, of 6 bytes each
    if isinstance(megabytes, (int, float)) and 0 < megabytes < 2**40:  # anything else is refused as an unknown setting
        settings["correspondences"] = int(settings.pop("data_mb") * 10**6) // 6


def _unreadable(path: Path, cause: str, command: str) -> DamagedError:
    return DamagedError(
        f"{path} is not a checkpoint that can be read: {(cause.splitlines() or ['it is cut short'])[0]}",
        f"remove it; an older one is used then, or fit again: {command}",
    )
