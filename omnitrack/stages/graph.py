r"""The graph of products: what each is made from and how, in one table that is the only definition of it.

    frames --> flow --> hops --> filter --> fit
           \-> features -> flow, filter, matching -> fit
           \-> depth -> fit

`omnitrack.stages.bring_up` uses it to make what a project lacks, `omnitrack.stages.status` to report what is stale. The
modules of a row are imported when they are used, so that inspecting a project does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from omnitrack.config import fingerprint
from omnitrack.errors import DamagedError, OmnitrackError, UnavailableError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.project.stamps import is_stamp
from omnitrack.settings import FEATURES, Settings
from omnitrack.stages.products import size_on_disk

if TYPE_CHECKING:
    from omnitrack.project.store import FlowStore

Stamp = dict[str, Any]
Stamps = Mapping[str, Stamp | None]  # by product; None: not wanted, or not stored


@dataclass(frozen=True)
class Work:
    """The project that products are made in, and how they are made."""

    project: Project
    settings: Settings
    device: str = "auto"
    seed: int = 0
    progress: Progress = SILENT


@dataclass(frozen=True)
class Stored:
    """The stored state of a product.

    Attributes:
        stamp: What the product is made from; None if there is no product that can be read.
        damage: What is wrong with its file; empty if nothing is.
        unavailable: Why it cannot be read now; empty if it can.
        begun: An interrupted run left parts, or an unfinished fit; `Node.make` resumes from those with its stamp.
        complete: The product is complete.
        seconds: Time that it took so far.
        bytes: Size on disk.
        step: Step that a fit has reached.
    """

    stamp: Stamp | None
    damage: str = ""
    unavailable: str = ""
    begun: bool = False
    complete: bool = True
    seconds: float = 0.0
    bytes: int = 0
    step: int = 0


@dataclass(frozen=True)
class Node:
    """A product: how it is found, what it should be made from, and how it is made.

    Attributes:
        name: Name of the product, and of its table of settings if it has one.
        command: Command of the command line that makes it.
        timed: Stage of an evaluation that its seconds are added to.
        made_from: Names of the products that it may be made from.
        stored: Returns its stored state; raises `UnavailableError` if it cannot be read now.
        wanted: Returns the stamp that the settings ask for, given those of its inputs; None if they ask for none.
        inputs: Returns the inputs that the stamp of a stored product should have, given the stored stamps.
        make: Makes the product, or resumes it.
        drop: Removes a product that is not wanted but would be used; None if it would not be used.
    """

    name: str
    command: str
    timed: str
    made_from: tuple[str, ...]
    stored: Callable[[Project], Stored]
    wanted: Callable[[Work, Stamps], Stamp | None]
    inputs: Callable[[Work, Stamp, Stamps], dict[str, str | None]]
    make: Callable[[Work, Stored], None]
    drop: Callable[[Project], None] | None = None


# --- flow -------------------------------------------------------------------------------------------------------
def _flow_stored(project: Project) -> Stored:
    from omnitrack.project.store import flow_file

    return _in_file(flow_file(project))


def _flow_wanted(work: Work, stamps: Stamps) -> Stamp:
    from omnitrack.stages.flow import flow_settings, flow_stamp

    return flow_stamp(work.project, flow_settings(work.settings), stamps["features"])


def _flow_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    """Return the frames, features if used or wanted, and checksums of the files used that omnitrack.toml names."""
    inputs: dict[str, str | None] = {"frames": work.project.meta.fingerprint}
    if "features" in made["inputs"] or _compares_features(work):
        inputs["features"] = None if stamps["features"] is None else fingerprint(stamps["features"])
    files = set(made["inputs"]) - {"frames", "features"}
    if files:
        from omnitrack.correspondence.estimators import weights_identity

        now = weights_identity(work.settings.flow)
        inputs |= {name: now[name] for name in files & set(now)}
    return inputs


def _compares_features(work: Work) -> bool:
    """Return whether the settings ask for flow that is corrected by features."""
    from omnitrack.correspondence.descriptors.network import descriptor_network

    return descriptor_network(work.settings.flow, work.settings.features.extractor) == FEATURES


def _make_flow(work: Work, stored: Stored) -> None:
    from omnitrack.stages.flow import compute_flow

    compute_flow(work.project, work.settings, work.progress, device=work.device)


# --- hops -------------------------------------------------------------------------------------------------------
def _hops_stored(project: Project) -> Stored:
    """Return the state of the judged hops; without a stamp if they do not cover all stored flow."""
    from omnitrack.project.store import FlowStore, hops_file

    found = _in_file(hops_file(project))
    try:
        with FlowStore(project, any_frames=True, judged=False) as flows:
            return _judged(flows, found, project)
    except UnavailableError:
        raise
    except OmnitrackError:
        return replace(found, stamp=None)


def _judged(flows: FlowStore, found: Stored, project: Project) -> Stored:
    try:
        flows.open_hops(project)
    except DamagedError as error:
        return replace(found, stamp=None, damage=error.message)
    return replace(found, stamp=flows.hops_stamp)


def _hops_wanted(work: Work, stamps: Stamps) -> Stamp:
    from omnitrack.stages.hops import hops_stamp

    return hops_stamp(stamps["flow"] or {})


def _hops_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    from omnitrack.correspondence.hop_reliability import hop_regressor

    return {"flow": fingerprint(stamps["flow"]), "hop_regressor": hop_regressor().identity}


def _make_hops(work: Work, stored: Stored) -> None:
    from omnitrack.stages.hops import judge_hops

    judge_hops(work.project, work.settings, work.progress)


# --- features ---------------------------------------------------------------------------------------------------
def _features_stored(project: Project) -> Stored:
    from omnitrack.project.feature_store import features_file

    return _in_file(features_file(project))


def _features_wanted(work: Work, stamps: Stamps) -> Stamp | None:
    from omnitrack.stages.features import wanted_features

    return wanted_features(work.project, work.settings.features)


def _frames(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    return {"frames": work.project.meta.fingerprint}


def _make_features(work: Work, stored: Stored) -> None:
    from omnitrack.stages.features import compute_features

    compute_features(work.project, work.settings, work.progress, work.device)


# --- filter -----------------------------------------------------------------------------------------------------
def _filter_stored(project: Project) -> Stored:
    from omnitrack.project.filtered import filtered_file

    return _in_file(filtered_file(project))


def _filter_wanted(work: Work, stamps: Stamps) -> Stamp:
    from omnitrack.stages.filter import filter_stamp

    return filter_stamp(stamps["flow"] or {}, work.settings.filter, stamps["features"])


def _filter_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    """Return the inputs of hops, and the features if it was made from some or omnitrack.toml asks for some."""
    inputs = _hops_inputs(work, made, stamps)
    if "features" in made["inputs"] or work.settings.features.extractor != "none":
        inputs["features"] = None if stamps["features"] is None else fingerprint(stamps["features"])
    return inputs


def _make_filtered(work: Work, stored: Stored) -> None:
    from omnitrack.stages.filter import chain_from_everywhere

    chain_from_everywhere(work.project, work.settings, work.progress)


# --- long-range matches -----------------------------------------------------------------------------------------
def _matches_stored(project: Project) -> Stored:
    from omnitrack.project.match_store import matches_file

    return _in_file(matches_file(project))


def _matches_wanted(work: Work, stamps: Stamps) -> Stamp | None:
    from omnitrack.stages.matching import match_stamp

    return match_stamp(stamps["features"], work.settings)


def _matches_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    return {"features": fingerprint(stamps["features"])}


def _make_matches(work: Work, stored: Stored) -> None:
    from omnitrack.stages.matching import find_matches

    find_matches(work.project, work.settings, work.progress, work.device)


def _drop_matches(project: Project) -> None:
    from omnitrack.project.match_store import matches_file

    matches_file(project).remove()


# --- depth ------------------------------------------------------------------------------------------------------
def _depth_stored(project: Project) -> Stored:
    from omnitrack.project.depth_store import depth_file

    return _in_file(depth_file(project))


def _depth_wanted(work: Work, stamps: Stamps) -> Stamp | None:
    if work.settings.depth.source == "none":
        return None
    from omnitrack.depth_prior import check_source
    from omnitrack.stages.depth import depth_stamp

    stamp = depth_stamp(work.project, work.settings)
    if stamp is not None and _depth_stored(work.project).stamp != stamp:
        check_source(work.settings.depth)
    return stamp


def _depth_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    """Return the frames, and the source that omnitrack.toml names."""
    inputs = _frames(work, made, stamps)
    wanted = wanted_or_none(NODE_OF["depth"], work, stamps)
    if wanted is not None:
        inputs["source"] = wanted["inputs"]["source"]
    return inputs


def _make_depth(work: Work, stored: Stored) -> None:
    from omnitrack.stages.depth import compute_depth

    compute_depth(work.project, work.settings, work.progress, work.device)


# --- fit --------------------------------------------------------------------------------------------------------
def _fit_stored(project: Project) -> Stored:
    if not any(project.checkpoints_dir.glob("step_*.pt")):
        return Stored(None)  # without waiting for torch
    from omnitrack.project.checkpoint import load_checkpoint

    size = size_on_disk(project.checkpoints_dir)
    try:
        checkpoint = load_checkpoint(project)
    except UnavailableError:
        raise
    except OmnitrackError as error:
        return Stored(None, error.message, bytes=size)
    stamp, step = checkpoint.stamp, int(checkpoint.state["step"])
    whole = step >= stamp["settings"]["steps"]
    return Stored(stamp, begun=not whole, complete=whole, seconds=checkpoint.seconds, bytes=size, step=step)


def _fit_wanted(work: Work, stamps: Stamps) -> Stamp:
    """Return the stamp with the last fit's pins: they are not a setting, and stay until `fit` starts without them."""
    from omnitrack.stages.fit import fit_stamp, pins_of_fit

    pins = pins_of_fit(work.project)
    return fit_stamp(stamps["filter"] or {}, work.settings.fit, work.seed, stamps["matching"], stamps["depth"], pins)


