"""Reading the results file of an evaluation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.metrics import METRICS
from omnitrack.unavailable import unavailable

MOST_BYTES = 2**24  # enough for thousands of clips; a file of nested lists would take some 20 times as much memory
HINT = "give a file that eval wrote: omnitrack eval DATASET -o results.json"


def read_results(path: Path) -> dict[str, Any]:
    """Read the results of an evaluation, as `omnitrack.stages.evaluate.EvalReport` describes them.

    Raises:
        OmnitrackError: The file is missing or damaged, or does not contain such results.
    """
    if not path.is_file():
        raise OmnitrackError(f"there are no results at {path}", HINT)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise OmnitrackError(f"{path} has more than {MOST_BYTES} bytes: it is no file of results", HINT)
        results = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise unavailable(path, error) or OmnitrackError(f"{path} is damaged: {error}", HINT) from error
    methods = results.get("methods") if isinstance(results, dict) else None
    if not (isinstance(methods, dict) and methods and all(_is_method(found) for found in methods.values())):
        raise OmnitrackError(f"{path} holds no results of an evaluation", HINT)
    return dict(results)


def _is_method(found: object) -> bool:
    """Whether `found` has a mean and clips, whose metrics are finite numbers or null."""
    if not isinstance(found, dict) or not isinstance(found.get("videos"), dict) or not found["videos"]:
        return False
    return all(_has_metrics(scores) for scores in (found.get("mean"), *found["videos"].values()))


def _has_metrics(scores: object) -> bool:
    if not isinstance(scores, dict) or not all(name in scores for name in METRICS):
        return False
    return all(scores[name] is None or _is_number(scores[name]) for name in METRICS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
