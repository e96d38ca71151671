"""The structure of the package: imports go in one direction, maths stays pure, and the command line starts fast."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from source_trees import source_tree

import omnitrack

PACKAGE = Path(omnitrack.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# The top-level modules, which every package may import: they import no packages.
GROUND = {
    "atomic",
    "bounded_pickle",
    "byte_cache",
    "closing",
    "compiled_parts",
    "compiling",
    "config",
    "device",
    "diagnosis",
    "errors",
    "foreign_hdf5",
    "hdf5_file",
    "image_header",
    "interrupts",
    "limits",
    "memory",
    "numpy_file",
    "omnitrack",
    "presets",
    "progress",
    "settings",
    "tiff_directory",
    "torch_file",
    "unavailable",
    "units",
    "weights",
}
# What each package imports, besides itself and the top-level modules; highest first. Imports go down only.
ALLOWED = {
    "__main__": {"cli"},
    "cli": {"view", "stages", "project", "evaluation", "tracks", "export", "video", "workers"},
    "omnitrack": {"api", "correspondence", "synthetic", "tracks", "export"},  # what it exports
    "api": {"view", "stages", "project", "tracks", "export"},
    "view": {"stages", "project", "tracks"},  # a page over the stages, as the command line is a terminal over them
    "stages": {
        "project",
        "workers",
        "evaluation",
        "drawing",
        "plotting",
        "synthetic",
        "video",
        "tracks",
        "export",
        "correspondence",
        "depth_prior",
        "optimize",
        "motion",
    },
    "project": {"correspondence", "optimize"},  # files of their results
    "plotting": {"evaluation", "tracks"},  # plots of their data
    "evaluation": {"correspondence", "tracks"},  # baselines chain flow; predictions are files of tracks
    "depth_prior": {"correspondence", "video"},  # files of images and of networks, whose input is made there
    "correspondence": {"tracks"},  # an estimator reads flow from files of tracks
    "optimize": {"motion"},  # nothing is drawn, read or written inside a fit
    "workers": set(),  # run whatever jobs they are given
    "drawing": set(),
    "synthetic": set(),
    "video": set(),
    "tracks": {"export"},
    "export": set(),  # formats of other programs: writes what it is given
    "motion": set(),
    **{name: set() for name in GROUND - {"omnitrack"}},
}
HEAVY = {"torch", "cv2", "h5py", "imageio", "imageio_ffmpeg", "matplotlib", "numpy"}
FORBIDDEN_IN_MATHS = {"h5py", "pathlib", "rich", "logging", "cv2", "typer"}


def imports(path: Path, top_only: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and dotted module of every import; `top_only` skips those in functions and for type checkers."""
    tree = source_tree(path)
    for node in _top_nodes(tree) if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, str(node.module)
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _top_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        for_checkers = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not for_checkers and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from _top_nodes(child)


def room(path: Path) -> str:
    """Return the package of a file: stages of ``omnitrack/stages/fit.py``, config of ``omnitrack/config.py``."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "omnitrack" if first == "__init__" else first


def test_imports_point_one_way() -> None:
    wrong = []
    for path in FILES:
        here = room(path)
        assert here in ALLOWED, f"a new room {here}: say in ALLOWED what it may import"
        for line, module in imports(path):
            parts = module.split(".")
            if parts[0] == "omnitrack" and len(parts) > 1:
                other = parts[1] if parts[1] in ALLOWED else "omnitrack"  # `from omnitrack import __version__`
                if other not in {here, *GROUND, *ALLOWED[here]}:
                    wrong.append(f"{path}:{line}: {here} imports {module}")
    assert wrong == []


def test_every_arrow_is_used_and_points_down() -> None:
    used: dict[str, set[str]] = {}
    for path in FILES:
        parts = [module.split(".") for _, module in imports(path)]
        rooms = {part[1] for part in parts if part[0] == "omnitrack" and len(part) > 1 and part[1] in ALLOWED}
        used.setdefault(room(path), set()).update(rooms - GROUND - {room(path)})
    floors = list(ALLOWED)
    for here, others in ALLOWED.items():
        assert used.get(here, set()) == others, f"{here}: take out of ALLOWED what is not imported any more"
        if here not in GROUND - {"omnitrack"}:
            assert all(floors.index(other) > floors.index(here) for other in others), here


def importing(rooms: set[str], forbidden: set[str], top_only: bool = False) -> list[str]:
    """Return where the files of some rooms import forbidden packages."""
    found = [(path, *it) for path in FILES if room(path) in rooms for it in imports(path, top_only)]
    return [f"{path}:{line}: {module}" for path, line, module in found if module.split(".")[0] in forbidden]


def test_maths_never_sees_files_or_terminals() -> None:
    assert importing({"motion"}, FORBIDDEN_IN_MATHS) == []


def test_the_command_line_imports_nothing_heavy_at_its_top() -> None:
    assert importing({"cli", "omnitrack", "__main__", "api"}, HEAVY, top_only=True) == []


def test_this_test_sees_what_it_should(tmp_path: Path) -> None:
    assert importing({"motion"}, {"torch"}) and importing({"cli"}, {"typer"}, top_only=True)
    path = tmp_path / "sample.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "try:\n    import cv2\nexcept ImportError:\n    pass\n"
        "def f():\n    import h5py\n",
        encoding="utf-8",
    )
    assert {module for _, module in imports(path, top_only=True)} == {"typing", "typing.TYPE_CHECKING", "cv2"}
    assert {"torch", "cv2", "h5py"} <= {module for _, module in imports(path)}


def test_only_what_computes_with_torch_imports_it() -> None:
    stages = ("init", "shots", "flow", "filter", "info", "render", "plot", "export", "export_dense", "run", "run_many")
    code = f"import sys; sys.modules['torch'] = None; import {', '.join(f'omnitrack.stages.{name}' for name in stages)}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_functions_fit_on_a_screen() -> None:
    too_long = []
    for path in FILES:
        for node in ast.walk(source_tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 80:
                    too_long.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    assert too_long == []
