"""The error of a field on correspondences that stay the same for a whole run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from omnitrack.optimize.batch import NO_EXTRAS, Batch, gather_batch
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.method import Method, StepContext
from omnitrack.optimize.moment import Moment
from omnitrack.settings import FitSettings

SHARE = 4  # anchors of a step per correspondence: evaluating them costs under a tenth of a step
TRIES = 64  # random draws per correspondence; if fewer than one in this many is trusted, the set is smaller
SEED = 0  # of the choice: the same for all runs on the same data, so that they are comparable


class Yardstick:
    """Measures a field on the same trusted correspondences every time, drawn evenly from all of them.

    The errors of a step come from samples drawn where the fit is poor, and rise as harder samples are drawn. A
    yardstick has its own random numbers and does not affect the fit.

    Args:
        data: Correspondences to choose from; some have to be trusted.
        settings: Settings of the fit.
    """

    def __init__(self, data: Correspondences, settings: FitSettings) -> None:
        self._settings = settings
        self._batch = _even_batch(data, 2 * max(1, settings.anchors // (2 * SHARE)), self._generator(data.grid.device))

    def error_px(self, method: Method, field: Any, moment: Moment) -> Tensor:
        """Mean distance of predictions from correspondences, weighted by confidence, in pixels at 256 x 256; a scalar.

        Args:
            method: Method of the fit.
            field: The field to measure.
            moment: Current moment of the run.
        """
        confidence = self._batch.confidence[:, 0]
        with torch.no_grad():
            context = StepContext(moment, self._generator(confidence.device))
            _, errors = method.losses(field, self._batch, self._settings, context)
        return (errors * confidence).sum() / confidence.sum()

    def _generator(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(SEED)


def _even_batch(data: Correspondences, count: int, generator: torch.Generator) -> Batch:
    """At most `count` trusted correspondences; an even number, because losses pair neighbours."""
    sizes = data.confidence.shape
    draws = [torch.randint(size, (count * TRIES,), generator=generator, device=data.grid.device) for size in sizes]
    source, slot, point = draws
    believed = (data.confidence[source, slot, point] > 0).nonzero()[:count, 0]
    if len(believed) < 2:  # too few: use one source that has some
        rich = (data.confidence > 0).flatten(1).any(1).nonzero()[0, 0]
        slot, point = (data.confidence[rich] > 0).nonzero()[:count].repeat(2, 1).unbind(1)
        source, believed = rich.expand_as(slot), torch.arange(len(slot), device=slot.device)
    believed = believed[: len(believed) // 2 * 2]
    source, slot, point = source[believed], slot[believed], point[believed]
    return gather_batch(data, source, slot[:, None], point, torch.zeros_like(source), NO_EXTRAS, generator)
