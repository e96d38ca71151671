"""What `import omnitrack` offers: all that examples and the README use, with runnable examples, imported lazily."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import omnitrack

ROOT = Path(__file__).parents[1]
# Modules whose docstrings are run: those of every exported name, and those that every reader meets first.
EXAMPLES_IN = (
    "omnitrack.api",
    "omnitrack.correspondence.consistency",
    "omnitrack.correspondence.estimators",
    "omnitrack.correspondence.estimators.contract",
    "omnitrack.correspondence.flows",
    "omnitrack.errors",
    "omnitrack.export.contract",
    "omnitrack.evaluation.ablations",
    "omnitrack.motion.depth",
    "omnitrack.motion.geometry",
    "omnitrack.progress",
    "omnitrack.settings",
    "omnitrack.tracks.files",
    "omnitrack.tracks.tracks",
    "omnitrack.units",
)
WITHOUT_EXAMPLE = {"__version__", "synthetic"}


def snippets() -> dict[str, str]:
    """Return the Python code in the README and in the examples, by where it is."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = {f"README {i}": text for i, text in enumerate(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))}
    return found | {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}


def used(tree: ast.Module) -> set[str]:
    """Return the names of omnitrack that a text uses."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "omnitrack":
            assert node.module == "omnitrack", f"line {node.lineno} imports {node.module}"
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("omnitrack.") for alias in node.names), ast.unparse(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "omnitrack":
            names.add(node.attr)
    return names


@pytest.mark.parametrize("name", sorted(snippets()))
def test_examples_and_readme_use_nothing_else(name: str) -> None:
    assert used(ast.parse(snippets()[name])) <= set(omnitrack.__all__)


def test_every_name_is_there_and_no_other() -> None:
    for name in omnitrack.__all__:
        assert getattr(omnitrack, name) is not None
    assert dir(omnitrack) == sorted(omnitrack.__all__)
    with pytest.raises(AttributeError, match="no attribute 'tarcks'"):
        omnitrack.tarcks  # noqa: B018


def test_nothing_heavy_is_loaded_before_it_is_used() -> None:
    code = "import sys, omnitrack; print([m for m in ('numpy', 'torch', 'cv2', 'h5py') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_types_are_shipped() -> None:
    assert (ROOT / "omnitrack" / "py.typed").is_file()


@pytest.mark.parametrize("module", EXAMPLES_IN)
def test_examples_in_docstrings_say_what_happens(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_exported_name_has_an_example() -> None:
    for name in set(omnitrack.__all__) - WITHOUT_EXAMPLE:
        text = getattr(omnitrack, name).__doc__ or ""
        assert "Example" in text, name
