"""The names of all styles of `omnitrack render`, in a module that imports nothing, so that help can list them.

`omnitrack.stages.render_track_styles` draws tracks, `omnitrack.stages.render_field_styles` the fitted field itself,
`omnitrack.stages.render_edit` a drawing by the user, `omnitrack.stages.render_matte` a mask, and
`omnitrack.stages.render_stabilise` holds the clip still.
"""

from __future__ import annotations

TRACK_STYLES = ("points", "trails", "grid", "compare", "confidence")
FIELD_STYLES = ("flow", "depth", "canonical", "rgb")
STABILISE_STYLE, EDIT_STYLE, MATTE_STYLE = "stabilise", "edit", "matte"
STYLES = (*TRACK_STYLES, *FIELD_STYLES, STABILISE_STYLE, EDIT_STYLE, MATTE_STYLE)
NEED_INPUT = (EDIT_STYLE, MATTE_STYLE)  # a file from the user
