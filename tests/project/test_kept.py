"""A stopped command names what it has finished, and only what still exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitrack.project.kept import forget, keep, what_is_kept


@pytest.fixture(autouse=True)
def _nothing_else() -> Iterator[None]:
    forget()
    yield
    forget()


def test_the_last_ones_are_named(tmp_path: Path) -> None:
    assert what_is_kept() == ""
    paths = [tmp_path / name for name in "abcd"]
    for path in paths:
        path.touch()
        keep(path)
    keep(paths[0], "the first, again")
    assert what_is_kept() == f"the first, again, {paths[3]}, {paths[2]}, 1 more"


def test_what_is_gone_is_not_kept(tmp_path: Path) -> None:
    keep(tmp_path / "never written")
    assert what_is_kept() == ""
