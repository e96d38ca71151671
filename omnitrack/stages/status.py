"""The products of a project, by the table of products: which exist, and whether they still match their inputs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from omnitrack.config import as_dict
from omnitrack.errors import UnavailableError
from omnitrack.project.png import begins_and_ends
from omnitrack.project.project import Project
from omnitrack.stages.fit_pins import from_stamp
from omnitrack.stages.graph import NODES, Node, Stamp, Stored, Work, in_turn, wanted_or_none
from omnitrack.stages.products import Judge, Product, command_for, size_on_disk

BROKEN_ONLY = {"hops"}  # listed if it cannot be read; if it is stale, the filtered correspondences are listed as stale
INPUT_OF = {"matching": "matches"}  # its name in stamps
OPTIONAL = {"features", "matching", "depth"}  # listed if they exist, were begun, or are requested


class StageProducts:
    """The products of the stages, examined in order: the state of each depends on the ones before it.

    Attributes:
        products: Frames and the products of the graph that exist or are requested, in the order of the commands.
        fit: The fit among the products.
        fit_stamp: What the fit was made from; None if there is no fit.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge, self._work = judge, Work(judge.project, judge.settings)
        stored = {node.name: _stored(node, judge.project) for node in NODES}
        self._stamps = {name: found.stamp for name, found in stored.items()}
        self.fit_stamp = self._stamps["fit"]
        judged = {"frames": self._frames()}
        for node in NODES:
            if self._is_listed(node, stored):
                judged[node.name] = self._product(node, stored[node.name], judged)
        names = ("frames", *(node.name for node in in_turn(NODES)))
        self.products = [judged[name] for name in names if name in judged]
        self.fit = judged["fit"]

    def _frames(self) -> Product:
        project = self._judge.project
        command = shlex.join(["omnitrack", "init", project.meta.source, "NEW_PROJECT"])
        state, reason = _frames_state(project)
        return Product("frames", state, reason, size_on_disk(project.frames_dir), command)

    def _is_listed(self, node: Node, all_stored: Mapping[str, Stored]) -> bool:
        stored = all_stored[node.name]
        if node.name in BROKEN_ONLY:
            return bool(stored.damage) or stored.unavailable not in ("", all_stored["flow"].unavailable)
        if node.name not in OPTIONAL or stored != Stored(None):
            return True
        if node.name == "features":  # requested by name, whether or not their weights exist
            return self._judge.settings.features.extractor != "none" or any(
                "features" in self._inputs_of(name) for name in ("flow", "filter")
            )
        return node.name == "depth" and wanted_or_none(node, self._work, self._stamps) is not None

    def _inputs_of(self, name: str) -> Mapping[str, Any]:
        return (self._stamps[name] or {"inputs": {}})["inputs"]  # type: ignore[no-any-return]

    def _product(self, node: Node, stored: Stored, judged: Mapping[str, Product]) -> Product:
        state, reason = self._state(node, stored, judged)
        command = command_for(self._judge.project, node.command)
        if state == "unfinished" and node.name == "fit" and stored.stamp is not None:
            command = self._resume_command(stored.stamp)
        return Product(node.name, state, reason, stored.bytes, command, self._note(node, stored.stamp))

    def _note(self, node: Node, made: Stamp | None) -> str:
        pins = None if node.name != "fit" or made is None else from_stamp(self._judge.project, made)
        return "" if pins is None else f"fitted to {len(pins)} pair{'s' * (len(pins) > 1)} of places set by hand, too"

    def _state(self, node: Node, stored: Stored, judged: Mapping[str, Product]) -> tuple[str, str]:
        if stored.unavailable:
            return "in use", stored.unavailable
        if stored.damage:
            return "damaged", stored.damage
        if stored.begun and node.name != "fit":
            return "unfinished", "an interrupted run is taken up again"
        if stored.stamp is None:
            return "missing", self._why_missing(node)
        inputs = node.inputs(self._work, stored.stamp, self._stamps)
        state, reason = self._judge.freshness(node.name, stored.stamp, inputs, self._upstream(node, inputs, judged))
        if state == "ready" and stored.begun:
            return "unfinished", f"stopped at step {stored.step} of {stored.stamp['settings']['steps']}"
        return state, reason

    def _upstream(self, node: Node, inputs: Mapping[str, str | None], judged: Mapping[str, Product]) -> list[Product]:
        """Return what a product is made from, optional products only if they are its inputs; if nothing, the frames."""
        used = [name for name in node.made_from if name not in OPTIONAL or INPUT_OF.get(name, name) in inputs]
        return [judged[name] for name in used if name in judged] or [judged["frames"]]

    def _why_missing(self, node: Node) -> str:
        if node.name == "flow" and self._judge.project.old_correspondences_path.exists():
            return "in correspondences.h5 of an earlier version, which flow takes over"
        return "not made yet"

    def _resume_command(self, made: Stamp) -> str:
        """Return the command that resumes a fit with its original settings, which flags or a preset may have set."""
        now, seed = as_dict(self._judge.settings)["fit"], made["inputs"].get("seed", 0)
        changed = _leaves(made["settings"], now, "fit")
        flags = [word for key, value in changed for word in ("--set", f"{key}={json.dumps(value)}")]
        flags += ["--seed", str(seed)] if seed else []
        return command_for(self._judge.project, "fit", "--resume", *flags)


def _frames_state(project: Project) -> tuple[str, str]:
    """Return whether all frames exist and are intact, and why not; their pixels are not read."""
    paths = [project.frame_path(i) for i in range(project.num_frames)]
    lost = [i for i, path in enumerate(paths) if not path.is_file()]
    if lost:
        return "damaged", f"{len(lost)} frames are missing, the first is {lost[0]}"
    try:
        damaged = [i for i, path in enumerate(paths) if not begins_and_ends(path, project.size)]
    except OSError as error:
        return "in use", f"{error.filename} cannot be read now: {error.strerror}"
    return ("damaged", f"{len(damaged)} frames are damaged, the first is {damaged[0]}") if damaged else ("ready", "")


def _stored(node: Node, project: Project) -> Stored:
    try:
        return node.stored(project)
    except UnavailableError as error:
        return Stored(None, unavailable=error.message)


def _leaves(made: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings of `made` that differ from `now`, by dotted key."""
    for key, value in made.items():
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            yield from _leaves(value, now[key], f"{prefix}.{key}")
        elif value != now.get(key):
            yield f"{prefix}.{key}", value
