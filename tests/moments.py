"""Moments of a run, for tests of what depends on them: as the engine makes them, at a progress chosen by the test."""

from __future__ import annotations

import torch

from omnitrack.optimize.batch import Batch
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.moment import Moment, Plan
from omnitrack.optimize.sampler import Sampler
from omnitrack.optimize.schedule import only_inliers
from omnitrack.settings import FitSettings


def moment(progress: float, settings: FitSettings | None = None) -> Moment:
    """Return a moment with the values for the losses of every method, at a progress of the run."""
    plan = Plan({"only_inliers": only_inliers(progress)})
    for method in METHODS.values():
        plan |= method.plan(settings or FitSettings(), progress)
    return of_plan(plan)


def of_plan(plan: Plan) -> Moment:
    """Return the moment of a plan, on the CPU."""
    return Moment(plan.stage, {name: torch.tensor(float(value)) for name, value in plan.values.items()})


def draw(sampler: Sampler, progress: float, generator: torch.Generator) -> Batch:
    """Return what a sampler draws at a progress of the run."""
    return sampler.draw(of_plan(sampler.plan(progress)), generator)
