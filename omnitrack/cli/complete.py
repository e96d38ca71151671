"""Values that the shell offers on Tab; nothing here reads more than a directory listing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

DEVICES = ("auto", "cpu", "cuda", "cuda:0")
ESTIMATOR_ENTRY_POINTS = "omnitrack.flow_estimators"  # repeated here: the module that defines it imports OpenCV
PAIRS = ("auto", "log", "exhaustive", "keyframe", "window:8")


def values(*choices: str) -> Callable[[str], list[str]]:
    """Return a completer for a fixed set of values."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def projects(incomplete: str) -> list[str]:
    """List the project directories whose path starts with the typed text."""
    head, _, start = incomplete.rpartition("/")
    head = f"{head}/" if incomplete.startswith("/") or head else ""
    try:
        entries = sorted(Path(head or ".").iterdir())
    except OSError:
        return []
    return [head + e.name for e in entries if e.name.startswith(start) and (e / "frames" / "frames.json").is_file()]


def estimators(incomplete: str) -> list[str]:
    """List the built-in flow estimators and those of installed packages."""
    from importlib.metadata import entry_points

    plug_ins = [entry.name for entry in entry_points(group=ESTIMATOR_ENTRY_POINTS)]
    return [name for name in ("dis", "raft", "tracks", *plug_ins) if name.startswith(incomplete)]


def export_formats(incomplete: str) -> list[str]:
    """List the formats of `omnitrack export`, including those of installed packages."""
    from omnitrack.export.formats import DENSE, format_names

    return [name for name in (*format_names(), *DENSE) if name.startswith(incomplete)]


def setting_keys(incomplete: str) -> list[str]:
    """List every setting as ``table.key=``, for --set."""
    from omnitrack.settings import Settings

    return [f"{key}=" for key in _keys(Settings(), "") if key.startswith(incomplete)]


def _keys(settings: object, prefix: str) -> Iterator[str]:
    for f in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, f.name)
        if dataclasses.is_dataclass(value):
            yield from _keys(value, f"{prefix}{f.name}.")
        else:
            yield prefix + f.name
