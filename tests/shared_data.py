"""Development data and real weights, where a checkout has them beside it; tests that need them skip without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("OMNITRACK_DATA") or Path(__file__).parents[2] / "shared" / "data")
WEIGHTS = DATA / "weights"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skips a test where this file is not there."""
    return pytest.mark.skipif(not path.is_file(), reason=f"{path} is not there")