def _fit_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    """Return the filtered correspondences, and matches and depth maps if it was made from some or would be now."""
    inputs: dict[str, str | None] = {"filter": fingerprint(stamps["filter"])}
    matches, per_step = stamps["matching"], made["settings"].get("matches", work.settings.fit.matches)
    if matches is not None or "matches" in made["inputs"]:
        inputs["matches"] = fingerprint(matches) if matches is not None and per_step > 0 else None
    wanted = wanted_or_none(NODE_OF["depth"], work, stamps)
    if wanted is not None or "depth" in made["inputs"]:
        inputs["depth"] = fingerprint(wanted or stamps["depth"])
    return inputs


def _make_fit(work: Work, stored: Stored) -> None:
    from omnitrack.stages.fit import fit_field, pins_of_fit

    pins = pins_of_fit(work.project)
    fit_field(work.project, work.settings, work.device, work.seed, stored.begun, work.progress, pins)


# --- the table --------------------------------------------------------------------------------------------------
NODES = (
    Node("features", "filter", "filter", (), _features_stored, _features_wanted, _frames, _make_features),
    Node("flow", "flow", "flow", ("features",), _flow_stored, _flow_wanted, _flow_inputs, _make_flow),
    Node("hops", "filter", "judge", ("flow",), _hops_stored, _hops_wanted, _hops_inputs, _make_hops),
    Node(
        "filter",
        "filter",
        "filter",
        ("flow", "hops", "features"),
        _filter_stored,
        _filter_wanted,
        _filter_inputs,
        _make_filtered,
    ),
    Node(
        "matching",
        "filter",
        "filter",
        ("features",),
        _matches_stored,
        _matches_wanted,
        _matches_inputs,
        _make_matches,
        _drop_matches,
    ),
    Node("depth", "fit", "fit", (), _depth_stored, _depth_wanted, _depth_inputs, _make_depth),
    Node("fit", "fit", "fit", ("filter", "matching", "depth"), _fit_stored, _fit_wanted, _fit_inputs, _make_fit),
)
COMMANDS = ("flow", "filter", "fit")  # in this order; flow makes the features that it needs before filter does
NODE_OF = {node.name: node for node in NODES}


