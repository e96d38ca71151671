"""The index of what each of a project's renders was made from, which the files themselves cannot store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnitrack.atomic import atomic_path
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.stamps import is_stamp
from omnitrack.unavailable import unavailable

MOST_BYTES = 2**26  # of the index: ten thousand renders


def record_render(
    project: Project,
    path: Path,
    stamp: Mapping[str, Any] | None,
    drawing: Path | None = None,
    words: Sequence[str] = (),
) -> None:
    """Record the stamp of a render. Files outside the project's folder of renders are the user's own: not recorded.

    Args:
        project: The project.
        path: The render.
        stamp: What it was made from; None if unknown.
        drawing: Path of the drawing in it. It is stored beside the stamp as ``drawing``, not among its inputs, which
            identify a drawing by its pixels, whatever its path.
        words: Words of the command line that made it, except style and settings; stored as ``words``.

    Raises:
        OmnitrackError: The index cannot be written.
    """
    if path.parent.resolve() != project.renders_dir.resolve():
        return
    index = {name: made for name, made in read_renders(project).items() if (project.renders_dir / name).exists()}
    index.pop(path.name, None)
    if stamp is not None:
        more: dict[str, Any] = {"words": list(words)} if words else {}
        index[path.name] = {**stamp, **more, **({"drawing": str(drawing.absolute())} if drawing else {})}
    with atomic_path(project.renders_index_path) as part:
        part.write_text(json.dumps(index, indent=1) + "\n", "utf-8")


def read_renders(project: Project) -> dict[str, Any]:
    """Return records of `record_render` by file name; empty if the index is missing or damaged (`index_damage`)."""
    try:
        return _read_index(project)
    except (OSError, ValueError, RecursionError):
        return {}


def index_damage(project: Project) -> OmnitrackError | None:
    """Return what is wrong with the index, even if it only cannot be read now; None if it is intact or missing."""
    path = project.renders_index_path
    try:
        _read_index(project)
    except (OSError, ValueError, RecursionError) as error:
        return unavailable(path, error) or DamagedError(f"{path} cannot be read: {error}")
    return None


def _read_index(project: Project) -> dict[str, Any]:
    path = project.renders_index_path
    if not path.exists():
        return {}
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    index = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(index, dict) or not all(map(is_stamp, index.values())):
        raise ValueError("it is not a table of stamps")
    return index
