"""Fit a motion field to the filtered correspondences, with checkpoints from which a run resumes exactly."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from omnitrack.atomic import atomic_path
from omnitrack.config import fingerprint
from omnitrack.depth_prior.contract import INVERSE
from omnitrack.device import cpu_threads, pick_device
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.motion.field import MotionField
from omnitrack.motion.fused.fused import is_installed, trouble
from omnitrack.optimize.cycle_weights import cycle_weighted
from omnitrack.optimize.depth_prior import Belief, DepthPrior
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.optimize.methods import METHODS, get_method
from omnitrack.progress import SILENT, Progress
from omnitrack.project.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    set_damaged_aside,
)
from omnitrack.project.depth_store import read_depth
from omnitrack.project.filtered import filtered_file
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.lock import writes
from omnitrack.project.match_store import matches_file, matches_of_fit, read_matches
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore
from omnitrack.project.torch_file import NOT_PLAIN
from omnitrack.settings import FitSettings, Settings
from omnitrack.stages import fit_pins
from omnitrack.stages.depth import compute_depth, depth_stamp

WRONG_WAY_ROUND = 0.3  # share of correctly ordered occlusions below which a depth prior is probably inverted


@dataclass(frozen=True)
class FitReport:
    """What `fit_field` did.

    Attributes:
        method: Name of the method.
        steps: Steps of the whole run.
        resumed_from: Step at which this run started; 0 if it did not resume an earlier one.
        seconds: Time of the whole run, earlier parts included.
        loss: Loss at the end; None if no steps were left to do.
        error_px: Mean distance of predictions from correspondences at the end, at 256 x 256; None as for `loss`.
        rollbacks: How often the fit was no longer finite and was reset to its last good state.
        device: Where it ran.
        checkpoint: File of the result.
    """

    method: str
    steps: int
    resumed_from: int
    seconds: float
    loss: float | None
    error_px: float | None
    rollbacks: int
    device: str
    checkpoint: str


def fit_stamp(
    filter_stamp: dict[str, Any],
    settings: FitSettings,
    seed: int,
    match_stamp: dict[str, Any] | None = None,
    depth: dict[str, Any] | None = None,
    pins: NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Return the stamp of a fit: correspondences, matches, depth maps and pins if any, seed, and effective settings.

    Of the tables of the methods, it contains only that of its own method.
    """
    inputs = {"filter": fingerprint(filter_stamp), "seed": seed}
    if depth is not None:
        inputs["depth"] = fingerprint(depth)
    if pins is not None:
        inputs[fit_pins.INPUT] = fit_pins.as_input(pins)
    matches = matches_of_fit(match_stamp, settings.matches)
    stamp = make_stamp(inputs if matches is None else {**inputs, "matches": matches}, settings)
    unused = [] if match_stamp else ["matches", "match_weights"]
    unused += [name for name in METHODS if name != settings.method]
    for key in ("checkpoint_seconds", "threads", *unused):
        del stamp["settings"][key]
    return stamp if pins is not None else fit_pins.without_pins(stamp)


@writes("fit")
def fit_field(
    project: Project,
    settings: Settings,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    progress: Progress = SILENT,
    pins: NDArray[np.float32] | None = None,
) -> FitReport:
    """Fit a motion field, from its start or from the last checkpoint of the same run.

    Args:
        project: Has been filtered.
        settings: Uses the tables ``fit`` and ``depth``, whose maps are computed first.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        seed: Reproduces a run on a CPU.
        resume: Resume from the last checkpoint, which must have been made from the same data, settings and seed.
        progress: Receives progress updates and messages, with the losses.
        pins: Pairs of positions to fit to strongly, as from `omnitrack.stages.fit_pins.pairs_of_pins`. With `resume`, a
            run with other pins or none is resumed too: its last part, ``fit.pin_share``, is repeated. With `resume`,
            None keeps the pins of the checkpoint.

    Raises:
        OmnitrackError: Nothing filtered, a checkpoint of another run, no such device, or a fit that diverges.
    """
    if filtered_file(project).path.exists():  # if not, `_fit` reports what is missing
        compute_depth(project, settings, progress, device)
    depth = depth_stamp(project, settings)
    where = pick_device(device)
    if (where.type == "cuda" or is_installed()) and (why := trouble(where.type)):
        progress.warn(f"the fit is slower than it could be: {why}")
    with cpu_threads(settings.fit.threads):
        return _fit(project, settings.fit, depth, where, seed, resume, progress, pins)


