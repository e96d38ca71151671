"""The optimisation loop: draw, evaluate, step; report the losses periodically, and roll back if they are not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError
from omnitrack.optimize.adam import Adam, load_moments
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_prior import DepthPrior, believe
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.optimize.method import StepContext
from omnitrack.optimize.methods import get_method
from omnitrack.optimize.moment import Clock, Moment, Plan
from omnitrack.optimize.recording import Recording, RecordingError, recorder_for
from omnitrack.optimize.sampler import make_sampler
from omnitrack.optimize.saved_state import check_state, copied, write_back
from omnitrack.optimize.schedule import learning_rate_factor, match_weight, only_inliers
from omnitrack.optimize.yardstick import Yardstick
from omnitrack.settings import FitSettings

REPORT_EVERY = 25  # steps between reports of the losses: the only host synchronisations
MOST_ROLLBACKS = 10
PINS_PER_STEP = 64  # drawn with replacement


@dataclass(frozen=True)
class LossReport:
    """The losses over some steps.

    Attributes:
        step: Steps done.
        losses: Mean of each weighted term since the last report, and their sum as ``loss``.
        error_px: Mean distance of predictions from correspondences that are the same at every report, at 256 x 256.
        steps_per_second: Since the last report.
        learning_rate: Current learning rate of the first group.
        rolled_back: The steps since the last report were not finite and have been undone.
    """

    step: int
    losses: dict[str, float]
    error_px: float
    steps_per_second: float
    learning_rate: float
    rolled_back: bool = False


class Engine:
    """Fits one field; its whole state can be saved and loaded at any report.

    Args:
        data: Correspondences to fit to; the fit runs on their device.
        settings: The method and how to fit it.
        seed: Reproduces a run on a CPU.
        prior: Depth of the frames from another source. `belief` then contains how far it is trusted.
        matches: Additional long-range matches to fit to.
        pins: Matches that were set manually: they are correct, and pull the field however far away it is.
        warn: Receives the reason why a fit is slower than it could be.
    """

    def __init__(
        self,
        data: Correspondences,
        settings: FitSettings,
        seed: int,
        prior: DepthPrior | None = None,
        matches: LongRangeMatches | None = None,
        pins: LongRangeMatches | None = None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        torch.manual_seed(seed)
        self.settings = settings
        self._method = get_method(settings.method)
        self.belief = None if prior is None else believe(prior, data, self._method.camera(data.size, settings))
        self.field = self._method.build(data, settings, self.belief)
        extras = self._method.extras(settings)
        near = data.within(settings.longest_gap)
        self.sampler = make_sampler(near, settings, extras)
        self._yardstick = Yardstick(near, settings)
        self._matches = matches if settings.matches > 0 else None
        self._pins = pins
        self._pin_settings = replace(settings, outlier_px=0.0)
        device = data.grid.device
        self._generator = torch.Generator(device).manual_seed(seed)
        self.step = 0
        self._rate_scale = 1.0
        self._rollbacks = 0
        groups = self._method.groups(self.field, settings)
        self._first_rates, self._clips = [rate for _, rate, _ in groups], [clip for _, _, clip in groups]
        self._clock = Clock(self._plan, self._rates, settings.steps, device)
        parameters = [part for part, _, _ in groups]
        self._optimizer = Adam(zip(parameters, self._clock.rates, strict=True), settings.second_moment_steps)
        self._sums: dict[str, Tensor] = {}
        recorder = recorder_for(device)
        self._recording = None if recorder is None else Recording(recorder)
        self._warn = warn
        self._good = copied(self._live())
        self._spare: dict[str, Any] | None = None  # an older state, whose arrays the next one reuses

    def run(self) -> Iterator[LossReport]:
        """Fit up to `settings.steps`, yielding every report.

        Raises:
            OmnitrackError: The fit is not finite even after all restarts with smaller steps.
        """
        while self.step < self.settings.steps:
            begin = time.perf_counter()
            until = min(self.settings.steps, (self.step // REPORT_EVERY + 1) * REPORT_EVERY)
            count = until - self.step
            sums = self._steps(until)
            losses, error, finite = self.look(sums, count)
            rate, seconds = self._rates(self._progress)[0], time.perf_counter() - begin
            seen = LossReport(until, losses, error, count / seconds, rate, not finite)
            if finite:
                self.keep()
            else:
                self._roll_back()
            yield seen

    def look(self, sums: dict[str, Tensor], count: int) -> tuple[dict[str, float], float, bool]:
        """Read the contents of a report from the device, in one transfer.

        Args:
            sums: Sums of each term over some steps.
            count: Number of these steps.

        Returns:
            Means of the terms and of their sum, the error on the fixed correspondences, and whether all is finite.
        """
        error = self._yardstick.error_px(self._method, self.field, self._clock.set(self.step))
        largest = torch.stack(torch._foreach_norm(self._optimizer.parameters, math.inf)).amax()  # NaN if any is
        *totals, error_px, size = torch.stack([*sums.values(), error, largest]).tolist()
        losses = {name: total / count for name, total in zip(sums, totals, strict=True)}
        losses["loss"] = sum(losses.values())
        return losses, error_px, math.isfinite(losses["loss"]) and math.isfinite(size)

    def state_dict(self) -> dict[str, Any]:
        """The state of the last finite report: everything a run needs to continue exactly as if uninterrupted.

        Its arrays are reused: they stay unchanged until the next report but one.
        """
        return self._good

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume, in the same arrays, from a saved state of a run with the same data and settings.

        Raises:
            ValueError: The state is from another run; a KeyError, TypeError or similar if it is not a state at all.
        """
        live = self._live()
        check_state(state, live, self._optimizer.parameters)
        self.field.load_state_dict(state["field"])
        load_moments(state["optimizer"]["state"], live["optimizer"]["state"])
        self._generator.set_state(state["generator"].cpu())
        self.sampler.error.copy_(state["region_error"])
        self.step = int(state["step"])
        self._scale_rates(float(state["rate_scale"]))
        self._good, self._spare = copied(self._live()), None

    def go_back(self, step: int) -> None:
        """Go back to the step number and learning rate of an earlier step, with the current field."""
        self.step = min(self.step, step)
        self.keep()

    def keep(self) -> None:
        """Keep the current state for rolling back to it; if this is interrupted, the previous one stays."""
        good = copied(self._live(), self._spare)
        self._good, self._spare = good, self._good

    def _live(self) -> dict[str, Any]:
        """The current state, with the arrays that a step changes."""
        return {
            "step": self.step,
            "rate_scale": self._rate_scale,
            "field": self.field.state_dict(),
            "optimizer": self._optimizer.state_dict(self._rates(max(0, self.step - 1) / self.settings.steps)),
            "generator": self._generator.get_state(),
            "region_error": self.sampler.error,
        }

    @property
    def _progress(self) -> float:
        return self.step / self.settings.steps

    def _plan(self, progress: float) -> Plan:
        """The schedules of a step: for the matches, the sampler and the method."""
        weight = 0.0 if self._matches is None else match_weight(progress, self.settings.match_weights)
        matches = Plan({"match_weight": weight, "only_inliers": weight > 0 and only_inliers(progress)})
        return matches | self.sampler.plan(progress) | self._method.plan(self.settings, progress)

    def _rates(self, progress: float) -> list[float]:
        """The learning rate of each group."""
        factor = learning_rate_factor(progress, self.settings.learning_rate_decay, self._method.last_rate)
        return [rate * self._rate_scale * factor for rate in self._first_rates]

    def _scale_rates(self, scale: float) -> None:
        self._rate_scale = scale
        self._clock.refill()

    def _steps(self, until: int) -> dict[str, Tensor]:
        """Step up to `until` without a host synchronisation; return sums of each term, which the next call reuses."""
        seen: dict[str, None] = {}
        if self._sums:
            torch._foreach_zero_(list(self._sums.values()))
        while self.step < until:
            moment = self._clock.set(self.step)
            seen |= dict.fromkeys(self._take(dict(moment.stage), partial(self._step, moment)))
            self.step += 1
        return {name: self._sums[name] for name in seen}

    def _take(self, stage: Any, step: Callable[[], list[str]]) -> list[str]:
        """Run a step, by replaying a recorded one of the same stage, or directly."""
        if self._recording is None:
            return step()
        try:
            return self._recording.take(stage, step, self._generator)
        except RecordingError as error:
            self._warn(f"the fit is slower than it could be: a step cannot be recorded as one graph ({error})")
            self._recording = None
            self._generator = torch.Generator(self._generator.device)
            self._generator.set_state(error.generator_state)
            return step()

    def _step(self, moment: Moment) -> list[str]:
        """Draw, evaluate and step, in place and without reading numbers on the host; return the names of the terms."""
        context = StepContext(moment, self._generator)
        batch = self.sampler.draw(moment, self._generator)
        terms, errors = self._terms(batch, context)
        terms |= self._pin_terms(context)
        self._optimizer.zero_grad()
        losses = torch.stack(list(terms.values()))
        losses.sum().backward()
        for group, clip in zip(self._optimizer.groups, self._clips, strict=True):
            if clip > 0:
                torch.nn.utils.clip_grad_norm_(group.parameters, clip)
        self._optimizer.step()
        self.sampler.update(batch, errors)
        for name in terms.keys() - self._sums.keys():
            self._sums[name] = torch.zeros_like(losses[0], requires_grad=False)
        torch._foreach_add_([self._sums[name] for name in terms], list(losses.detach().unbind()))
        return list(terms)

    def _terms(self, batch: Batch, context: StepContext) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of a batch, and the term of the long-range matches if these have a weight now."""
        method, settings = self._method, self.settings
        weight = context.moment.stage["match_weight"]
        if self._matches is None or weight == 0:
            return method.losses(self.field, batch, settings, context)
        if method.joint_losses is not None:
            matches = self._matches.draw(settings.matches, self._generator)
            terms, errors, far = method.joint_losses(self.field, batch, matches, settings, context)
        else:
            terms, errors = method.losses(self.field, batch, settings, context)
            matches = self._matches.draw(settings.matches, self._generator)
            far = method.match_loss(self.field, matches, settings, context)
        return {**terms, "matches": weight * far}, errors

    def _pin_terms(self, context: StepContext) -> dict[str, Tensor]:
        """The term of the pins; empty if there are no pins."""
        if self._pins is None:
            return {}
        batch = self._pins.draw(PINS_PER_STEP, self._generator)
        loss = self._method.match_loss(self.field, batch, self._pin_settings, replace(context, certain=True))
        return {"pins": self.settings.pin_weight * loss}

    def _roll_back(self) -> None:
        self._rollbacks += 1
        if self._rollbacks > MOST_ROLLBACKS:
            last = self._good["step"]
            raise OmnitrackError(
                f"the fit is not finite from step {last} on, after {MOST_ROLLBACKS} restarts with smaller steps",
                "look at the filtered correspondences (omnitrack info -v), or lower --set "
                f"fit.{self._method.name}.learning_rate",
            )
        self._scale_rates(self._rate_scale / 2)
        self.step = int(self._good["step"])
        write_back(self._good, self._live())
        # the random numbers continue, because the same samples would lead to the same end
        self._good = {**self._good, "rate_scale": self._rate_scale, "generator": self._generator.get_state()}
