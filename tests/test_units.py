"""One unit of lengths, converted in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from source_trees import source_tree

import omnitrack
from omnitrack.units import RASTER_PX, raster_scale

PACKAGE = Path(omnitrack.__file__).parent
# Files in which 256 is not a length of the raster, and what it counts there.
OTHER = {
    "correspondence/estimators/dis.py": "pixels of the frame that a patch covers",
    "correspondence/estimators/tracks.py": "entries of a cache",
    "correspondence/fusion.py": "frames",
    "correspondence/place_recognition.py": "rows of a table",
    "correspondence/raft/network.py": "channels",
    "motion/frame_map.py": "channels",
    "motion/gabor.py": "a frequency",
    "optimize/omnimotion.py": "channels",
    "presets.py": "channels",
    "settings.py": "matches",
    "synthetic/scene.py": "pixels of a drawing",
    "video/likeness.py": "levels",
    "tiff_directory.py": "the tag of a width",
}


def test_a_length_is_converted_by_the_geometric_mean_of_both_axes() -> None:
    assert raster_scale((RASTER_PX, RASTER_PX)) == 1.0
    assert raster_scale((512, 128)) == 1.0
    assert raster_scale((854, 480)) == pytest.approx((854 * 480) ** 0.5 / 256)


def test_the_raster_is_spelled_nowhere_else() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name == "units.py" or name in OTHER:
            continue
        for node in ast.walk(source_tree(path)):
            spelled = isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == 256
            assert not spelled, f"{name}:{node.lineno}: use omnitrack.units, or say in OTHER what is counted"


def test_files_that_count_something_else_still_do() -> None:
    for name in OTHER:
        assert "256" in (PACKAGE / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("room", ["correspondence", "optimize", "evaluation", "stages"])
def test_every_room_that_measures_lengths_uses_the_unit(room: str) -> None:
    files = (PACKAGE / room).rglob("*.py")
    assert any("from omnitrack.units import" in path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("room", ["correspondence", "optimize", "evaluation", "stages", "drawing"])
def test_no_threshold_is_converted_by_one_side_of_the_frame(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(source_tree(path)):
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
                sides = [ast.unparse(side) for side in (node.left, node.right)]
                length = any(side.endswith("_PX") for side in sides)
                by_side = any(side.startswith(("max(", "min(")) and "size" in side for side in sides)
                assert not (length and by_side), f"{path}:{node.lineno}: {ast.unparse(node)}"