def _fit(
    project: Project,
    settings: FitSettings,
    depth: dict[str, Any] | None,
    where: torch.device,
    seed: int,
    resume: bool,
    progress: Progress,
    pins: NDArray[np.float32] | None,
) -> FitReport:
    begin, rollbacks = time.perf_counter(), 0
    if pins is None and resume:
        pins = pins_of_fit(project)
    stamp = fit_stamp(_filtered_from_this_flow(project), settings, seed, matches_file(project).stamp(), depth, pins)
    data = read_correspondences(project, where, settings.correspondences)
    data = cycle_weighted(data, settings.return_px)
    if not bool((data.confidence > 0).any()):
        raise OmnitrackError(
            f"no correspondence of project {project.root} is trusted", "allow more: --set filter.cycle_threshold_px=4"
        )
    matches = LongRangeMatches.from_rows(read_matches(project), where, settings.longest_gap)
    prior = None if depth is None else _read_prior(project, where)
    pinned = None if pins is None else fit_pins.as_matches(project, pins, where)
    engine = Engine(data, settings, seed, prior, matches, pinned, progress.warn)
    _say_belief(engine.belief, progress)
    if not resume:
        set_damaged_aside(project, progress)
    earlier_seconds = _resume(project, engine, stamp, progress) if resume else 0.0
    first, last = engine.step, None

    def save() -> str:
        seconds = earlier_seconds + time.perf_counter() - begin
        return str(save_checkpoint(project, stamp, seconds, engine.state_dict()))

    saved_at = time.perf_counter()
    with _metrics_file(project, first) as metrics, progress.task("fit", settings.steps, done=first) as task:
        shown = first
        try:
            for report in engine.run():
                if report.rolled_back:
                    rollbacks += 1
                    progress.warn(
                        f"not finite before step {report.step}: back to step {engine.step} with half the step"
                    )
                else:
                    last = report
                    metrics.write(json.dumps(asdict(report)) + "\n")
                task.advance(engine.step - shown, error_px=report.error_px, **report.losses)
                shown = engine.step
                if time.perf_counter() - saved_at > settings.checkpoint_seconds:
                    metrics.flush()
                    save()
                    saved_at = time.perf_counter()
        except (KeyboardInterrupt, OmnitrackError):  # stopped, or permanently not finite: finished steps are kept
            reached = engine.state_dict()["step"]
            progress.note(
                f"saved the fit at step {reached}: {save()}" if reached > first else "no step is finished yet"
            )
            raise
    path = save()
    return FitReport(
        method=settings.method,
        steps=settings.steps,
        resumed_from=first,
        seconds=earlier_seconds + time.perf_counter() - begin,
        loss=last.losses["loss"] if last else None,
        error_px=last.error_px if last else None,
        rollbacks=rollbacks,
        device=str(where),
        checkpoint=path,
    )


def _filtered_from_this_flow(project: Project) -> dict[str, Any]:
    """Return the stamp of the filtered correspondences; {} if there are none: reading them reports it."""
    stamp = filtered_file(project).stamp() or {}
    with FlowStore(project) as flows:
        if stamp and stamp.get("inputs", {}).get("flow") != fingerprint(flows.flow_stamp):
            raise OmnitrackError(
                f"project {project.root} has not been filtered yet since its flow was computed anew",
                f"filter it: omnitrack filter {project.root}",
            )
    return stamp


def _read_prior(project: Project, where: torch.device) -> DepthPrior:
    maps, kind = read_depth(project)
    return DepthPrior(torch.from_numpy(maps).to(where), inverse=kind == INVERSE)


