"""One thing that a stage made, and whether it still is what its inputs and settings say."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnitrack.config import load_settings, read_toml
from omnitrack.project.project import Project
from omnitrack.project.shards import has_shards

Stamp = Mapping[str, Any]


@dataclass(frozen=True)
class Product:
    """One thing that a stage made.

    Attributes:
        name: frames, flow, filter or fit, or a file of tracks, renders or scores, relative to the project.
        state: ready, missing, unfinished, stale or damaged.
        reason: Why it is not ready; empty where it is.
        bytes: Size on disk.
        command: Makes it, or makes it anew.
    """

    name: str
    state: str
    reason: str
    bytes: int
    command: str


class Judge:
    """Says whether products of a project are ready, by their stamps.

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

    def judge(
        self,
        name: str,
        stamp: Stamp | None,
        inputs: Mapping[str, str | None],
        upstream: Product,
        size: int,
        damage: str,
    ) -> Product:
        """The product of a stage.

        Args:
            name: Of the stage.
            stamp: What the product says that it was made from; None where there is no product.
            inputs: What it should have been made from.
            upstream: The product that it was made from.
            size: Bytes on disk.
            damage: What is wrong with its file; empty where nothing is.
        """
        state, reason = "ready", ""
        if damage:
            state, reason = "damaged", damage
        elif has_shards(self.project, name):
            state, reason = "unfinished", "an interrupted run is taken up again"
        elif stamp is None:
            state, reason = "missing", "not made yet"
        else:
            state, reason = self.freshness(name, stamp, inputs, upstream)
        return Product(name, state, reason, size, command_for(self.project, name))

    def freshness(
        self, table: str, stamp: Stamp, inputs: Mapping[str, str | None], upstream: Product
    ) -> tuple[str, str]:
        """Whether a product with this stamp is ready or stale, and why."""
        for name, now in inputs.items():
            if stamp["inputs"].get(name) != now:
                return "stale", f"made from an earlier {name}" if upstream.state != "missing" else f"its {name} is gone"
        if upstream.state != "ready":
            return "stale", f"its {upstream.name} is {upstream.state}"
        for change in _changes(self._named.get(table, {}), stamp["settings"], table):
            return "stale", change
        return "ready", ""


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; 0 where there is nothing."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def files_in(directory: Path) -> list[Path]:
    """What lies in a directory, by name; hidden files are work in progress."""
    return sorted(path for path in directory.glob("*") if not path.name.startswith("."))


def _changes(named: Mapping[str, Any], made: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Settings that omnitrack.toml names with another value than a product was made with."""
    for key, value in named.items():
        if key not in made:
            continue  # not a setting that changes the result
        if isinstance(value, dict):
            yield from _changes(value, made[key], f"{prefix}.{key}")
        elif value != made[key]:
            yield f"made with {prefix}.{key} = {json.dumps(made[key])}, omnitrack.toml says {json.dumps(value)}"


def command_for(project: Project, stage: str, *more: str) -> str:
    """What to type to run a stage on a project."""
    return shlex.join(["omnitrack", stage, str(project.root), *more])
