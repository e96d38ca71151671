"""One thing that a stage made, and whether it still is what its inputs and settings say."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnitrack.config import load_settings, read_toml
from omnitrack.project.project import Project

Stamp = Mapping[str, Any]
RESOLVED = {"flow.pairs", "flow.descriptors.network"}  # settings of which stamps hold what "auto" stands for


@dataclass(frozen=True)
class Product:
    """One thing that a stage made.

    Attributes:
        name: frames, flow, filter or fit, or a file of tracks, renders or scores, relative to the project.
        state: ready, missing, unfinished, stale, damaged or in use.
        reason: Why it is not ready; empty where it is.
        bytes: Size on disk.
        command: Makes it, or makes it anew.
        note: What else is worth knowing.
    """

    name: str
    state: str
    reason: str
    bytes: int
    command: str
    note: str = ""


class Judge:
    """Says whether products of a project are fresh, by their stamps.

    Args:
        project: The project.

    Attributes:
        project: The project.
        settings: Its settings, defaults included.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = load_settings(project.settings_path)
        self._named = read_toml(project.settings_path) if project.settings_path.is_file() else {}

    def freshness(
        self, table: str, stamp: Stamp, inputs: Mapping[str, str | None], upstream: Sequence[Product]
    ) -> tuple[str, str]:
        """Whether a product with this stamp is ready or stale, and why.

        Args:
            table: Of its settings.
            stamp: What it says that it was made from.
            inputs: What it should have been made from.
            upstream: The products that it was made from.
        """
        missing = {product.name for product in upstream if product.state == "missing"}
        for product in upstream:
            if product.state in ("damaged", "in use"):
                return "stale", f"its {product.name} {_is(product.name)} {product.state}"
        for name, now in inputs.items():
            made = stamp["inputs"].get(name)
            if made != now:
                return "stale", _difference(name, made, None if name in missing else now)
        for product in upstream:
            if product.state != "ready":
                return "stale", f"its {product.name} {_is(product.name)} {product.state}"
        for change in _changes(self._named.get(table, {}), stamp["settings"], table):
            return "stale", change
        return "ready", ""


def _difference(name: str, made: str | None, now: str | None) -> str:
    if now is None:
        return f"its {name} {_is(name)} gone"
    if made is None:
        return f"made without {name}"
    return f"made from other {name}" if _is(name) == "are" else f"made from an earlier {name}"


def _is(name: str) -> str:
    return "are" if name.endswith("s") else "is"


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; 0 where there is nothing."""
    size = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(OSError):  # another process has removed it meanwhile
            size += file.stat().st_size if file.is_file() else 0
    return size


def files_in(directory: Path) -> list[Path]:
    """What lies in a directory, by name; hidden files are work in progress."""
    return sorted(path for path in directory.glob("*") if not path.name.startswith("."))


def _changes(named: Mapping[str, Any], made: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Settings that omnitrack.toml names with another value than a product was made with."""
    for key, value in named.items():
        if key not in made or (f"{prefix}.{key}" in RESOLVED and value == "auto"):
            continue  # not a setting that changes the result, or one that says nothing against what it stood for
        if isinstance(value, dict) and isinstance(made[key], dict):
            yield from _changes(value, made[key], f"{prefix}.{key}")
        elif value != made[key]:
            yield f"made with {prefix}.{key} = {json.dumps(made[key])}, omnitrack.toml says {json.dumps(value)}"


def command_for(project: Project, stage: str, *more: str) -> str:
    """What to type to run a stage on a project."""
    return shlex.join(["omnitrack", stage, str(project.root), *more])
