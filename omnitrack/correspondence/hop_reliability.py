"""Which of a clip's hops are wrong: a probability for every measured pair of frames and every grid place.

A small network maps the evidence on a hop (`hop_evidence.py`), which needs no ground truth, to

    log (P / (1 - P)),   P: the hop is off by over `WRONG_PX` px (at 256 x 256), or the point is occluded in the target

It was trained only on synthetic scenes, with exact ground truth and estimated flow, by
`tests/benchmarks/hop_reliability.py`; `hop_reliability.npz` contains its weights. Log-odds are kept within
`MOST_LOG_ODDS`: a case that no training scene showed is never certain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.hop_evidence import NAMES
from omnitrack.correspondence.raster import Array

WRONG_PX = 4.0
MOST_LOG_ODDS = 5.0
STEPS_PER_UNIT = 24  # of log-odds, in storage
MOST_STANDARD = 5.0  # deviations from the mean of the training scenes; evidence beyond counts as this
WEIGHTS_FILE = "hop_reliability.npz"


@dataclass(frozen=True)
class HopRegressor:
    """A perceptron with two hidden layers.

    Attributes:
        mean: (F,) mean of the evidence in the training scenes.
        deviation: (F,) standard deviation of the evidence in the training scenes.
        layers: Weights (out, in) and biases (out,) of each layer.
        identity: Identifies the weights.
    """

    mean: Array
    deviation: Array
    layers: tuple[tuple[Array, Array], ...]
    identity: str

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.floating]]) -> HopRegressor:
        """Build the regressor from the arrays ``mean``, ``deviation``, ``weight0``, ``bias0``, ``weight1``, ..."""
        values = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        count = sum(name.startswith("weight") for name in values)
        layers = tuple((values[f"weight{i}"], values[f"bias{i}"]) for i in range(count))
        digest = hashlib.sha256(b"".join(values[name].tobytes() for name in sorted(values))).hexdigest()
        return HopRegressor(values["mean"], values["deviation"], layers, digest[:16])

    def log_odds(self, evidence: Array) -> Array:
        """Log-odds (P,) that hops with this evidence (P, F), columns as in `hop_evidence.NAMES`, are wrong."""
        values = ((evidence - self.mean) / self.deviation).clip(-MOST_STANDARD, MOST_STANDARD)
        for weight, bias in self.layers[:-1]:
            values = np.maximum(values @ weight.T + bias, 0)
        weight, bias = self.layers[-1]
        return np.asarray((values @ weight.T + bias)[:, 0].clip(-MOST_LOG_ODDS, MOST_LOG_ODDS), np.float32)


@lru_cache(1)
def hop_regressor() -> HopRegressor:
    """Load the regressor that comes with the package."""
    with resources.files(__package__).joinpath(WEIGHTS_FILE).open("rb") as file:
        regressor = HopRegressor.from_arrays(np.load(file))
    assert len(regressor.mean) == len(NAMES), f"{WEIGHTS_FILE} was trained on other evidence"
    return regressor


def encode_log_odds(log_odds: Array) -> NDArray[np.int8]:
    """Convert log-odds to the integers that are stored."""
    return np.rint(log_odds * STEPS_PER_UNIT).astype(np.int8)


def decode_log_odds(stored: NDArray[np.int8]) -> Array:
    """Convert integers from `encode_log_odds` back to log-odds, within half a step."""
    return np.asarray(stored, np.float32) / np.float32(STEPS_PER_UNIT)
