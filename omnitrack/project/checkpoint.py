"""Checkpoints of a fit: written whole or not at all, read without running anything."""

from __future__ import annotations

import json
import pickle
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from omnitrack.atomic import atomic_path
from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.project.project import Project

FORMAT = 3  # 2: couplings are made of parts; 3: each method has its settings to itself
KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    """A fit at some step.

    Attributes:
        path: Its file.
        stamp: What the fit is made from (`omnitrack.project.stamps`).
        seconds: Time spent on it so far.
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
    ours = [path, *(other for other in reversed(checkpoint_paths(project)) if other != path)]
    for old in ours[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def checkpoint_paths(project: Project) -> list[Path]:
    """The project's checkpoints, by step."""
    return sorted(project.checkpoints_dir.glob("step_*.pt"))


def newest_checkpoint(project: Project) -> Path | None:
    """The checkpoint written last."""
    written: list[tuple[int, Path]] = []
    for path in checkpoint_paths(project):
        with suppress(FileNotFoundError):  # a fit that runs meanwhile has removed it
            written.append((path.stat().st_mtime_ns, path))
    return max(written, default=(0, None))[1]


def load_checkpoint(project: Project, path: Path | None = None) -> Checkpoint:
    """Read a checkpoint, the newest one unless another is named.

    Raises:
        OmnitrackError: There is none, it is damaged or foreign, or it belongs to other frames or another version.
    """
    path = path or newest_checkpoint(project)
    command = f"omnitrack fit {project.root}"
    if path is None:
        raise OmnitrackError(f"project {project.root} has no fitted field yet", f"fit one: {command}")
    try:
        content = _read(path)
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
        return Checkpoint(path, json.loads(content["stamp"]), content["seconds"], content["state"])
    except KeyError as error:
        raise _unreadable(path, f"it has no {error}", command) from error
    except PermissionError as error:
        raise UnavailableError(
            f"{path} may not be read: permission denied", "check its owner and permissions"
        ) from error
    except (OSError, RuntimeError, EOFError, TypeError, ValueError, zlib.error) as error:
        raise _unreadable(path, str(error), command) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise _unreadable(path, str(error), command) from error


def _read(path: Path) -> dict[str, Any]:
    """The content of a file that torch wrote; torch itself does not look at the checksums in it."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} in it is damaged")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    return content


def _unreadable(path: Path, cause: str, command: str) -> OmnitrackError:
    return OmnitrackError(
        f"{path} is not a checkpoint that can be read: {(cause.splitlines() or ['it is cut short'])[0]}",
        f"remove it; an older one is used then, or fit again: {command}",
    )
