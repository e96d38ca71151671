"""After Effects: a script that creates nulls, and keyframe data for the clipboard.

Convention:
    Composition space: (0, 0) is the top left corner of the frame, y down, so that the first pixel's centre is
    (0.5, 0.5). Key times are seconds from the start of the footage; the clipboard data has frames, from 0. Pixels are
    square (pixel aspect ratio 1).

Source:
    Adobe, After Effects scripting guide, https://ae-scripting.docsforadobe.dev: LayerCollection.addNull,
    Property.setValuesAtTimes. Layer and composition space: Adobe, After Effects user guide, "Layer properties".
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from omnitrack.export.contract import Trajectories

SCRIPT_HEAD = """// {count} tracks of omnitrack. Open the composition, then File > Scripts > Run Script File.
(function () {{
  var width = {width}, height = {height}, fps = {fps:.12g};
  var comp = app.project.activeItem;
  app.beginUndoGroup("omnitrack tracks");
  if (!(comp instanceof CompItem)) {{
    comp = app.project.items.addComp("omnitrack", width, height, 1, {duration:.6f}, fps);
  }}
  function add(name, frames, xy, changes, seen) {{
    var times = [], places = [], layer = comp.layers.addNull(comp.duration);
    for (var i = 0; i < frames.length; i++) {{
      times.push(frames[i] / fps);
      places.push([xy[2 * i] * comp.width / width, xy[2 * i + 1] * comp.height / height]);
    }}
    layer.name = name;
    if (times.length) {{ layer.property("Position").setValuesAtTimes(times, places); }}
    for (var k = 0; k < changes.length; k++) {{
      layer.property("Opacity").setValueAtTime(changes[k] / fps, seen[k]);
      layer.property("Opacity").setInterpolationTypeAtKey(k + 1, KeyframeInterpolationType.HOLD);
    }}
  }}
"""
SCRIPT_END = """  app.endUndoGroup();
})();
"""
KEYFRAMES_HEAD = """Adobe After Effects 8.0 Keyframe Data

\tUnits Per Second\t{fps:.12g}
\tSource Width\t{width}
\tSource Height\t{height}
\tSource Pixel Aspect Ratio\t1
\tComp Pixel Aspect Ratio\t1

Transform\tPosition
\tFrame\tX pixels\tY pixels\tZ pixels\t
"""
KEYFRAMES_END = "\nEnd of Keyframe Data\n"


def script(found: Trajectories) -> Iterator[str]:
    """Yield a script that creates one null per track with position keys; opacity 0 marks occluded points."""
    width, height = found.size
    duration = (found.numbers[-1] + 1) / found.fps
    yield SCRIPT_HEAD.format(count=len(found), width=width, height=height, fps=found.fps, duration=duration)
    for row, name in enumerate(found.names):
        written = found.written[row]
        frames = ",".join(map(str, found.numbers[written].tolist()))
        points = found.points[row, written] + 0.5
        places = ("%.4f," * points.size % tuple(points.ravel().tolist())).rstrip(",")
        seen = found.visible[row, written]
        changed = np.append(True, seen[1:] != seen[:-1]) if not seen.all() else np.zeros(len(seen), bool)
        changes = found.numbers[written][changed].tolist()
        opacity = [100 if value else 0 for value in seen[changed]]
        yield f"  add({json.dumps(name)}, [{frames}], [{places}], {json.dumps(changes)}, {json.dumps(opacity)});\n"
    yield SCRIPT_END


def keyframes(found: Trajectories) -> Iterator[str]:
    """Yield one block of position keys per track, each to be copied and pasted onto a layer."""
    width, height = found.size
    for row in range(len(found)):
        written = found.written[row]
        rows = np.column_stack([found.numbers[written], found.points[row, written] + 0.5])
        yield KEYFRAMES_HEAD.format(fps=found.fps, width=width, height=height)
        yield "\t%d\t%.4f\t%.4f\t0\t\n" * len(rows) % tuple(rows.ravel().tolist())
        yield KEYFRAMES_END