def needed_for(target: str) -> list[Node]:
    """Return `target` and the products that it may be made from, each after its inputs."""
    needed = {target}
    for node in reversed(NODES):
        if node.name in needed:
            needed.update(node.made_from)
    return [node for node in NODES if node.name in needed]


def in_turn(nodes: Iterable[Node]) -> list[Node]:
    """Return products in the order in which their commands make them."""
    return sorted(nodes, key=lambda node: COMMANDS.index(node.command))


def wanted_stamps(work: Work, target: str = "fit") -> dict[str, Stamp | None]:
    """Return the stamps that the settings ask for, of `target` and all products that it is made from.

    Raises:
        OmnitrackError: A missing file of weights, tracks or depth.
    """
    stamps: dict[str, Stamp | None] = {}
    for node in needed_for(target):
        stamps[node.name] = node.wanted(work, stamps)
    return stamps


def wanted_or_none(node: Node, work: Work, stamps: Stamps) -> Stamp | None:
    """Return the stamp that the settings ask for; None also if they name missing files, which the stage reports."""
    try:
        return node.wanted(work, stamps)
    except OmnitrackError:
        return None


def _in_file(product: Any) -> Stored:
    """Return the state of a product that has its own file."""
    damage = product.damage()
    stamp = None if damage else product.stamp()
    if stamp is not None and not is_stamp(stamp):
        damage, stamp = product.damaged("its stamp makes no sense").message, None
    return Stored(stamp, damage, begun=product.has_parts(), seconds=product.seconds(), bytes=product.bytes())
