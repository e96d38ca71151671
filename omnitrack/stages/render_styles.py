"""The names of all styles of `omnitrack render`, in a module that loads nothing, so that help and completion know them.

Tracks are drawn in `omnitrack.stages.render_track_styles`, the fitted field itself in
`omnitrack.stages.render_field_styles`, what somebody drew in `omnitrack.stages.render_edit`, what somebody marked in
`omnitrack.stages.render_matte`, and the clip is held still in `omnitrack.stages.render_stabilise`.
"""

from __future__ import annotations

TRACK_STYLES = ("points", "trails", "grid", "compare", "confidence")
FIELD_STYLES = ("flow", "depth", "canonical", "rgb")
STABILISE_STYLE, EDIT_STYLE, MATTE_STYLE = "stabilise", "edit", "matte"
STYLES = (*TRACK_STYLES, *FIELD_STYLES, STABILISE_STYLE, EDIT_STYLE, MATTE_STYLE)
NEED_INPUT = (EDIT_STYLE, MATTE_STYLE)  # a file of the user's
