"""The names of all styles of `omnitrack render`, in a module that loads nothing, so that help and completion know them.

Tracks are drawn in `omnitrack.stages.render_track_styles`, the fitted field itself in
`omnitrack.stages.render_field_styles`, and what somebody drew in `omnitrack.stages.render_edit`.
"""

from __future__ import annotations

TRACK_STYLES = ("points", "trails", "grid", "compare", "confidence")
FIELD_STYLES = ("flow", "depth", "canonical", "rgb")
EDIT_STYLE = "edit"
STYLES = (*TRACK_STYLES, *FIELD_STYLES, EDIT_STYLE)
