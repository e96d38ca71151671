"""Development data and real weights, if the checkout has them beside it; otherwise tests that need them are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("OMNITRACK_DATA") or Path(__file__).parents[2] / "shared" / "data")
WEIGHTS = DATA / "weights"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip a test if the file does not exist."""
    return pytest.mark.skipif(not path.is_file(), reason=f"{path} is not there")
