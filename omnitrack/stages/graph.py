r"""What is made of a video's frames, of what, and how: one table, the only place that knows.

    frames --> flow --> hops --> filter --> fit
           \-> features -> flow, filter, matching -> fit
           \-> depth -> fit

`omnitrack.stages.bring_up` makes what a project lacks by it, `omnitrack.stages.status` says what is stale by it. What a
row needs is loaded when it is asked for, so that a look at a project does not wait for torch.
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
Stamps = Mapping[str, Stamp | None]  # by product; None: none is wanted, or none is there


@dataclass(frozen=True)
class Work:
    """On what, and how, products are made."""

    project: Project
    settings: Settings
    device: str = "auto"
    seed: int = 0
    progress: Progress = SILENT


@dataclass(frozen=True)
class Stored:
    """What is there of a product.

    Attributes:
        stamp: What it is made from; None where there is none that can be read.
        damage: What is wrong with its file; empty where nothing is.
        unavailable: Why it cannot be read now; empty where it can.
        begun: An interrupted run left a part of it, or of another one, which its maker goes on from.
        complete: It is whole.
        seconds: That it took so far.
        bytes: On disk.
        step: That a fit has reached.
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
        name: Of the product, and of its table of settings where it has one.
        command: Of the command line, which makes it.
        timed: The stage whose seconds in an evaluation it adds to.
        made_from: Names of the products that it may be made from.
        stored: What is there; raises `UnavailableError` where that cannot be read now.
        wanted: The stamp of what these settings ask for, given those of what it is made from; None: they ask for none.
        inputs: What the stamp of one that is there should have as inputs, by the stamps that are there.
        make: Makes it, or goes on with it.
        drop: Removes one that is not wanted and would be used; None where none would be.
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

    return flow_stamp(work.project, flow_settings(work.project, work.settings), stamps["features"])


def _flow_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    """The frames, checksums of the files that it was made from and that omnitrack.toml names, and features likewise."""
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
    """Whether the settings ask for flow that is corrected by features."""
    from omnitrack.correspondence.descriptors.network import descriptor_network

    settings = work.settings
    return descriptor_network(settings.flow, work.project.size, settings.features.extractor) == FEATURES


def _make_flow(work: Work, stored: Stored) -> None:
    from omnitrack.stages.flow import compute_flow

    compute_flow(work.project, work.settings, work.progress, device=work.device)


# --- hops -------------------------------------------------------------------------------------------------------
def _hops_stored(project: Project) -> Stored:
    """The judgement; one that does not cover all flow that is there has no stamp."""
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
    """As of hops; and the features, where it was made from some or omnitrack.toml asks for some."""
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
    """The frames, and what omnitrack.toml names as the source."""
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
    """With the pins that the last fit was given: they are no setting, and stay until `fit` begins without them."""
    from omnitrack.stages.fit import fit_stamp, pins_of_fit

    pins = pins_of_fit(work.project)
    return fit_stamp(stamps["filter"] or {}, work.settings.fit, work.seed, stamps["matching"], stamps["depth"], pins)


def _fit_inputs(work: Work, made: Stamp, stamps: Stamps) -> dict[str, str | None]:
    """The filtered correspondences; matches and depth maps where it was made from some, or would be now."""
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
COMMANDS = ("flow", "filter", "fit")  # in turn; features that flow needs are made by it, before filter asks for them
NODE_OF = {node.name: node for node in NODES}


def needed_for(target: str) -> list[Node]:
    """The products that `target` may be made from, and it itself, each after what it is made from."""
    needed = {target}
    for node in reversed(NODES):
        if node.name in needed:
            needed.update(node.made_from)
    return [node for node in NODES if node.name in needed]


def in_turn(nodes: Iterable[Node]) -> list[Node]:
    """Products in the order in which their commands make them."""
    return sorted(nodes, key=lambda node: COMMANDS.index(node.command))


def wanted_stamps(work: Work, target: str = "fit") -> dict[str, Stamp | None]:
    """What these settings ask for, of `target` and all that it is made from.

    Raises:
        OmnitrackError: A file of weights, tracks or depth that is not there.
    """
    stamps: dict[str, Stamp | None] = {}
    for node in needed_for(target):
        stamps[node.name] = node.wanted(work, stamps)
    return stamps


def wanted_or_none(node: Node, work: Work, stamps: Stamps) -> Stamp | None:
    """What these settings ask for; None, too, where they name files that are not there, which the stage will say."""
    try:
        return node.wanted(work, stamps)
    except OmnitrackError:
        return None


def _in_file(product: Any) -> Stored:
    """What is there of a product in a file of its own."""
    damage = product.damage()
    stamp = None if damage else product.stamp()
    if stamp is not None and not is_stamp(stamp):
        damage, stamp = product.damaged("its stamp makes no sense").message, None
    return Stored(stamp, damage, begun=product.has_parts(), seconds=product.seconds(), bytes=product.bytes())
