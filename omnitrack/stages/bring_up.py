"""Make the products that settings ask for: existing ones are kept, unfinished ones are resumed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from omnitrack.memory import give_back
from omnitrack.project.lock import locked
from omnitrack.stages.graph import Stamp, Stored, Work, in_turn, needed_for, wanted_stamps


@dataclass(frozen=True)
class Brought:
    """What `bring_up_to` did.

    Attributes:
        kept: Products that already existed.
        made: Products that were made or resumed.
        seconds: Time that each product took, in whichever run it was made.
    """

    kept: list[str]
    made: list[str]
    seconds: dict[str, float]


def bring_up_to(target: str, work: Work) -> Brought:
    """Make a product and its inputs, except those that already exist as the settings ask for them.

    Args:
        target: A name in `omnitrack.stages.graph.NODES`.
        work: The project, the settings, the device and the seed.

    Raises:
        OmnitrackError: Any failure of a stage. Finished work is kept, and the same call resumes from it.
    """
    with locked(work.project.root, "run"):
        return _bring_up(target, work)


def missing_for(target: str, work: Work) -> set[str]:
    """Return the products that `bring_up_to` would make.

    Raises:
        OmnitrackError: A file that the settings name does not exist.
    """
    wanted = wanted_stamps(work, target)
    missing = set()
    for node in needed_for(target):
        stamp = wanted[node.name]
        if stamp is not None and not _is_there(node.stored(work.project), stamp):
            missing.add(node.name)
    return missing


def _is_there(stored: Stored, stamp: Stamp) -> bool:
    return stored.stamp == stamp and stored.complete


def _bring_up(target: str, work: Work) -> Brought:
    kept: list[str] = []
    made: list[str] = []
    seconds: dict[str, float] = {}
    wanted = wanted_stamps(work, target)  # reports missing files before the long work
    for command, nodes in groupby(in_turn(needed_for(target)), key=lambda node: node.command):
        with work.progress.stage(command):
            for node in nodes:
                stamp, stored = wanted[node.name], node.stored(work.project)
                if stamp is None:
                    if node.drop is not None:
                        node.drop(work.project)
                    continue
                if _is_there(stored, stamp):
                    kept.append(node.name)
                else:
                    node.make(work, stored if stored.stamp == stamp else Stored(None))
                    made.append(node.name)
                    give_back()
                seconds[node.name] = node.stored(work.project).seconds
    return Brought(kept, made, seconds)
