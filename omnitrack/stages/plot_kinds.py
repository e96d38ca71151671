"""What `omnitrack plot` can show, in a module that imports nothing, so that help and completion can list it."""

from __future__ import annotations

TRACK_PLOTS = {"tracks": ("x", "y", "speed", "confidence"), "speed": ("speed",), "confidence": ("confidence",)}
MANY_PLOTS = {**TRACK_PLOTS, "tracks": ("x", "y")}  # for more tracks than one diagram can distinguish
LOSS_PLOT, EVAL_PLOT = "losses", "eval"
MICROMETRES = "um"  # the unit if only the length of a pixel is given
PLOTS = (*TRACK_PLOTS, LOSS_PLOT, EVAL_PLOT)