def _say_belief(belief: Belief | None, progress: Progress) -> None:
    """Report how much of the depth prior is used; warn if it is left out."""
    if belief is None:
        return
    found = (
        f"it has the order right at {belief.order:.0%} of the occlusions, {belief.consistency:.0%} of its variance is"
        f" between points, not along their tracks, and it follows what moves by {belief.follows:.0%}"
    )
    used = float(belief.weight.mean())
    if used > 0:
        progress.note(f"the depth prior is used at {used:.0%} of the points: {found}")
    elif belief.order < WRONG_WAY_ROUND:
        progress.warn(
            f"the depth prior is left out: {found}; is larger nearer? then --set depth.kind=inverse, or depth"
        )
    else:
        progress.warn(f"the depth prior is left out, as the clip does not support it: {found}")


def load_field(project: Project, device: str = "auto", checkpoint: Checkpoint | None = None) -> MotionField:
    """Load the field of a checkpoint; of the newest one if none is given.

    Raises:
        OmnitrackError: No checkpoint, or one that is damaged or belongs to other frames.
    """
    checkpoint = checkpoint or load_checkpoint(project)
    try:
        settings, state = settings_of(checkpoint.stamp), checkpoint.state["field"]
        if any(value.is_floating_point() and value.dtype != torch.float32 for value in state.values()):
            raise ValueError("it is not of float32")
        field = get_method(settings.method).restore(state, project.size, project.num_frames, settings)
    except (OmnitrackError, *NOT_PLAIN) as error:
        raise DamagedError(
            f"{checkpoint.path} does not hold a field of method {checkpoint.stamp['settings'].get('method')}: {error}",
            f"fit again: omnitrack fit {project.root}",
        ) from error
    fitted: MotionField = field.to(pick_device(device)).eval()
    return fitted


def settings_of(stamp: dict[str, Any]) -> FitSettings:
    """Return the settings of a fit, from its stamp."""
    from omnitrack.config import load_settings

    return load_settings(overrides={f"fit.{key}": value for key, value in stamp["settings"].items()}).fit


def _resume(project: Project, engine: Engine, stamp: dict[str, Any], progress: Progress) -> float:
    """Load the last checkpoint into the engine; return the seconds that were spent on it."""
    if newest_checkpoint(project) is None:
        progress.note("there is no checkpoint to resume from: starting at step 0")
        return 0.0
    checkpoint = load_checkpoint(project)
    new_pins = checkpoint.stamp != stamp
    if new_pins and fit_pins.without_pins(checkpoint.stamp) != fit_pins.without_pins(stamp):
        raise OmnitrackError(
            f"{checkpoint.path} was made from other data, settings or seed than this run",
            "use the same ones to resume, or start again without --resume",
        )
    try:
        engine.load_state_dict(checkpoint.state)
    except NOT_PLAIN as error:
        raise DamagedError(
            f"{checkpoint.path} does not hold a fit of method {engine.settings.method}: {error}",
            f"start again without --resume: omnitrack fit {project.root}",
        ) from error
    if new_pins:
        engine.go_back(round(engine.settings.steps * (1 - engine.settings.pin_share)))
        progress.note(f"fitting to the pins from step {engine.step} on")
    else:
        progress.note(f"resuming at step {engine.step}")
    return checkpoint.seconds


def pins_of_fit(project: Project) -> NDArray[np.float32] | None:
    """Return the pairs of positions that the last checkpoint was fitted to; None if none can be read."""
    try:
        there = newest_checkpoint(project) is not None
        return fit_pins.from_stamp(project, load_checkpoint(project).stamp) if there else None
    except OmnitrackError:  # loading the checkpoint itself reports it
        return None


@contextmanager
def _metrics_file(project: Project, first: int) -> Iterator[TextIO]:
    """Open ``fit/metrics.jsonl`` to append lines, after removing those of steps after `first`.

    The kept lines replace the old file atomically. Invalid lines are dropped: a damaged log must not stop a fit.
    """
    path = project.metrics_path
    kept = []
    if first and path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= first]
    with atomic_path(path) as part:
        part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        yield file


def _step_of(line: str) -> float:
    """Return the step of a line of metrics; infinity if the line is invalid."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf
