"""A custom flow estimator, selected by name on the command line: OpenCV's Farneback flow as the example.

Put the class into a package of your own and register it in the package's pyproject.toml:

    [project.entry-points."omnitrack.flow_estimators"]
    farneback = "custom_flow_estimator:FarnebackEstimator"

After `pip install`, `omnitrack flow PROJECT --estimator farneback` finds it. Run as a script, this file compares it
with the built-in estimator on a scene whose flow is known:

    python examples/custom_flow_estimator.py
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack import FlowEstimator, FlowSettings, get_estimator, synthetic


class FarnebackEstimator:
    """Polynomial expansion (Farneback 2003). omnitrack calls the class with its flow settings, then `estimate`.

    `estimate` runs in several threads at once: keep its state in local variables. The same frames must give the same
    flow, and every value must be finite.
    """

    def __init__(self, settings: FlowSettings, window_px: int = 15) -> None:
        self.window_px = window_px

    def estimate(
        self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the flow (H, W, 2) that takes pixel p of `source` to p + flow[p] in `target`; frames (H, W, 3) RGB."""
        first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (source, target))
        flow = np.zeros((*source.shape[:2], 2), np.float32) if initial is None else initial.copy()
        flags = 0 if initial is None else cv2.OPTFLOW_USE_INITIAL_FLOW
        found = cv2.calcOpticalFlowFarneback(first, second, flow, 0.5, 4, self.window_px, 5, 7, 1.5, flags)
        return np.nan_to_num(np.asarray(found, np.float32))


def main() -> None:
    scene = synthetic.occluder_scene()
    truth, visible = scene.flow(4, 6)
    settings = FlowSettings()
    estimators: dict[str, FlowEstimator] = {
        "dis": get_estimator("dis", settings),
        "farneback": FarnebackEstimator(settings),
    }
    for name, estimator in estimators.items():
        error = np.linalg.norm(estimator.estimate(scene.frame(4), scene.frame(6)) - truth, axis=-1)[visible]
        print(f"{name}: {error.mean():.3f} px mean error, {(error > 1).mean():.1%} of the visible pixels over 1 px")


if __name__ == "__main__":
    main()
