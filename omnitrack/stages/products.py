"""A product of a stage, and whether it still matches its inputs and settings."""

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
RESOLVED = {"flow.pairs", "flow.descriptors.network"}  # settings whose stamps contain what "auto" stands for


@dataclass(frozen=True)
class Product:
    """A product of a stage.

    Attributes:
        name: frames or a product of the graph, or a file of tracks, renders or scores, relative to the project.
        state: ready, missing, unfinished, stale, damaged or in use.
        reason: Why it is not ready; empty if it is.
        bytes: Size on disk.
        command: The command that makes it, or makes it again.
        note: Further information.
    """

    name: str
    state: str
    reason: str
    bytes: int
    command: str
    note: str = ""


class Judge:
    """Decides by their stamps whether products of a project are up to date.

    Args:
        project: The project.

    Attributes:
        project: The project.
        settings: Its settings, including defaults.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = load_settings(project.settings_path)
        self._named = read_toml(project.settings_path) if project.settings_path.is_file() else {}

    def freshness(
        self, table: str, stamp: Stamp, inputs: Mapping[str, str | None], upstream: Sequence[Product]
    ) -> tuple[str, str]:
        """Return whether a product with this stamp is ready or stale, and why.

        Args:
            table: The table of its settings.
            stamp: What the product was made from.
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
    """Return the bytes of a file, or of all files below a directory; 0 if the path does not exist."""
    size = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(OSError):  # another process has removed it in the meantime
            size += file.stat().st_size if file.is_file() else 0
    return size


def files_in(directory: Path) -> list[Path]:
    """Return the content of a directory, sorted by name, without hidden files, which are work in progress."""
    return sorted(path for path in directory.glob("*") if not path.name.startswith("."))


def _changes(named: Mapping[str, Any], made: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Describe the settings in omnitrack.toml whose values differ from those that a product was made with."""
    for key, value in named.items():
        if key not in made or (f"{prefix}.{key}" in RESOLVED and value == "auto"):
            continue  # does not affect the result, or is "auto", which agrees with any value in the stamp
        if isinstance(value, dict) and isinstance(made[key], dict):
            yield from _changes(value, made[key], f"{prefix}.{key}")
        elif value != made[key]:
            yield f"made with {prefix}.{key} = {json.dumps(made[key])}, omnitrack.toml says {json.dumps(value)}"


def command_for(project: Project, stage: str, *more: str) -> str:
    """Return the command line that runs a stage on a project."""
    return shlex.join(["omnitrack", stage, str(project.root), *more])
