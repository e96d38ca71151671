"""The syntax tree of a source file, parsed once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def source_tree(path: Path) -> ast.Module:
    """Return the tree of a file; callers share it."""
    return ast.parse(path.read_text(encoding="utf-8"))
