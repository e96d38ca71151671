"""What `omnitrack plot` can show, in a module that loads nothing, so that help and completion know it."""

from __future__ import annotations

TRACK_PLOTS = {"tracks": ("x", "y", "speed", "confidence"), "speed": ("speed",), "confidence": ("confidence",)}
MANY_PLOTS = {**TRACK_PLOTS, "tracks": ("x", "y")}  # of more tracks than one diagram can tell apart
LOSS_PLOT, EVAL_PLOT = "losses", "eval"
MICROMETRES = "um"  # the unit where only the length of a pixel is given
PLOTS = (*TRACK_PLOTS, LOSS_PLOT, EVAL_PLOT)
